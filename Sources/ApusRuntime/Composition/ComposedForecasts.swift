public import ApusData
import ApusModels

extension FutureForecast {
  /// Forecasts from the last row of every series, each by the expert that the router chooses for it.
  ///
  /// A series keeps its expert for a block of L rows: the router looks at the L rows before the block that
  /// the last row lies in, as a stream does, so that both give the same.
  /// - Parameters:
  ///   - composition: Forecasters behind a router.
  ///   - table: The rows as read, not yet measured.
  /// - Throws: ``ModelFolderError``, `MeasureError`, ``RecipeError``, ``ForecastError``.
  public init(_ composition: Composition, table: SeriesTable) throws {
    try composition.require(.forecast)
    let shelf = composition.forecasters()
    let first = try shelf.model(composition.router.base)
    var series: [Series] = []
    for one in try table.measured(as: first.recipe.measure).series {
      let start = composition.blockStart(rows: one.count)
      let decision = composition.decide(series: one.values[..<start])
      let expert = start == 0 ? composition.router.base : decision.expert
      var alone = table
      alone.series = table.series.filter { $0.id == one.id }
      let model = Model(try shelf.model(expert), history: [])
      var forecast = try FutureForecast(model, table: alone).series
      for index in forecast.indices {
        forecast[index].expert = composition.experts[expert].name
      }
      series += forecast
    }
    self.init(
      model: "composition", measure: first.recipe.measure, levels: first.forecaster.config.levels,
      series: series)
  }
}

extension Composition {
  /// The experts, of which each must forecast what the first one asked for does.
  func forecasters() -> ExpertShelf<ModelFolder.SavedForecaster> {
    var wanted: (levels: [Double], horizon: Int, measure: Measure)?
    return ExpertShelf { number in
      let saved = try expert(number).forecaster().load()
      let config = saved.forecaster.config
      let found = (levels: config.levels, horizon: config.horizon, measure: saved.recipe.measure)
      guard found == wanted ?? found else {
        throw ModelFolderError.damaged(
          path: experts[number].path + "/apus.json",
          reason: "its levels, rows ahead or measure are not those of the other experts")
      }
      wanted = found
      return saved
    }
  }

  /// The first row of the block that the last of `rows` rows lies in: what is known before it decides.
  func blockStart(rows: Int) -> Int {
    let lookBack = lookBack ?? 1
    return max(rows - 1, 0) / lookBack * lookBack
  }
}

/// Forecasters behind a router at work on a live series.
///
/// Every L rows the router looks at the L rows before and may change the expert; the new one then reads
/// them, on which its forecasts rest. Scales of all experts run along, so memory does not grow.
struct ComposedStream {
  private let composition: Composition
  private let shelf: ExpertShelf<ModelFolder.SavedForecaster>
  /// Of each expert: how it sees rows, and the last L as it saw them.
  private var views: [(features: FeatureStream, block: [FeatureRow])]
  private var expert: Int
  private var memory: MemoryBank
  private var correction: ConformalCorrection?
  /// The last L measured values.
  private var values: [Double] = []
  private var rows = 0

  init(
    _ composition: Composition, recipes: [FeatureRecipe],
    shelf: ExpertShelf<ModelFolder.SavedForecaster>, series: String
  ) throws {
    self.composition = composition
    self.shelf = shelf
    views = recipes.map { (FeatureStream($0, series: series), []) }
    expert = composition.router.base
    let base = try shelf.model(expert)
    (memory, correction) = (MemoryBank(base.forecaster), base.correction)
    memory.add(after: [[]])
  }

  /// Appends a row and forecasts the rows after it.
  ///
  /// - Parameters:
  ///   - value: The target, measured; NaN where missing.
  ///   - covariates: Of each expert, in the order of its recipe.
  ///   - stamp: The row's time.
  /// - Returns: Quantiles `[P][Q]` in units of the measure.
  /// - Throws: What loading an expert throws, ``NotFiniteError``.
  mutating func push(
    _ value: Double, covariates: [[Double]], at stamp: Timestamp
  ) throws -> [[Double]] {
    let lookBack = composition.lookBack ?? 1
    if rows > 0, rows % lookBack == 0 {
      let chosen = composition.decide(series: values[...]).expert
      if chosen != expert {
        expert = chosen
        let saved = try shelf.model(chosen)
        (memory, correction) = (MemoryBank(saved.forecaster), saved.correction)
        memory.add(after: [views[chosen].block[...]])
      }
      values = []
      for index in views.indices { views[index].block = [] }
    }
    rows += 1
    values.append(value)
    var own: FeatureRow?
    for index in views.indices {
      let row = views[index].features.push(value, covariates: covariates[index], at: stamp)
      views[index].block.append(row)
      if index == expert { own = row }
    }
    guard let own else { return [] }
    let quantiles = try memory.push([(0, own)])[0]
    return correction?.applied(to: quantiles) ?? quantiles
  }
}
