public import ApusData
public import ApusModels
import ApusNN
import ApusTensor

/// A forecaster at work on a live series: one row in, one forecast out.
///
/// Where the backbone is recurrent every row costs the same. Two memories run side by side and take
/// turns every L rows, so that a forecast always rests on at least L and fewer than 2 L rows, as in
/// ``SeriesForecast``.
public struct ForecastStream {
  private var features: FeatureStream
  private var memory: BlockMemory

  /// Starts before the first row.
  public init(_ forecaster: Forecaster, recipe: FeatureRecipe) {
    features = FeatureStream(recipe)
    memory = BlockMemory(forecaster)
  }

  /// Starts after the rows of a measured series.
  ///
  /// - Throws: ``RecipeError`` when a covariate is not there, ``NotFiniteError``.
  init(_ forecaster: Forecaster, recipe: FeatureRecipe, after series: TimeSeries) throws {
    let frame = try recipe.frame(series)
    var features = FeatureStream(recipe)
    let columns = recipe.covariates.map { series.covariate(named: $0) ?? [] }
    let rows = (0..<series.count).map { row in
      features.push(
        series.values[row], covariates: columns.map { $0[row] }, at: series.timestamps[row])
    }
    self.features = features
    let lookBack = forecaster.config.context
    let border = rows.count / lookBack * lookBack
    memory = BlockMemory(forecaster, after: frame.rows(border - lookBack..<border))
    for row in rows[border...] { _ = try memory.push(row) }
  }

  /// Appends a row and forecasts the rows after it.
  ///
  /// - Parameters:
  ///   - value: The target, measured; NaN where missing.
  ///   - covariates: The covariates in the order of the recipe.
  ///   - stamp: The row's time.
  /// - Returns: Quantiles `[P][Q]` in units of the measure.
  /// - Throws: ``NotFiniteError``.
  public mutating func push(
    _ value: Double, covariates: [Double] = [], at stamp: Timestamp
  ) throws(NotFiniteError) -> [[Double]] {
    try memory.push(features.push(value, covariates: covariates, at: stamp))
  }
}

/// The two memories of a forecaster that take turns every L rows.
struct BlockMemory {
  private let forecaster: Forecaster
  private var current: ForecasterState
  private var next: ForecasterState
  private var rows: Int

  /// Starts before the first row: the block before it counts as zeros, as in a batch.
  init(_ forecaster: Forecaster) {
    let (lookBack, inputs) = (forecaster.config.context, forecaster.config.inputs)
    self.init(forecaster, after: [Float](repeating: 0, count: lookBack * inputs))
  }

  /// Starts at the border of a block.
  ///
  /// - Parameters:
  ///   - forecaster: The model.
  ///   - block: The features of the L rows before, `[L, F]`.
  init(_ forecaster: Forecaster, after block: [Float]) {
    self.forecaster = forecaster
    rows = 0
    current = forecaster.initialState()
    next = forecaster.initialState()
    let inputs = forecaster.config.inputs
    _ = forecaster.quantiles(
      Tensor(block, [1, block.count / inputs, inputs]), state: &current)
  }

  /// Appends a row and forecasts the rows after it: `[P][Q]` in units of the measure.
  mutating func push(_ row: FeatureRow) throws(NotFiniteError) -> [[Double]] {
    if rows > 0, rows % forecaster.config.context == 0 {
      swap(&current, &next)
      next = forecaster.initialState()
    }
    rows += 1
    let input = Tensor(row.features, [1, 1, row.features.count])
    let quantiles = forecaster.quantiles(input, state: &current)
    forecaster.advance(input, state: &next)
    let result = unscaled(
      quantiles.values, location: row.location, scale: row.scale,
      horizon: forecaster.config.horizon)
    try forecaster.requireFinite(result, for: "the rows ahead")
    return result
  }
}
