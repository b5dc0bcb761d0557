#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#endif

/// Looks series over for what spoils forecasts, once they stand.
struct SeriesChecks {
  /// The logarithmic step of a price above which a mistake or a corporate action is likelier than trade.
  static let jumpLimit = 0.35

  /// Assembles the table: cadence, gaps, and the checks on prices.
  ///
  /// - Parameters:
  ///   - series: The series, in order of time.
  ///   - lines: Line of each row, by series.
  ///   - targetName: Name of the target, empty when each series is a column.
  ///   - covariateNames: Columns beside the target.
  ///   - hasClock: Stamps are moments and not counts.
  ///   - options: What a person says of frequency and season.
  ///   - report: What reading found.
  /// - Returns: The table with its report complete.
  static func table(
    _ series: [TimeSeries], lines: [[Int]], targetName: String, covariateNames: [String],
    hasClock: Bool, options: SeriesOptions, report: DataReport
  ) -> SeriesTable {
    var table = SeriesTable(
      series: series, targetName: targetName, covariateNames: covariateNames,
      cadence: Cadence(.steps), report: report)
    table.report.seriesCount = series.count
    let filled = series.filter { $0.count > 0 }
    if hasClock {
      let longest = filled.max { $0.count < $1.count }?.timestamps ?? []
      table.cadence = Cadence(inferredFrom: longest)
      if let known = options.frequency, known != table.cadence.frequency {
        table.cadence = Cadence(known)
      }
      table.report.firstTime = filled.compactMap(\.timestamps.first).min()
      table.report.lastTime = filled.compactMap(\.timestamps.last).max()
      table.report.choose(
        "frequency", table.cadence.frequency.name,
        because: options.frequency == nil
          ? "of the distances between the rows of the longest series" : "you named it")
      table.noteWeekdays()
      table.noteHoles(lines)
    }
    table.cadence.longerSeasons = options.longerSeasons
    table.cadence.season =
      options.season ?? (hasClock ? nil : options.frequency.map { Cadence($0).seasonLength })
    for (index, one) in series.enumerated() {
      table.noteConstantRuns(one, lines[index])
      table.notePrices(one, lines[index])
      table.noteOutliers(one, lines[index])
    }
    table.noteFuture()
    return table
  }
}

extension SeriesTable {
  /// Name for examples; nil when the table has one series only.
  private func label(_ one: TimeSeries) -> String? { series.count > 1 ? one.id : nil }

  /// Daily rows on days that are not one week's working days often come from stamps of another zone.
  fileprivate mutating func noteWeekdays() {
    let open = cadence.openWeekdays
    guard cadence.frequency == .businessDays, open != [true, true, true, true, true, false, false]
    else { return }
    let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    let days = zip(names, open).filter(\.1).map(\.0).joined(separator: ", ")
    report.notes.append(
      "Rows stand on \(days); if that is not the market's week, check the zone of the dates.")
  }

  fileprivate mutating func noteHoles(_ lines: [[Int]]) {
    if let calendar = sharedCalendar() {
      noteAbsences(from: calendar, lines)
      return
    }
    // Series of one row share their stamps; their gaps are reported once.
    var seen: [Timestamp] = []
    for (index, one) in series.enumerated() where one.timestamps != seen {
      seen = one.timestamps
      var position = 0
      for hole in cadence.holes(in: one.timestamps) {
        while one.timestamps[position] < hole.before { position += 1 }
        let detail = "\(hole.missing) missing after \(hole.after)"
        report.add(
          hole.isClosure ? .closure : .gap, line: lines[index][position], series: label(one),
          time: hole.before, rows: hole.missing, detail)
      }
    }
  }

  /// All stamps of a panel: where enough series share a calendar it shows what a holiday is.
  private func sharedCalendar() -> [Timestamp]? {
    guard series.count >= 3, cadence.frequency != .irregular else { return nil }
    let longest = series.map(\.count).max() ?? 0
    var stamps: Set<Timestamp> = []
    for one in series where one.timestamps != series[0].timestamps || stamps.isEmpty {
      stamps.formUnion(one.timestamps)
    }
    return stamps.count * 2 <= longest * 3 ? stamps.sorted() : nil
  }

  private mutating func noteAbsences(from calendar: [Timestamp], _ lines: [[Int]]) {
    for hole in cadence.holes(in: calendar) {
      report.add(
        hole.isClosure ? .closure : .gap, time: hole.before, rows: hole.missing,
        "\(hole.missing) missing in every series after \(hole.after)")
    }
    for (index, one) in series.enumerated() {
      guard var position = one.timestamps.first.flatMap({ calendar.firstIndex(of: $0) }) else {
        continue
      }
      for (row, stamp) in one.timestamps.enumerated() {
        var missing = 0
        while calendar[position] < stamp {
          missing += 1
          position += 1
        }
        position += 1
        guard missing > 0 else { continue }
        report.add(
          .gap, line: lines[index][row], series: label(one), time: stamp, rows: missing,
          "\(missing) missing that other series have")
      }
    }
  }

  fileprivate mutating func noteConstantRuns(_ one: TimeSeries, _ lines: [Int]) {
    for run in DataCheck.constantRuns(of: one.values) {
      let start = run.lowerBound
      report.add(
        .constantStretch, line: lines[start], series: label(one), time: clock(one, start),
        rows: run.count, "\(one.values[start]) for \(run.count) rows")
    }
  }

  fileprivate mutating func noteOutliers(_ one: TimeSeries, _ lines: [Int]) {
    for row in DataCheck.outliers(of: one.values) {
      report.add(
        .outlier, line: lines[row], series: label(one), time: clock(one, row),
        "\(one.values[row])")
    }
  }

  /// What the table gives of the time after the last values.
  fileprivate mutating func noteFuture() {
    let ahead = series.filter { !$0.future.isEmpty }
    guard let first = ahead.first else { return }
    let rows = ahead.reduce(0) { $0 + $1.future.timestamps.count }
    let times = ahead.flatMap(\.future.timestamps)
    var text = "\(rows) row\(rows == 1 ? "" : "s") behind the last value"
    if cadence.frequency != .steps, let start = times.min(), let end = times.max() {
      text += start == end ? " (\(start))" : " (\(start) to \(end))"
    }
    text += " \(rows == 1 ? "is" : "are") the known future; forecasts start after the last value"
    if cadence.frequency != .steps, let last = first.timestamps.last, ahead.count == 1 {
      text += ", \(last)"
    }
    report.notes.append(text + ".")
  }

  private func clock(_ one: TimeSeries, _ row: Int) -> Timestamp? {
    cadence.frequency == .steps ? nil : one.timestamps[row]
  }

  fileprivate mutating func notePrices(_ one: TimeSeries, _ lines: [Int]) {
    var columns = PriceColumn.allCases.filter { $0 != .volume }.compactMap { role in
      one.column(role).map { (name: role.rawValue, values: $0) }
    }
    let isBar = columns.count >= 2
    if PriceColumn.isTargetOfPrice(targetName) {
      columns.append((targetName, one.values))
    }
    for (name, values) in columns {
      for (row, value) in values.enumerated() where value <= 0 {
        report.add(
          .nonPositivePrice, line: lines[row], series: label(one), time: clock(one, row),
          "\(name) is \(value)")
      }
    }
    if isBar {
      if let high = one.column(.high), let low = one.column(.low) {
        for row in high.indices where high[row] < low[row] {
          report.add(
            .highBelowLow, line: lines[row], series: label(one), time: clock(one, row),
            "high \(high[row]), low \(low[row])")
        }
      }
    }
    guard isBar || one.looksLikePrice || PriceColumn.isTargetOfPrice(targetName) else { return }
    var last: Double?
    for (row, value) in one.values.enumerated() where value > 0 {
      if let last, abs(log(value / last)) > SeriesChecks.jumpLimit {
        report.add(
          .jump, line: lines[row], series: label(one), time: clock(one, row),
          "from \(last) to \(value)")
      }
      last = value
    }
  }
}

/// The columns of a price bar, recognized by name.
public enum PriceColumn: String, Codable, Sendable, CaseIterable {
  /// First price of the bar.
  case open
  /// Highest price.
  case high
  /// Lowest price.
  case low
  /// Last price.
  case close
  /// Amount traded, or the number of ticks.
  case volume

  private static let names: [PriceColumn: [String]] = [
    .open: ["open", "openprice", "o"],
    .high: ["high", "highprice", "h"],
    .low: ["low", "lowprice", "l"],
    .close: ["close", "closeprice", "closelast", "c"],
    .volume: ["volume", "vol", "tickvolume", "tickvol", "v"],
  ]

  /// The column that goes by a name; nil for none.
  public init?(columnName: String) {
    let wanted = normalizedName(columnName)
    guard let found = Self.allCases.first(where: { Self.names[$0]?.contains(wanted) == true })
    else {
      return nil
    }
    self = found
  }

  /// Whether a target of that name is a price.
  static func isTargetOfPrice(_ name: String) -> Bool {
    let words = ColumnNames.words(name)
    return !Set(words).isDisjoint(with: priceWords)
      || ["adjclose", "closeprice", "closelast", "pxlast", "last"].contains(normalizedName(name))
  }

  private static let priceWords: Set<String> = [
    "close", "price", "settle", "settlement", "px", "kurs", "schlusskurs", "cours",
    "cierre",
    "quote", "nav", "mid", "bid", "ask",
  ]
}

extension TimeSeries {
  /// A column of a price bar among the covariates.
  public func column(_ role: PriceColumn) -> [Double]? {
    covariates.first { PriceColumn(columnName: $0.name) == role }?.values
  }

  /// Positive throughout and moving by less than 5 % in its median step, never standing mostly still.
  public var looksLikePrice: Bool {
    var steps: [Double] = []
    var last: Double?
    for value in values where !value.isNaN {
      guard value > 0 else { return false }
      if let last { steps.append(abs(log(value / last))) }
      last = value
    }
    guard steps.count >= 10 else { return false }
    return OrderStatistics(steps)[steps.count / 2] < 0.05
  }
}
