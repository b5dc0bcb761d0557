public import ApusData
import ApusTensor
package import ApusModels

extension FeatureRecipe {
  /// Fits what known inputs do to the rows of a table, already measured.
  static func effect(
    of known: KnownInputs, on table: SeriesTable, rows: [Range<Int>]
  ) -> CovariateEffect? {
    let length = table.cadence.seasonPlaces ?? 1
    let histories = zip(table.series, rows).map { series, rows in
      let inputs = known.inputs(of: series)
      return CovariateEffect.History(
        id: series.id, values: Array(series.values[rows]), inputs: Array(inputs[rows]),
        places: length > 1
          ? series.timestamps[rows].map { table.cadence.seasonPlace(of: $0) ?? 0 } : [])
    }
    return CovariateEffect(
      fitting: histories, season: length,
      longest: max(length, table.cadence.longerSeasons.max() ?? 1))
  }

  /// The columns that are known ahead, by the names of a person's file and not of what the measure made of
  /// them.
  var knownNames: [String] {
    var names: [String] = []
    for column in known?.columns ?? [] {
      let name =
        table?.categories.keys.first { column.hasPrefix($0 + "=") }
        ?? table?.covariates.first { measure.covariateName($0) == column } ?? column
      if !names.contains(name) { names.append(name) }
    }
    return names
  }

  /// What known inputs do to each row of a series, already measured.
  package func shifts(_ series: TimeSeries) -> [Shift] {
    guard let known, let effect = effect?.of(series.id) else {
      return Array(repeating: .none, count: series.count)
    }
    return known.inputs(of: series).map { effect($0) }
  }

  /// The values of a series, already measured, without what known inputs do to them.
  package func rest(of series: TimeSeries) -> [Double] {
    guard effect != nil else { return series.values }
    return zip(shifts(series), series.values).map { $0.removed(from: $1) }
  }

  /// What is known of the steps ahead does to them; nothing where nothing is known.
  package func shifts(of series: String, _ ahead: RowsAhead) -> [Shift] {
    KnownView(self, series: series).rows(ahead).map(\.shift)
  }

  /// What is known of rows ahead of a series.
  ///
  /// - Parameters:
  ///   - series: The series, measured.
  ///   - stamps: The times ahead.
  /// - Returns: A row for each of the times; none where nothing is known ahead.
  /// - Throws: `KnownFutureError` for the first number that is not there.
  package func rowsAhead(
    of series: TimeSeries, at stamps: [Timestamp]
  ) throws(KnownFutureError) -> RowsAhead {
    guard let known else { return .unknown }
    return try series.rowsAhead(known.columns, at: stamps)
  }
}

/// What is known of a row before it comes.
package struct KnownRow: Sendable, Equatable {
  /// `[K]`, in standard units.
  package var inputs: [Float]
  /// What they do to its value.
  package var shift: Shift

  /// A row of which nothing is known.
  static let nothing = KnownRow(inputs: [], shift: .none)
}

/// How the rows of one series are known ahead.
struct KnownView: Sendable {
  private let inputs: KnownInputs?
  private let effect: SeriesEffect
  /// Where the columns that are known ahead stand among the covariates.
  private let places: [Int]

  /// - Parameters:
  ///   - recipe: How rows are seen.
  ///   - series: The name of the series.
  ///   - hasEffect: Whether what known inputs do to values is told. Default: yes.
  init(_ recipe: FeatureRecipe, series: String?, hasEffect: Bool = true) {
    (inputs, effect) = (recipe.known, (hasEffect ? recipe.effect?.of(series) : nil) ?? .none)
    places = recipe.known?.columns.compactMap { recipe.covariates.firstIndex(of: $0) } ?? []
  }

  /// What was known of a row whose covariates are those, in the order of the recipe.
  func row(_ covariates: [Double], at stamp: Timestamp) -> KnownRow {
    row(columns: places.map { covariates[$0] }, at: stamp)
  }

  /// What is known of rows ahead.
  func rows(_ ahead: RowsAhead) -> [KnownRow] {
    zip(ahead.columns, ahead.stamps).map { row(columns: $0, at: $1) }
  }

  private func row(columns: [Double], at stamp: Timestamp) -> KnownRow {
    guard let numbers = inputs?(columns, at: stamp) else { return .nothing }
    return KnownRow(inputs: numbers.map { Float($0) }, shift: effect(numbers))
  }
}

/// The columns of one series that are known ahead, by time, for a series that grows.
struct KnownRows: Sendable {
  private let columns: [String]
  private let series: String
  private let isAnythingKnown: Bool
  private var rows: [Timestamp: [Double]] = [:]

  /// Takes what is known in the rows of a series, not measured yet, and in its future.
  ///
  /// - Throws: `MeasureError`.
  init(_ recipe: FeatureRecipe, series: TimeSeries?, name: String) throws {
    (columns, self.series) = (recipe.known?.columns ?? [], name)
    isAnythingKnown = recipe.known != nil
    guard !columns.isEmpty, let series else { return }
    let measured = try recipe.measure.apply(to: series)
    let past = columns.map { measured.covariate(named: $0) }
    let future = columns.map { measured.future.covariate(named: $0) }
    for (row, stamp) in measured.timestamps.enumerated() {
      rows[stamp] = past.map { $0?[row] ?? .nan }
    }
    for (row, stamp) in measured.future.timestamps.enumerated() {
      rows[stamp] = future.map { $0?[row] ?? .nan }
    }
  }

  /// Adds the columns of a table of rows ahead, not measured yet.
  mutating func know(_ more: TimeSeries, measure: Measure) {
    var stream = MeasureStream(measure, covariates: more.covariates.map(\.name))
    let names = stream.covariateNames
    // The measure of a first row is nothing.
    _ = stream.push(1, covariates: more.covariates.map { _ in .nan })
    for (row, stamp) in more.timestamps.enumerated() {
      let numbers = more.covariates.map { $0.values[row] }
      guard let measured = stream.push(.nan, covariates: numbers) else { continue }
      know(
        Dictionary(
          zip(names, measured.covariates).filter { $0.1.isFinite },
          uniquingKeysWith: { one, _ in one }), at: stamp)
    }
  }

  /// Adds what is known of a time.
  mutating func know(_ values: [String: Double], at stamp: Timestamp) {
    let known = rows[stamp]
    rows[stamp] = columns.enumerated().map { values[$1] ?? known?[$0] ?? .nan }
  }

  /// The rows at given times.
  ///
  /// - Throws: `KnownFutureError` for the first number that is not there.
  func callAsFunction(at stamps: [Timestamp]) throws(KnownFutureError) -> RowsAhead {
    guard isAnythingKnown else { return .unknown }
    var ahead = RowsAhead(stamps: stamps)
    for stamp in stamps {
      let numbers = rows[stamp] ?? columns.map { _ in .nan }
      for (name, number) in zip(columns, numbers) where !number.isFinite {
        throw KnownFutureError(column: name, series: series, time: stamp)
      }
      ahead.columns.append(numbers)
    }
    return ahead
  }
}

extension KnownInputs {
  /// The inputs of every row of a series, `[T][K]`; 0 where a column is missing.
  func inputs(of series: TimeSeries) -> [[Double]] {
    let columns = columns.map { series.covariate(named: $0) ?? [] }
    return series.timestamps.enumerated().map { row, stamp in
      self(columns.map { row < $0.count ? $0[row] : .nan }, at: stamp)
    }
  }
}

extension Model {
  /// Reads the columns that are known ahead from a table that need not have the target.
  ///
  /// - Parameters:
  ///   - path: A CSV with times, names where there are several series, and the columns.
  ///   - options: What is known about them.
  /// - Returns: The rows.
  /// - Throws: `SeriesError`; ``ForecastError/nothingKnown(model:)`` where the model reads no such column.
  public func knownTable(
    readingCSVAt path: String, options: SeriesOptions = SeriesOptions()
  ) throws -> SeriesTable {
    guard recipe.known?.columns.isEmpty == false else {
      throw ForecastError.nothingKnown(model: name)
    }
    return try SeriesTable(
      readingKnownAt: path, columns: recipe.knownNames, options: options.completed(by: self))
  }
}
