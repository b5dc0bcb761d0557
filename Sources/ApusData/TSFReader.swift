/// Reads the `.tsf` files of the Monash archive (Godahewa et al., 2021, *Monash Time Series Forecasting
/// Archive*, arXiv:2105.06643): a head of `@` lines, then one series a line whose parts colons separate.
struct TSFReader {
  private let source: SourceFile
  private let options: SeriesOptions
  private var report: DataReport
  /// Names of attributes in order, and which of them is a date.
  private var attributes: [(name: String, isDate: Bool)] = []
  private var frequency: Frequency?

  /// Whether a file begins as they do.
  static func recognizes(_ source: SourceFile) -> Bool {
    for line in source.lines.prefix(60) {
      let text = line.text
      if text.isEmpty || text.first == 0x23 { continue }
      return text.starts(with: "@relation".utf8) || text.starts(with: "@attribute".utf8)
        || text.starts(with: "@frequency".utf8)
    }
    return false
  }

  init(_ source: SourceFile, options: SeriesOptions) {
    (self.source, self.options) = (source, options)
    report = DataReport(source: source.name)
    frequency = options.frequency
  }

  /// Every series of the file.
  func table() throws(SeriesError) -> SeriesTable {
    var reader = self
    return try reader.read()
  }

  private mutating func read() throws(SeriesError) -> SeriesTable {
    var series: [TimeSeries] = []
    var lines: [[Int]] = []
    var seen: Set<String> = []
    var isData = false
    for (number, bytes) in source.lines {
      if bytes.isEmpty || bytes.first == 0x23 { continue }
      if bytes.first == 0x40, !isData {
        isData = headLine(String(decoding: bytes, as: UTF8.self))
        continue
      }
      guard isData else {
        throw .badFormat(
          file: source.name, line: number, found: "a line before @data", expected: "a line with @")
      }
      report.rowsRead += 1
      let one = try self.series(bytes, line: number, seen: &seen)
      guard one.count > 0 else {
        report.add(.unreadableRow, line: number, series: one.id, "found no number in the line")
        continue
      }
      series.append(one)
      lines.append(Array(repeating: number, count: one.count))
    }
    guard !series.isEmpty else { throw .noUsableRows(file: source.name, target: "the lines") }
    report.rowsUsed = series.count
    report.choose("series", "one per line", because: "the file has the form of the Monash archive")
    report.choose(
      "time", hasStarts ? "the start of each series and the frequency" : "none",
      because: hasStarts ? "an attribute is a date" : "no attribute is a date")
    var options = options
    options.frequency = frequency
    return SeriesChecks.table(
      series, lines: lines, targetName: "value", covariateNames: [],
      hasClock: hasStarts && frequency != nil, options: options, report: report)
  }

  private var hasStarts: Bool { attributes.contains(where: \.isDate) }

  /// Takes in a line of the head; true for the one behind which series begin.
  private mutating func headLine(_ line: String) -> Bool {
    let words = line.split(separator: " ").map(String.init)
    switch words.first?.lowercased() {
    case "@attribute" where words.count >= 3:
      attributes.append((words[1], words[2].lowercased() == "date"))
    case "@frequency" where words.count >= 2:
      frequency = frequency ?? Self.frequency(words[1])
    case "@data": return true
    default: break
    }
    return false
  }

  /// `10_minutes`, `half_hourly`, `4_seconds`, `monthly`.
  private static func frequency(_ word: String) -> Frequency? {
    Frequency(word) ?? Frequency(word.replacing("_", with: ""))
  }

  private func series(
    _ bytes: ArraySlice<UInt8>, line: Int, seen: inout Set<String>
  ) throws(SeriesError) -> TimeSeries {
    let parts = bytes.split(separator: 0x3A, omittingEmptySubsequences: false)
    guard parts.count == attributes.count + 1, let last = parts.last else {
      throw .badFormat(
        file: source.name, line: line, found: "\(parts.count) parts between colons",
        expected: "\(attributes.count) attributes and the values")
    }
    var id = ""
    var start: Timestamp?
    for (attribute, part) in zip(attributes, parts) {
      if attribute.isDate {
        start = DateScanner.parse(part, as: .yearMonthDay)?.local
        guard start != nil else {
          throw .unreadableTime(
            file: source.name, column: attribute.name, line: line,
            found: source.text(part.prefix(40)), reason: "a date such as 2015-12-31 13-05-09")
        }
      } else if id.isEmpty {
        id = source.text(part)
      }
    }
    if id.isEmpty { id = "T\(report.rowsRead)" }
    guard seen.insert(id).inserted else {
      throw .badFormat(
        file: source.name, line: line, found: "a second series called '\(id.prefix(40))'",
        expected: "a name for each")
    }
    var style = NumberStyle()
    style.missingWords += options.missing.map { $0.lowercased() }
    var values: [Double] = []
    for cell in last.split(separator: 0x2C, omittingEmptySubsequences: false) {
      switch style.parse(cell.trimmedSpaces) {
      case .number(let value): values.append(value)
      case .missing: values.append(.nan)
      case .bad:
        throw .badFormat(
          file: source.name, line: line, found: "'\(source.text(cell.prefix(40)))'",
          expected: "a number or ?")
      }
    }
    return try StampedValues(values, start: start, frequency: frequency)
      .series(id, file: source.name, line: line)
  }
}

/// Values at even distances from a start.
struct StampedValues {
  let values: [Double]
  let start: Timestamp?
  let frequency: Frequency?

  init(_ values: [Double], start: Timestamp?, frequency: Frequency?) {
    // What is missing at both ends was not there yet, or is not there any more.
    var values = values[...]
    while let last = values.last, last.isNaN { values.removeLast() }
    self.values = Array(values)
    (self.start, self.frequency) = (start, frequency)
  }

  /// The series, whose stamps the frequency gives.
  func series(_ id: String, file: String, line: Int) throws(SeriesError) -> TimeSeries {
    guard let start, let frequency, !values.isEmpty else {
      return TimeSeries(id: id, values: values)
    }
    do {
      let rest = try Cadence(frequency).stamps(after: start, count: values.count - 1)
      return TimeSeries(id: id, timestamps: [start] + rest, values: values)
    } catch {
      throw .badFormat(
        file: file, line: line, found: "\(values.count) values from \(start) on",
        expected: "fewer, or an earlier start")
    }
  }
}

extension SourceFile {
  /// The lines with their numbers from 1, without spaces around them.
  var lines: some Sequence<(line: Int, text: ArraySlice<UInt8>)> {
    var position = 0
    var number = 0
    let bytes = bytes
    return AnyIterator {
      guard position < bytes.count else { return nil }
      let end = bytes[position...].firstIndex { $0 == 0x0A } ?? bytes.count
      let text = bytes[position..<end]
      position = end + 1
      number += 1
      return (number, text.trimmedSpaces)
    }
  }
}

extension ArraySlice<UInt8> {
  /// The bytes without spaces, tabs and line ends around them.
  var trimmedSpaces: ArraySlice<UInt8> {
    var (start, end) = (startIndex, endIndex)
    while start < end, self[start] <= 0x20 { start += 1 }
    while end > start, self[end - 1] <= 0x20 { end -= 1 }
    return self[start..<end]
  }
}
