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
  private let forecaster: Forecaster
  private var features: FeatureStream
  private var current: BackboneState
  private var next: BackboneState
  private var rows = 0

  /// Starts before the first row.
  public init(_ forecaster: Forecaster, recipe: FeatureRecipe) {
    self.forecaster = forecaster
    features = FeatureStream(recipe)
    current = forecaster.initialState()
    next = forecaster.initialState()
    // The block before the first row counts as zeros, as in a batch.
    let (lookBack, inputs) = (forecaster.config.size.context, forecaster.config.inputs)
    _ = forecaster.quantiles(
      Tensor(zeros: [1, lookBack, inputs]), state: &current)
  }

  /// Takes in a row and forecasts the rows after it.
  ///
  /// - Parameters:
  ///   - value: The target, measured; NaN where missing.
  ///   - covariates: In the order of the recipe.
  ///   - stamp: The row's time.
  /// - Returns: Quantiles `[P][Q]` in units of the measure.
  public mutating func push(
    _ value: Double, covariates: [Double] = [], at stamp: Timestamp
  ) -> [[Double]] {
    let lookBack = forecaster.config.size.context
    if rows > 0, rows % lookBack == 0 {
      swap(&current, &next)
      next = forecaster.initialState()
    }
    rows += 1
    let row = features.push(value, covariates: covariates, at: stamp)
    let input = Tensor(row.features, [1, 1, row.features.count])
    let quantiles = forecaster.quantiles(input, state: &current)
    forecaster.advance(input, state: &next)
    return unscaled(
      quantiles.values, location: row.location, scale: row.scale,
      horizon: forecaster.config.horizon)
  }
}
