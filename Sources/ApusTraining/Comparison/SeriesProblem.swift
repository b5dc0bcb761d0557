import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import Foundation

/// What all contenders of a comparison of series share.
struct SeriesProblem {
  let table: SeriesTable
  let measure: Measure
  /// Rows that forecasters read, L.
  let lookBack: Int
  let split: Split
  let recipe: FeatureRecipe
  let frames: [SeriesFrame]
  /// The naive forecaster of every series, fitted to its training rows: what stands in for a baseline that
  /// needs more of them. Nil where there is nothing to fit to; such a series is not judged.
  let naive: [Baseline?]
  /// The unit that losses of every series are given in; 1 where all series have one unit.
  let scales: [Double]?
  /// The question to the classical baselines.
  let task: ForecastTask
  /// What inputs that are known ahead do to every row; nil where they do nothing.
  private let shifts: [[Shift]]?
  /// The values without that; nil where it is nothing.
  private let rests: [[Double]]?
  /// Whether quantiles are corrected by what validation says about them.
  let isConformal: Bool
  /// Whether no value can be negative: none is in the rows before the test part.
  let isNonNegative: Bool
  /// Whether levels wander like prices in the rows before the test part.
  let wanders: Bool
  /// One date in so many is a forecast origin.
  let originStride: Int
  private let validation, test: ForecastOrigins

  /// Reads nothing but the table: fits scalers on the training part and makes the frames.
  init(_ table: SeriesTable, options: ComparisonOptions) throws {
    let measure = options.measure ?? Measure.inferred(for: table).measure
    (self.measure, lookBack) = (measure, options.lookBack)
    try options.head.requireFit(table, measure: measure)
    let measured = try table.measured(as: measure)
    let split = try Split(
      measured, sizes: options.sizes, horizon: options.horizon, embargo: options.embargo)
    let recipe = try FeatureRecipe(
      fitting: measured, measure: measure, covariates: options.covariates, future: options.future,
      holidays: options.holidays, split: split,
      window: ForecasterConfig.usualWindow(context: options.lookBack),
      kind: options.head.scaleKind)
    (self.table, self.split, self.recipe) = (measured, split, recipe)
    frames = try recipe.frames(measured.series)
    let season = measure == .level ? measured.cadence.seasonLength : 1
    let task = ForecastTask(
      horizon: options.horizon, levels: options.levels, seasonLength: season,
      measure: ForecastTask.Kind(measure))
    self.task = task
    shifts = recipe.effect == nil ? nil : measured.series.map { recipe.shifts($0) }
    let rests = recipe.effect == nil ? nil : measured.series.map { recipe.rest(of: $0) }
    self.rests = rests
    let training = measured.series.enumerated().map { index, series in
      Array(series.values[split.fittingRows(series: index)])
    }
    let naive = sideBySide(measured.series.count) { index -> Baseline? in
      let rows = Array(
        (rests?[index] ?? measured.series[index].values)[split.fittingRows(series: index)])
      var baseline = Baseline.naive
      return (try? baseline.fit(rows, task: task)).map { baseline }
    }
    self.naive = naive
    scales = measure == .level ? Self.units(training, season: season) : nil
    // What is made of returns counts single days.
    let stride = measure == .level ? split.originStride : 1
    wanders = measure == .level && measured.wandersLikePrices(before: split)
    originStride = stride
    func origins(_ part: Split.Part) -> ForecastOrigins {
      ForecastOrigins(measured, split: split, part: part, stride: stride) { naive[$0] != nil }
    }
    (validation, test) = (origins(.validation), origins(.test))
    isConformal = options.isConformal
    isNonNegative =
      measure == .volatility
      || measure == .level
        && measured.series.enumerated().allSatisfy { index, series in
          let end = split.rows(.test, series: index).lowerBound
          return series.values.prefix(end).allSatisfy { !($0 < 0) }
        }
  }

  /// A series without what known inputs do, as the classical baselines see it.
  func rest(_ series: Int) -> [Double] { rests?[series] ?? table.series[series].values }

  /// Forecasts of the rest with what known inputs do to the rows after each origin.
  func shifted(
    _ forecasts: [BaselineForecast], series: Int, origins: [Int]
  ) -> [BaselineForecast] {
    guard let shifts = shifts?[series] else { return forecasts }
    return zip(forecasts, origins).map { $0.shifted(by: shifts.dropFirst($1)) }
  }

  func origins(_ part: Split.Part) -> ForecastOrigins { part == .test ? test : validation }

  /// Where a row of a series stands on the time axis of the record.
  func time(_ row: Int, of series: TimeSeries) -> Double {
    table.cadence.frequency == .steps
      ? Double(row) : Double(series.timestamps[row].secondsSinceEpoch)
  }

  /// Whether series are what tests and intervals count: many that share no clock, so that none is known to
  /// depend on another. Else dates are, at which all series may move together.
  var judgesBySeries: Bool { table.cadence.frequency == .steps && table.series.count >= 20 }

  /// How many successive units of ``units(_:)`` share some target.
  var overlap: Int {
    judgesBySeries ? 1 : (split.horizon + originStride - 1) / originStride
  }

  /// The losses that tests and intervals count.
  func units(_ score: ForecastScore) -> [Double] {
    judgesBySeries ? score.lossBySeries.filter(\.isFinite) : score.losses
  }

  /// Whether most values of training are 0, as of demand that comes now and then.
  var isIntermittent: Bool {
    var (zeros, count) = (0, 0)
    for (index, series) in table.series.enumerated() {
      for value in series.values[split.fittingRows(series: index)] where value.isFinite {
        count += 1
        if value == 0 { zeros += 1 }
      }
    }
    return 2 * zeros > count
  }

  /// Series that are not judged, as their training part has too few values.
  var unjudged: [String] {
    zip(table.series, naive).filter { $0.1 == nil }.map(\.0.id)
  }

  /// What a run must find unchanged when it is resumed.
  func identity(_ config: ForecasterConfig, of source: DataSource) throws -> TaskIdentity {
    struct Identity: Encodable {
      let config: ForecasterConfig
      let recipe: FeatureRecipe
      let target: String
      let rows: [[Range<Int>]]
    }
    let identity = Identity(
      config: config, recipe: recipe, target: table.targetName, rows: split.rows)
    return TaskIdentity(
      configuration: String(decoding: try JSONEncoder.tidy.encode(identity), as: UTF8.self),
      dataSHA256: source.sha256)
  }

  /// Mean steps of a season of every series in training, the unit of scaled errors (Hyndman and Koehler,
  /// 2006); nil where there is one series, or all have about the same.
  static func units(_ training: [[Double]], season: Int) -> [Double]? {
    let steps = training.map { rows -> Double? in
      let moves = rows.indices.dropFirst(season).map { abs(rows[$0] - rows[$0 - season]) }
        .filter(\.isFinite)
      guard !moves.isEmpty else { return nil }
      let mean = moves.reduce(0, +) / Double(moves.count)
      return mean > 0 && mean.isFinite ? mean : nil
    }
    let known = steps.compactMap(\.self).sorted()
    guard training.count > 1, let low = known.first, let high = known.last, high > 2 * low else {
      return nil
    }
    // A series that stood still in training has the usual unit.
    return steps.map { $0 ?? known[known.count / 2] }
  }
}

extension Split {
  /// Steps of forecasts that a part has at most where fewer origins say as much.
  private static let mostSteps = 250_000

  /// One origin in so many of the validation and the test part is forecast from: four to a horizon at least,
  /// which share three quarters of their targets with the next.
  var originStride: Int {
    guard horizon >= 8 else { return 1 }
    let most =
      [Part.validation, .test].map { part in
        rows.indices.reduce(0) { $0 + origins(part, series: $1, lookBack: 1).count * horizon }
      }.max() ?? 0
    return min(max(1, most / Self.mostSteps), horizon / 4)
  }
}
