import Foundation

/// Residuals scaled by an exponentially weighted estimate of their size.
///
/// For returns and levels the scale is the RiskMetrics standard deviation,
/// `s² ← λ s² + (1 - λ) x²`, of the values or of their first differences; for volatilities it is
/// the exponentially weighted mean of the values, and is the point forecast as well. The shape
/// comes from the standardized residuals of training (filtered historical simulation).
/// J.P. Morgan and Reuters, 1996, *RiskMetrics: Technical Document*, chapter 5.
package struct ExponentiallyWeighted: AnchorRule {
  /// λ; 0.94 is RiskMetrics' choice for daily data.
  package private(set) var decay: Double
  /// Whether λ is chosen by the quasi-likelihood on training.
  let isFitted: Bool
  package var residuals = ResidualQuantiles()
  private var smallest = 0.0

  /// - Parameter decay: λ in 0..<1; nil chooses it in training, from 0.70 to 0.995.
  package init(decay: Double?) {
    self.decay = decay ?? 0.94
    isFitted = decay == nil
  }

  package var warmUp: Int { 10 }

  package mutating func estimate(_ history: [Double], task: ForecastTask) {
    let sizes = sizes(of: history, task: task)
    let mean = RunningSums(sizes).mean(0..<sizes.count) ?? 0
    smallest =
      task.measure == .volatility ? smallestScale(of: sizes) : 1e-3 * mean.squareRoot()
    guard isFitted else { return }
    // The Gaussian quasi-likelihood ranks scales rightly also when the data are not Gaussian.
    var best = Double.infinity
    for candidate in Array(stride(from: 0.70, through: 0.99, by: 0.01)) + [0.995] {
      let smoothed = smoothed(sizes, decay: candidate)
      var loss = 0.0
      for index in warmUp..<max(warmUp, sizes.count) where sizes[index].isFinite {
        let scale = max(smoothed[index], 1e-6 * mean)
        if scale > 0 { loss += log(scale) + sizes[index] / scale }
      }
      if loss < best { (best, decay) = (loss, candidate) }
    }
  }

  package func anchors(of series: [Double], task: ForecastTask) -> (Int, Int) -> Anchor {
    let smoothed = smoothed(sizes(of: series, task: task), decay: decay)
    let filled = filledForward(series)
    let smallest = smallest
    let measure = task.measure
    return { origin, _ in
      switch measure {
      case .returns:
        Anchor(location: 0, scale: max(smoothed[origin].squareRoot(), smallest), mean: 0)
      case .level:
        Anchor(
          location: filled[origin - 1], scale: max(smoothed[origin].squareRoot(), smallest),
          mean: filled[origin - 1])
      case .volatility:
        Anchor(
          location: 0, scale: max(smoothed[origin], smallest),
          mean: max(smoothed[origin], smallest))
      }
    }
  }

  /// What is smoothed: squares of returns or of differences, or the volatilities themselves.
  private func sizes(of series: [Double], task: ForecastTask) -> [Double] {
    switch task.measure {
    case .returns: return series.map { $0 * $0 }
    case .volatility: return series
    case .level:
      let filled = filledForward(series)
      return series.indices.map { index in
        guard index > 0, series[index].isFinite else { return .nan }
        let change = series[index] - filled[index - 1]
        return change * change
      }
    }
  }

  /// The smoothed size known at each origin, 0 through `sizes.count`.
  ///
  /// Early on each value gets the weight of a plain mean, so that no start value is needed.
  private func smoothed(_ sizes: [Double], decay: Double) -> [Double] {
    var (state, count) = (0.0, 0.0)
    var result = [0.0]
    for size in sizes {
      if size.isFinite {
        count += 1
        state += max(1 - decay, 1 / count) * (size - state)
      }
      result.append(state)
    }
    return result
  }
}
