import ApusTensor

/// Reads JSON Lines as GluonTS writes them: one object a line with `start` and `target`, and optionally
/// `item_id`, `feat_dynamic_real` and `freq`.
struct JSONLinesReader {
  private let source: SourceFile
  private let options: SeriesOptions

  /// Whether the first line of a file is such an object.
  static func recognizes(_ source: SourceFile) -> Bool {
    guard source.bytes.first(where: { $0 > 0x20 }) == 0x7B,
      let first = source.lines.first(where: { _ in true }),
      let value = try? JSONValue(first.text, name: source.name)
    else { return false }
    return value["target"] != nil
  }

  init(_ source: SourceFile, options: SeriesOptions) {
    (self.source, self.options) = (source, options)
  }

  /// Every series of the file.
  func table() throws(SeriesError) -> SeriesTable {
    var report = DataReport(source: source.name)
    var series: [TimeSeries] = []
    var lines: [[Int]] = []
    var seen: Set<String> = []
    var hasClock = true
    for (number, text) in source.lines where !text.isEmpty {
      guard let object = try? JSONValue(text, name: source.name), object["target"] != nil else {
        throw .badFormat(
          file: source.name, line: number, found: "'\(source.text(text.prefix(40)))'",
          expected: "a JSON object with a target")
      }
      report.rowsRead += 1
      let one = try self.series(object, line: number, seen: &seen)
      hasClock = hasClock && object["start"] != nil
      guard one.values.contains(where: { !$0.isNaN }) else {
        report.add(.unreadableRow, line: number, series: one.id, "found no number in the line")
        continue
      }
      series.append(one)
      lines.append(Array(repeating: number, count: one.count))
    }
    guard !series.isEmpty else { throw .noUsableRows(file: source.name, target: "target") }
    report.rowsUsed = series.count
    report.choose("series", "one per line", because: "each line is a JSON object with a target")
    report.choose(
      "time", hasClock ? "start and frequency" : "none",
      because: hasClock ? "every line has a start" : "a line has no start")
    return SeriesChecks.table(
      series, lines: lines, targetName: "target",
      covariateNames: series.first?.covariates.map(\.name) ?? [], hasClock: hasClock,
      options: options, report: report)
  }

  private func series(
    _ object: JSONValue, line: Int, seen: inout Set<String>
  ) throws(SeriesError) -> TimeSeries {
    let values = try numbers(object["target"], "target", line: line)
    var start: Timestamp?
    if let text = object["start"]?.text {
      start = Timestamp(text) ?? DateStyle.yearMonth.parse(text)
      guard start != nil else {
        throw .unreadableTime(
          file: source.name, column: "start", line: line, found: String(text.prefix(40)),
          reason: "a date such as 2015-12-31 13:05:09")
      }
    }
    let frequency = options.frequency ?? object["freq"]?.text.flatMap { Frequency($0) }
    guard start == nil || frequency != nil else {
      throw .needsFrequency(file: source.name, line: line)
    }
    var id = object["item_id"]?.text ?? "\(seen.count)"
    while !seen.insert(id).inserted { id += " 2" }
    var one = try StampedValues(values, start: start, frequency: frequency)
      .series(id, file: source.name, line: line)
    guard case .array(let features)? = object["feat_dynamic_real"] else { return one }
    for (index, feature) in features.enumerated() {
      let all = try numbers(feature, "feat_dynamic_real", line: line)
      guard all.count >= one.count else {
        throw .badFormat(
          file: source.name, line: line,
          found: "\(all.count) numbers in feat_dynamic_real, but \(one.count) in target",
          expected: "at least as many")
      }
      let name = "feat_dynamic_real_\(index)"
      one.covariates.append(Covariate(name: name, values: Array(all.prefix(one.count))))
      try addFuture(all.dropFirst(one.count), name: name, to: &one, frequency, line: line)
    }
    return one
  }

  /// What a feature says beyond the target is the known future.
  private func addFuture(
    _ rest: ArraySlice<Double>, name: String, to one: inout TimeSeries, _ frequency: Frequency?,
    line: Int
  ) throws(SeriesError) {
    guard !rest.isEmpty, let last = one.timestamps.last else { return }
    if one.future.isEmpty {
      let cadence = Cadence(frequency ?? .steps)
      one.future.timestamps = (try? cadence.stamps(after: last, count: rest.count)) ?? []
    }
    guard one.future.timestamps.count == rest.count else {
      throw .badFormat(
        file: source.name, line: line, found: "features of different lengths",
        expected: "one length for all")
    }
    one.future.covariates.append(Covariate(name: name, values: Array(rest)))
  }

  private func numbers(
    _ value: JSONValue?, _ name: String, line: Int
  ) throws(SeriesError) -> [Double] {
    guard case .array(let items)? = value else {
      throw .badFormat(
        file: source.name, line: line, found: "no list under '\(name)'",
        expected: "a list of numbers")
    }
    var numbers: [Double] = []
    for item in items {
      switch item {
      case .number(let text):
        let number = Double(text) ?? .nan
        numbers.append(number.isFinite ? number : .nan)
      case .null: numbers.append(.nan)
      case .string(let text) where NumberStyle().isMissing(Array(text.utf8)[...]):
        numbers.append(.nan)
      default:
        throw .badFormat(
          file: source.name, line: line, found: "something else than a number under '\(name)'",
          expected: "numbers alone")
      }
    }
    return numbers
  }
}

extension JSONValue {
  /// A text, or a number as it is written; nil for anything else.
  fileprivate var text: String? {
    switch self {
    case .string(let text): text
    case .number(let text): text
    default: nil
    }
  }
}
