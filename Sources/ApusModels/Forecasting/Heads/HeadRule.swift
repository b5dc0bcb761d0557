package import ApusTensor
import Foundation

/// How the outputs of a head become a loss and quantiles.
///
/// Shapes: N rows of steps, A outputs of a step, Q levels.
package struct HeadRule: Sendable {
  private let head: ForecastHead
  private let levels: [Double]
  private let likelihood: Likelihood?
  private let shapes: StudentTQuantiles?
  private let scores: [Double]

  /// Degrees of freedom that a Student t starts with.
  private static let firstFreedom = 8.0
  /// The probability below one deviation above the mean of a normal distribution.
  private static let deviation = 0.841_344_746_068_542_9

  package init(_ head: ForecastHead, levels: [Double]) {
    (self.head, self.levels) = (head, levels)
    likelihood =
      switch head {
      case .quantiles: nil
      case .studentT: .studentT
      case .mixture(let components): .mixture(components: components)
      case .counts: .counts
      }
    shapes = head == .studentT ? StudentTQuantiles(levels) : nil
    scores = head.components == nil ? [] : levels.map(Normal.quantile)
  }

  /// A.
  var outputs: Int { likelihood?.outputs ?? levels.count }

  /// - Parameters:
  ///   - outputs: `[N, A]`, any leading axes.
  ///   - targets: `[N]`, normalized.
  ///   - weights: `[N]`.
  ///   - units: The scale of each step's row, `[N]`, for counts.
  /// - Returns: A scalar.
  func loss(_ outputs: Tensor, targets: Tensor, weights: Tensor, units: Tensor?) -> Tensor {
    guard let likelihood else {
      return outputs.pinballLoss(
        targets: targets, levels: levels.map(Float.init), weights: weights)
    }
    return outputs.negativeLogLikelihood(
      likelihood, targets: targets, units: units, weights: weights)
  }

  /// Quantiles of outputs `[N, A]`, normalized, ascending: `N · Q` numbers.
  package func quantiles(_ outputs: Tensor, units: Tensor?) -> [Float] {
    guard let likelihood else { return outputs.monotoneQuantiles(count: levels.count).values }
    let all = outputs.likelihoodParameters(likelihood, units: units)
    if let components = head.components {
      return mixtureQuantiles(all, components: components, levels: levels, scores: scores)
        .map { Float($0) }
    }
    let (width, units) = (likelihood.outputs, units?.values)
    var quantiles: [Float] = []
    quantiles.reserveCapacity(all.count / width * levels.count)
    for row in 0..<all.count / width {
      let own = Array(all[row * width..<(row + 1) * width])
      if let shapes {
        quantiles += shapes(degreesOfFreedom: own[2]).map { Float(own[0] + own[1] * $0) }
      } else {
        // Of zeros that come besides, a level counts among the other draws.
        let levels = levels.map { ($0 - own[2]) / (1 - own[2]) }
        let unit = units.map { Double($0[row]) } ?? 1
        quantiles += NegativeBinomial(mean: own[0], dispersion: own[1]).quantiles(levels)
          .map { Float($0 / (unit > 0 ? unit : 1)) }
      }
    }
    return quantiles
  }

  /// Outputs of a step whose distribution has about these quantiles: `[A]`.
  func start(_ quantile: (Double) -> Double) -> [Float] {
    let middle = quantile(0.5)
    let spread = max((quantile(Self.deviation) - quantile(1 - Self.deviation)) / 2, 1e-3)
    switch head {
    case .quantiles: return Self.free(levels.map(quantile))
    case .studentT:
      let freedom = Self.firstFreedom
      let scale = spread / StudentT(degreesOfFreedom: freedom).quantile(Self.deviation)
      return [Float(middle), Self.free(scale), Self.free(freedom - 2.01)]
    case .mixture(let count):
      // Components stand apart, or they would learn the same.
      let places = (0..<count).map { quantile((Double($0) + 0.5) / Double(count)) }
      let mean = places.reduce(0, +) / Double(count)
      let between = places.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
      let scale = max(spread * spread - between, 0.1 * spread * spread).squareRoot()
      return Array(repeating: 0, count: count) + places.map { Float($0) }
        + Array(repeating: Self.free(scale), count: count)
    case .counts:
      // The unit is one more than the mean of the last rows.
      return [Self.free(0.7), Self.free(0.5), -2]
    }
  }

  /// The outputs that `monotoneQuantiles(count:)` turns into quantiles that ascend.
  private static func free(_ quantiles: [Double]) -> [Float] {
    let median = quantiles.count / 2
    return quantiles.indices.map { index -> Float in
      if index == median { return Float(quantiles[index]) }
      let step =
        index > median
        ? quantiles[index] - quantiles[index - 1] : quantiles[index + 1] - quantiles[index]
      return free(step)
    }
  }

  /// The inverse of softplus.
  private static func free(_ value: Double) -> Float {
    Float(value > 30 ? value : log(expm1(max(value, 1e-4))))
  }
}
