public import ApusData
public import ApusEvaluation
import ApusRuntime
public import ApusTensor

/// Forecasts that somebody else made, in the layout that `apus backtest` writes.
///
/// One row per series and time: `unique_id` (none where there is one series), `ds`, where it is known
/// `cutoff`, the last time that the forecast had read, and `y`, what came. Every other column is a
/// forecaster: `name` or `name-median`, `name-lo-80`, `name-hi-80`.
public struct ForecastFile: Sendable {
  /// The forecasts.
  public let table: ForecastTable
  /// The unit of errors of each series; nil where they are all in one, or no data was given.
  public let units: [String: Double]?
  /// How many successive origins share some target.
  let overlap: Int

  /// Reads a file.
  ///
  /// - Parameters:
  ///   - path: A CSV.
  ///   - data: The series, of which values that the file lacks and units of errors are taken. Default:
  ///     none, the file has a column `y`.
  /// - Throws: ``ForecastFileError``, `SeriesError`.
  public init(readingCSVAt path: String, data: SeriesTable? = nil) throws {
    let cells = try CellTable(readingCSVAt: path)
    let columns = try Columns(cells.names, file: path)
    guard columns.actual != nil || data != nil else {
      throw ForecastFileError.noActual(file: path, columns: cells.names)
    }
    let known = data.map(Self.values) ?? [:]
    func number(_ row: Int, _ column: Int) throws -> Double {
      let text = cells.rows[row][column]
      if text.isEmpty || ["nan", "na", "null"].contains(text.lowercased()) { return .nan }
      guard let value = Double(text), value.isFinite else {
        throw ForecastFileError.badNumber(
          file: path, line: cells.lines[row], column: cells.names[column], found: text)
      }
      return value
    }
    var rows: [ForecastTable.Row] = []
    for row in cells.rows.indices {
      func text(_ column: Int?) -> String { column.map { cells.rows[row][$0] } ?? "" }
      let (series, ds) = (text(columns.series), Self.plain(text(columns.time)))
      let actual =
        try columns.actual.map { try number(row, $0) } ?? known[Key(series: series, ds: ds)] ?? .nan
      let quantiles = try columns.models.map { model in
        let found = try model.columns.map { try number(row, $0) }
        return found.allSatisfy(\.isFinite) ? found.sorted() : []
      }
      rows.append(
        ForecastTable.Row(
          series: series, cutoff: Self.plain(text(columns.cutoff)), ds: ds, step: 1, date: 0,
          actual: actual, quantiles: quantiles))
    }
    let models = columns.models.map { ForecastTable.Model(name: $0.name, levels: $0.levels) }
    (table, overlap) = (
      ForecastTable(models: models, rows: Self.placed(rows)), Self.overlap(rows)
    )
    units = data.flatMap { Self.units($0, before: rows) }
  }

  /// The scores.
  ///
  /// - Throws: ``BacktestError/nothingScored``, `MetricError`.
  public func scores() throws -> BacktestResult {
    var result = BacktestResult(
      table: table, origins: Set(table.rows.map(\.date)).count, measure: .level)
    result.summaries = try table.summaries(units: units, overlap: overlap)
    result.bySeries = try table.summariesBySeries(units: units)
    guard !result.summaries.isEmpty else { throw BacktestError.nothingScored }
    let left = table.rows.count - (result.summaries.first?.count ?? 0)
    if left > 0 {
      result.notes.append(
        "\(left) of \(table.rows.count) rows are not scored: not every forecaster has a number there, or "
          + "nothing came.")
    }
    return result
  }

  private struct Key: Hashable {
    let series, ds: String
  }

  /// A time as text without what does not tell it from another: `2024-01-02T00:00:00` is `2024-01-02`.
  private static func plain(_ text: String) -> String {
    var plain = text.replacing("T", with: " ")
    if plain.hasSuffix("Z") { plain.removeLast() }
    for end in [".000", ":00", " 00:00"] where plain.hasSuffix(end) && plain.count > 10 {
      plain.removeLast(end.count)
    }
    return plain
  }

  private static func values(_ data: SeriesTable) -> [Key: Double] {
    var values: [Key: Double] = [:]
    for one in data.series {
      for (stamp, value) in zip(one.timestamps, one.values) {
        let ds = plain(data.cadence.text(stamp))
        values[Key(series: one.id, ds: ds)] = value
        if data.series.count == 1 { values[Key(series: "", ds: ds)] = value }
      }
    }
    return values
  }

  /// Rows with the number of their step, and of their origin among all.
  private static func placed(_ rows: [ForecastTable.Row]) -> [ForecastTable.Row] {
    let hasCutoff = rows.contains { !$0.cutoff.isEmpty }
    let origins = Set(rows.map { hasCutoff ? $0.cutoff : $0.ds }).sorted()
    let dates = Dictionary(
      origins.enumerated().map { ($1, $0) }, uniquingKeysWith: { one, _ in one })
    var steps: [Key: Int] = [:]
    return rows.map { row in
      var row = row
      row.date = dates[hasCutoff ? row.cutoff : row.ds] ?? 0
      let key = Key(series: row.series, ds: row.cutoff)
      steps[key, default: 0] += 1
      row.step = hasCutoff ? steps[key] ?? 1 : 1
      return row
    }
  }

  /// The most origins that forecast one time of one series.
  private static func overlap(_ rows: [ForecastTable.Row]) -> Int {
    var counts: [Key: Int] = [:]
    for row in rows { counts[Key(series: row.series, ds: row.ds), default: 0] += 1 }
    return max(1, counts.values.max() ?? 1)
  }

  /// Units of errors from the rows before the first forecast.
  private static func units(
    _ data: SeriesTable, before rows: [ForecastTable.Row]
  ) -> [String: Double]? {
    let first = rows.map(\.ds).min() ?? ""
    let training = data.series.map { one in
      zip(one.timestamps, one.values).filter { plain(data.cadence.text($0.0)) < first }.map(\.1)
    }
    guard let units = SeriesProblem.units(training, season: data.cadence.seasonLength) else {
      return nil
    }
    return Dictionary(
      zip(data.series.map(\.id), units).map { ($0, $1) }, uniquingKeysWith: { one, _ in one })
  }
}

extension ForecastFile {
  /// Which column is what.
  private struct Columns {
    struct Model {
      var name: String
      var levels: [Double]
      var columns: [Int]
    }

    var series, cutoff, actual: Int?
    var time: Int
    var models: [Model] = []

    init(_ names: [String], file: String) throws {
      let lower = names.map { $0.lowercased() }
      guard let time = lower.firstIndex(of: "ds") else {
        throw ForecastFileError.noTime(file: file, columns: names)
      }
      self.time = time
      series = lower.firstIndex(of: "unique_id")
      (cutoff, actual) = (lower.firstIndex(of: "cutoff"), lower.firstIndex(of: "y"))
      let taken = [time, series, cutoff, actual]
      var order: [String] = []
      var found: [String: [(level: Double, column: Int)]] = [:]
      for (column, name) in names.enumerated() where !taken.contains(column) && !name.isEmpty {
        let (model, level) = Self.quantile(name)
        if found[model] == nil { order.append(model) }
        found[model, default: []].append((level, column))
      }
      models = order.map { name in
        var levels: [(level: Double, column: Int)] = []
        for one in (found[name] ?? []).sorted(by: { $0.level < $1.level })
        where levels.last?.level != one.level { levels.append(one) }
        return Model(name: name, levels: levels.map(\.level), columns: levels.map(\.column))
      }
      guard !models.isEmpty else { throw ForecastFileError.noModel(file: file, columns: names) }
    }

    /// The forecaster and the level that a name tells.
    private static func quantile(_ name: String) -> (String, Double) {
      let words = name.split(separator: "-", omittingEmptySubsequences: false)
      if words.count > 1, words.last == "median" {
        return (words.dropLast().joined(separator: "-"), 0.5)
      }
      guard words.count > 2, let share = Double(words[words.count - 1]), (0..<100).contains(share)
      else { return (name, 0.5) }
      let model = words.dropLast(2).joined(separator: "-")
      switch words[words.count - 2] {
      case "lo": return (model, (1 - share / 100) / 2)
      case "hi": return (model, (1 + share / 100) / 2)
      default: return (name, 0.5)
      }
    }
  }
}

/// An error of a file of forecasts.
public enum ForecastFileError: Error, Equatable {
  /// It has no column of times.
  case noTime(file: String, columns: [String])
  /// It has no column of what came, and no data was given.
  case noActual(file: String, columns: [String])
  /// It has no column of forecasts.
  case noModel(file: String, columns: [String])
  /// A cell is no number.
  case badNumber(file: String, line: Int, column: String, found: String)
}

extension ForecastFileError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .noTime(let file, let columns):
      """
      \(file) has no column 'ds' of times; it has \(columns.joined(separator: ", ")). Rename the one that \
      holds them.
      """
    case .noActual(let file, _):
      "\(file) has no column 'y' of what came. Add it, or give the series with --data."
    case .noModel(let file, let columns):
      """
      \(file) has no forecasts: beside unique_id, ds, cutoff and y every column is one, but it has only \
      \(columns.joined(separator: ", ")).
      """
    case .badNumber(let file, let line, let column, let found):
      "\(file), line \(line): found '\(found)' in column '\(column)', expected a number or nothing."
    }
  }
}
