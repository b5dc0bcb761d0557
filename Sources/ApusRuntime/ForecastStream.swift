public import ApusData
public import ApusModels

/// A forecaster at work on a live series: one row in, one forecast out.
///
/// Where the backbone is recurrent every row costs the same. A forecast always rests on at least L and
/// fewer than 2 L rows, as in ``SeriesForecast``.
public struct ForecastStream {
  private var features: FeatureStream
  private var memory: MemoryBank

  /// Starts before the first row.
  ///
  /// - Parameters:
  ///   - forecaster: The model.
  ///   - recipe: How it sees rows.
  ///   - series: The name of the series; nil where it has none.
  public init(_ forecaster: Forecaster, recipe: FeatureRecipe, series: String? = nil) {
    features = FeatureStream(recipe, series: series)
    memory = MemoryBank(forecaster)
    memory.add(after: [[]])
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
    try memory.push([(0, features.push(value, covariates: covariates, at: stamp, ahead: ahead))])[0]
  }
}
