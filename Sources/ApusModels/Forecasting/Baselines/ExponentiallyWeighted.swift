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
    var memory = Anchors(task.measure, decay: decay, smallest: 0)
    let sizes = history.map { value in
      defer { memory.push(value) }
      return memory.size(of: value)
    }
    let mean = RunningSums(sizes).mean(0..<sizes.count) ?? 0
    smallest =
      task.measure == .volatility ? smallestScale(of: sizes) : 1e-3 * mean.squareRoot()
    guard isFitted else { return }
    // The Gaussian quasi-likelihood ranks scales rightly also when the data are not Gaussian.
    var best = Double.infinity
    for candidate in Array(stride(from: 0.70, through: 0.99, by: 0.01)) + [0.995] {
      var smoothed = SmoothedSize(decay: candidate)
      var loss = 0.0
      for (index, size) in sizes.enumerated() {
        if index >= warmUp, size.isFinite {
          let scale = max(smoothed.value, 1e-6 * mean)
          if scale > 0 { loss += log(scale) + size / scale }
        }
        smoothed.push(size)
      }
      if loss < best { (best, decay) = (loss, candidate) }
    }
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(task.measure, decay: decay, smallest: smallest)
  }

  package struct Anchors: AnchorMemory {
    private let measure: ForecastTask.Kind
    private let smallest: Double
    private var smoothed: SmoothedSize
    private var last = Double.nan

    fileprivate init(_ measure: ForecastTask.Kind, decay: Double, smallest: Double) {
      (self.measure, self.smallest) = (measure, smallest)
      smoothed = SmoothedSize(decay: decay)
    }

    package mutating func push(_ value: Double) {
      smoothed.push(size(of: value))
      if value.isFinite { last = value }
    }

    /// What is smoothed of the next value: the square of a return or of a difference, or a volatility
    /// itself.
    fileprivate func size(of value: Double) -> Double {
      switch measure {
      case .returns: return value * value
      case .volatility: return value
      case .level:
        let change = value - last
        return change * change
      }
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      let deviation = max(smoothed.value.squareRoot(), smallest)
      let anchor: Anchor =
        switch measure {
        case .returns: Anchor(location: 0, scale: deviation, mean: 0)
        case .level: Anchor(location: last, scale: deviation, mean: last)
        case .volatility: Anchor(factor: max(smoothed.value, smallest))
        }
      return [Anchor](repeating: anchor, count: steps)
    }
  }

  /// An exponentially weighted mean. Early on each value gets the weight of a plain mean, so that no
  /// start value is needed.
  private struct SmoothedSize {
    let decay: Double
    private(set) var value = 0.0
    private var count = 0.0

    init(decay: Double) { self.decay = decay }

    mutating func push(_ size: Double) {
      guard size.isFinite else { return }
      count += 1
      value += max(1 - decay, 1 / count) * (size - value)
    }
  }
}
