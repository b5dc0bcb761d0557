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
  ///
  /// - Parameters:
  ///   - forecaster: The model.
  ///   - recipe: How it sees rows.
  ///   - series: The name of the series; nil where it has none.
  public init(_ forecaster: Forecaster, recipe: FeatureRecipe, series: String? = nil) {
    features = FeatureStream(recipe, series: series)
    memory = BlockMemory(forecaster)
  }

  /// Starts after the rows of a measured series.
  ///
  /// - Throws: ``RecipeError`` when a covariate is not there, ``NotFiniteError``.
  init(_ forecaster: Forecaster, recipe: FeatureRecipe, after series: TimeSeries) throws {
    var features = FeatureStream(recipe, series: series.id)
    let columns = recipe.covariates.map { series.covariate(named: $0) ?? [] }
    let rows = (0..<series.count).map { row in
      features.push(
        series.values[row], covariates: columns.map { $0[row] }, at: series.timestamps[row])
    }
    self.features = features
    let lookBack = forecaster.config.context
    let border = rows.count / lookBack * lookBack
    memory = BlockMemory(forecaster, after: rows[max(0, border - lookBack)..<border])
    for row in rows[border...] { _ = try memory.push(row) }
  }

  /// Appends a row and forecasts the rows after it.
  ///
  /// - Parameters:
  ///   - value: The target, measured; NaN where missing.
  ///   - covariates: The covariates in the order of the recipe.
  ///   - stamp: The row's time.
  ///   - ahead: What is known of the rows after it. Default: nothing.
  /// - Returns: Quantiles `[P][Q]` in units of the measure.
  /// - Throws: ``NotFiniteError``.
  public mutating func push(
    _ value: Double, covariates: [Double] = [], at stamp: Timestamp, ahead: RowsAhead = .unknown
  ) throws(NotFiniteError) -> [[Double]] {
    try memory.push(features.push(value, covariates: covariates, at: stamp, ahead: ahead))
  }
}

/// The two memories of a forecaster that take turns every L rows.
struct BlockMemory {
  private let forecaster: Forecaster
  private var current: ForecasterState
  private var next: ForecasterState
  private var rows: Int
  /// The last rows' values, W − 1 of them at most: those in the windows of the next row.
  private var values: [Double] = []

  /// Starts before the first row: the block before it counts as zeros, as in a batch.
  init(_ forecaster: Forecaster) { self.init(forecaster, after: []) }

  /// Starts at the border of a block.
  ///
  /// - Parameters:
  ///   - forecaster: The model.
  ///   - block: The rows before, L of them, or fewer where the series began later.
  init(_ forecaster: Forecaster, after block: ArraySlice<FeatureRow>) {
    self.forecaster = forecaster
    rows = 0
    current = forecaster.initialState()
    next = forecaster.initialState()
    let config = forecaster.config
    var frame = SeriesFrame(inputs: config.inputs, known: config.known)
    for row in block.suffix(config.context) { frame.append(row) }
    let input = frame.rows(
      frame.count - config.context..<frame.count, window: config.window, horizon: config.horizon)
    forecaster.advance(
      Tensor(input, [1, config.context, forecaster.rowWidth]), state: &current)
    remember(frame.values[...])
  }

  private mutating func remember(_ more: ArraySlice<Double>) {
    values += more
    values.removeFirst(max(0, values.count - max(0, forecaster.config.window - 1)))
  }

  /// The row as a memory sees it whose first row was so many rows ago, this one included.
  private func input(_ row: FeatureRow, since count: Int) -> Tensor {
    let (config, width) = (forecaster.config, forecaster.rowWidth)
    var numbers = row.features + [Float](repeating: 0, count: config.window)
    if config.window > 0 {
      writeWindow(
        values.suffix(count - 1) + [row.value], location: row.location, scale: row.scale,
        endingAt: numbers.count, in: &numbers)
    }
    for known in row.ahead.prefix(config.horizon) { numbers += known.inputs }
    numbers += [Float](repeating: 0, count: width - numbers.count)
    return Tensor(numbers, [1, 1, width])
  }

  /// Appends a row and forecasts the rows after it: `[P][Q]` in units of the measure.
  mutating func push(_ row: FeatureRow) throws(NotFiniteError) -> [[Double]] {
    let lookBack = forecaster.config.context
    if rows > 0, rows % lookBack == 0 {
      swap(&current, &next)
      next = forecaster.initialState()
    }
    let done = rows % lookBack + 1
    rows += 1
    let quantiles = forecaster.quantiles(
      input(row, since: lookBack + done), state: &current)
    forecaster.advance(input(row, since: done), state: &next)
    remember([row.value])
    let result = unscaled(
      quantiles.values, location: row.location, scale: row.scale, season: row.season,
      horizon: forecaster.config.horizon
    ) { $0 <= row.ahead.count ? row.ahead[$0 - 1].shift : .none }
    try forecaster.requireFinite(result, for: "the rows ahead")
    return result
  }
}
