public import ApusData
import ApusModels
public import Foundation

/// One step ahead of a forecast.
public struct ForecastRow: Sendable, Hashable {
  /// The name of the series.
  public let series: String
  /// The time of the row; without a clock, the number of the step in seconds since 1970.
  public let date: Date
  /// The quantile levels, Q, ascending.
  public let levels: [Double]
  /// One for each level, in units of the measure.
  public let quantiles: [Double]

  /// The quantile whose level is nearest to one half.
  public var median: Double {
    let nearest = levels.indices.min { abs(levels[$0] - 0.5) < abs(levels[$1] - 0.5) }
    return nearest.map { quantiles[$0] } ?? .nan
  }

  /// The central interval that should hold such a share of outcomes: 0.8 lies between the quantiles 0.1
  /// and 0.9.
  ///
  /// - Throws: ``ForecastError/noLevel(asked:known:)``.
  public func interval(_ share: Double) throws -> ClosedRange<Double> {
    func quantile(_ level: Double) throws -> Double {
      guard let place = levels.firstIndex(where: { abs($0 - level) < 1e-9 }) else {
        throw ForecastError.noLevel(asked: level, known: levels)
      }
      return quantiles[place]
    }
    let (low, high) = (try quantile((1 - share) / 2), try quantile((1 + share) / 2))
    return min(low, high)...max(low, high)
  }
}

/// A ``Model`` at work on a live series: one row in, one forecast out.
public struct ModelStream {
  private var live: LiveSeries
  private var known: KnownRows
  private let model: Model
  private let id: String
  private let columns: Int
  /// The time of the last row.
  public private(set) var last: Timestamp

  init(_ model: Model, after series: TimeSeries) throws {
    guard let last = series.timestamps.last else {
      throw ForecastError.noHistory(series: series.id, rows: 0)
    }
    (self.model, self.last, id) = (model, last, series.id)
    columns = series.covariates.count
    known = try KnownRows(model.recipe, series: series, name: series.id)
    live = try LiveSeries(
      model, series: series.id, covariates: series.covariates.map(\.name), after: series)
  }

  /// Adds what is known of a row before it comes, beside what the future of ``Model/history`` says.
  ///
  /// - Parameters:
  ///   - values: Numbers by the names of columns that the model knows ahead; others are left.
  ///   - date: The time of the row.
  public mutating func know(_ values: [String: Double], at date: Date) {
    known.know(values, at: Timestamp(date))
  }

  /// Appends a row and forecasts the rows after it.
  ///
  /// - Parameters:
  ///   - value: The target as the series has it, not measured; NaN where missing.
  ///   - covariates: In the order of the covariates of ``Model/history``. Default: all missing.
  ///   - date: The time of the row, after the last one.
  /// - Returns: One row for each step ahead.
  /// - Throws: ``ForecastError/notLater(found:last:)``, ``NotFiniteError``, `BaselineError`,
  ///   `CadenceError`; `KnownFutureError` where a row ahead is not known, and then nothing is appended.
  public mutating func push(
    _ value: Double, covariates: [Double]? = nil, at date: Date
  ) throws -> [ForecastRow] {
    let stamp = Timestamp(date)
    guard stamp > last else { throw ForecastError.notLater(found: stamp, last: last) }
    let ahead = try model.recipe.cadence.stamps(after: stamp, count: model.horizon)
    let rows = try known(at: ahead)
    var beside = covariates ?? []
    beside += [Double](repeating: .nan, count: max(0, columns - beside.count))
    last = stamp
    let quantiles = try live.push(
      value, covariates: Array(beside.prefix(columns)), at: stamp, ahead: rows)
    return zip(ahead, quantiles ?? []).map { stamp, quantiles in
      ForecastRow(series: id, date: stamp.date, levels: model.levels, quantiles: quantiles)
    }
  }
}

/// One live series of any forecaster: rows as a file has them in, quantiles of the measure out.
struct LiveSeries {
  private enum Kind {
    case trained(ForecastStream)
    case composed(ComposedStream)
    case baseline(LiveBaseline)
  }

  private var kind: Kind
  private var measure: MeasureStream
  private let quantity: Measure
  /// Where the covariates of each recipe stand among the measured ones.
  private let places: [[Int]]
  /// How a baseline knows rows ahead; trained models do it themselves.
  private let known: KnownView

  /// Starts a live series of a model.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - series: The name of the series, by which its season is found.
  ///   - names: The columns beside the target, in the order in which rows will have them.
  ///   - history: Rows to go on from, with such columns. Default: none, the series begins.
  ///   - fitting: Rows to fit a baseline to, though the series begins. Default: none, a baseline is
  ///     fitted to the rows that come.
  /// - Throws: ``RecipeError`` when a covariate is not there, ``NotFiniteError``, `BaselineError`.
  init(
    _ model: Model, series: String, covariates names: [String], after history: TimeSeries? = nil,
    fitting: TimeSeries? = nil
  ) throws {
    let recipe = model.recipe
    (measure, places) = try Self.start([recipe], covariates: names)
    (quantity, known) = (recipe.measure, KnownView(recipe, series: series))
    for row in 0..<(history?.count ?? 0) {
      guard let history else { break }
      _ = measure.push(history.values[row], covariates: history.covariates.map { $0.values[row] })
    }
    let measured = try history.map { try recipe.measure.apply(to: $0) }
    switch model.kind {
    case .trained(let forecaster):
      kind = .trained(
        try measured.map { try ForecastStream(forecaster, recipe: recipe, after: $0) }
          ?? ForecastStream(forecaster, recipe: recipe, series: series))
    case .baseline(let baseline, let task, _):
      var live = LiveBaseline(baseline, task: task)
      if let known = try measured ?? fitting.map({ try recipe.measure.apply(to: $0) }) {
        // Too few of them: it is fitted as rows come.
        do { try live.fit(recipe.rest(of: known)) } catch BaselineError.historyTooShort {}
      }
      for value in measured.map(recipe.rest) ?? [] { try live.take(value) }
      kind = .baseline(live)
    }
  }

  /// Starts a live series of experts behind a router, all of one measure.
  init(
    _ composition: Composition, recipes: [FeatureRecipe],
    shelf: ExpertShelf<ModelFolder.SavedForecaster>, series: String, covariates names: [String]
  ) throws {
    (measure, places) = try Self.start(recipes, covariates: names)
    (quantity, known) = (measure.measure, KnownView(recipes[0], series: series))
    kind = .composed(
      try ComposedStream(
        composition, recipes: recipes, shelf: shelf, series: series))
  }

  private static func start(
    _ recipes: [FeatureRecipe], covariates names: [String]
  ) throws -> (MeasureStream, [[Int]]) {
    let measure = MeasureStream(recipes.first?.measure ?? .level, covariates: names)
    let known = measure.covariateNames.map { $0.lowercased() }
    let places = try recipes.map { recipe in
      try recipe.covariates.map { name in
        guard let place = known.firstIndex(of: name.lowercased()) else {
          throw RecipeError.missingCovariate(name, known: measure.covariateNames)
        }
        return place
      }
    }
    return (measure, places)
  }

  /// Appends a row and forecasts the rows after it.
  ///
  /// - Parameters:
  ///   - value: The target, not measured; NaN where missing.
  ///   - covariates: In the order of the initializer's names.
  ///   - stamp: The time of the row.
  ///   - ahead: What is known of the rows after it. Default: nothing.
  /// - Returns: `[P][Q]` in units of the measure; nil while nothing follows from the rows yet.
  /// - Throws: ``NotFiniteError``, `BaselineError`, and what loading an expert throws.
  mutating func push(
    _ value: Double, covariates: [Double], at stamp: Timestamp, ahead: RowsAhead = .unknown
  ) throws -> [[Double]]? {
    guard let row = measure.push(value, covariates: covariates) else { return nil }
    let own = places.map { $0.map { row.covariates[$0] } }
    let quantiles: [[Double]]?
    switch kind {
    case .trained(var stream):
      defer { kind = .trained(stream) }
      quantiles = try stream.push(row.value, covariates: own.first ?? [], at: stamp, ahead: ahead)
    case .composed(var stream):
      defer { kind = .composed(stream) }
      quantiles = try stream.push(row.value, covariates: own, at: stamp)
    case .baseline(var stream):
      defer { kind = .baseline(stream) }
      let shift = known.row(own.first ?? [], at: stamp).shift
      try stream.take(shift.removed(from: row.value))
      quantiles = try stream.forecast()?.shifted(by: known.rows(ahead).map(\.shift)).quantiles
    }
    return quantiles.map(quantity.possible)
  }
}

/// A baseline at work on a live series. Fitted to rows that are known before, it keeps its parameters;
/// else it is fitted to the rows that come, as soon as they are enough and whenever they have doubled.
struct LiveBaseline {
  private var baseline: Baseline
  private let task: ForecastTask
  private var stream: BaselineStream?
  /// The rows so far, while the baseline is fitted to them.
  private var rows: [Double] = []
  private var nextFit = 2
  private var isFixed = false

  init(_ baseline: Baseline, task: ForecastTask) { (self.baseline, self.task) = (baseline, task) }

  /// Fits to rows known before.
  ///
  /// - Throws: `BaselineError`.
  mutating func fit(_ values: [Double]) throws {
    try baseline.fit(values, task: task)
    stream = try baseline.stream(task)
    isFixed = true
  }

  /// Takes in the next value; NaN where it is missing.
  ///
  /// - Throws: `BaselineError` when numbers leave their range.
  mutating func take(_ value: Double) throws {
    stream?.push(value)
    guard !isFixed else { return }
    rows.append(value)
    guard rows.count >= nextFit else { return }
    do {
      try baseline.fit(rows, task: task)
      var fresh = try baseline.stream(task)
      for value in rows { fresh.push(value) }
      stream = fresh
      nextFit = 2 * rows.count
    } catch BaselineError.historyTooShort(_, _, let needed) {
      nextFit = max(needed, rows.count + 1)
    }
    // A rule that has seen so many rows is as good as fitted.
    if rows.count >= Model.mostRows { (isFixed, rows) = (true, []) }
  }

  /// What comes next; nil while too few rows are there.
  ///
  /// - Throws: `BaselineError` when numbers leave their range.
  func forecast() throws -> BaselineForecast? {
    do { return try stream?.forecast() } catch BaselineError.nothingBeforeOrigin {
      return nil
    } catch BaselineError.historyTooShort {
      return nil
    }
  }
}
