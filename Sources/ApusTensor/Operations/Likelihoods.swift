import CApusKernels

/// A family of distributions whose parameters come from free outputs of a model, so many for each value.
///
/// Every parameter is held in a range, so that no output leads to a loss or gradient that is not finite;
/// s is softplus, `ln(1 + eˣ)`.
public enum Likelihood: Sendable, Hashable {
  /// Student's t: location x₀, scale 1e-4 + s(x₁), degrees of freedom 2.01 + s(x₂), at most 1002.01.
  case studentT
  /// A mixture of K normal distributions, 1 to 16 (Bishop, 1994, *Mixture Density Networks*): weights by
  /// softmax of the first K outputs, then K locations, then K scales 1e-4 + s(x).
  case mixture(components: Int)
  /// Zero with a probability of its own, `1 / (1 + exp(-x₂))`, else a negative binomial in a unit u of the value
  /// (Salinas et al., 2017, *DeepAR*, arXiv:1704.04110, section 3.1): mean u (1e-6 + s(x₀)), dispersion
  /// s(x₁) / √u in 1e-6...1e3, variance mean + dispersion · mean².
  case counts

  /// Free outputs of one value.
  public var outputs: Int {
    switch self {
    case .studentT: 3
    case .mixture(let components): 3 * components
    case .counts: 3
    }
  }

  var code: Int32 {
    switch self {
    case .studentT: Int32(APUS_STUDENT_T)
    case .mixture: Int32(APUS_MIXTURE)
    case .counts: Int32(APUS_COUNTS)
    }
  }
}

extension Tensor {
  /// Mean negative log likelihood of targets, with parameters and density as one node.
  ///
  /// The tensor is `[rows, outputs]`, any leading axes.
  /// - Parameters:
  ///   - family: The distribution of a target.
  ///   - targets: One per row; one beyond 1e6 in size counts as that. Counts are in their unit.
  ///   - units: The unit of each row of counts, of which the target is a multiple; nil for 1. Other families
  ///     have none.
  ///   - weights: One per row; 0 leaves the row out whatever its target holds. Nil: all ones.
  /// - Returns: A scalar: the weighted mean over rows, in nats.
  public func negativeLogLikelihood(
    _ family: Likelihood, targets: Tensor, units: Tensor? = nil, weights: Tensor? = nil
  ) -> Tensor {
    let (width, rows) = (family.outputs, targets.count)
    ensure(
      count == rows * width && weights?.count ?? rows == rows && units?.count ?? rows == rows,
      "negativeLogLikelihood: outputs \(shape), \(rows) targets, \(width) outputs each")
    let gradient = Tensor.records(self) ? Tensor(uninitialized: shape) : nil
    let losses = Tensor(uninitialized: [rows])
    let (sum, total) = withPointers(losses.out, gradient?.out, self, targets, units, weights) {
      apus_likelihood_f32($0, $1, $2, $3, $4, $5, rows, width, family.code)
      return (apus_sum_f32($0, rows), $5.map { apus_sum_f32($0, rows) } ?? Double(rows))
    }
    let loss = Tensor(total > 0 ? Float(sum / total) : 0)
    guard let gradient else { return loss }
    return loss.tracked(from: [self]) { upstream in
      let scale = total > 0 ? upstream.scalar / Float(total) : 0
      return [gradient.detached() * scale]
    }
  }

  /// The parameters of the distributions of free outputs, `[rows, outputs]`, in their order.
  ///
  /// - Parameters:
  ///   - family: The distribution.
  ///   - units: As in ``negativeLogLikelihood(_:targets:units:weights:)``.
  /// - Returns: `rows · outputs` numbers.
  public func likelihoodParameters(_ family: Likelihood, units: Tensor? = nil) -> [Double] {
    let width = family.outputs
    ensure(
      count % width == 0 && units.map { $0.count * width == count } ?? true,
      "likelihoodParameters: \(shape) by \(width)")
    var parameters = [Double](repeating: 0, count: count)
    withPointers(self, units) { outputs, units in
      apus_likelihood_parameters_f64(
        &parameters, outputs, units, count / width, width, family.code)
    }
    return parameters
  }
}

/// Quantiles of mixtures of normal distributions, by safeguarded Newton steps.
///
/// - Parameters:
///   - parameters: Of each of N mixtures K weights, K locations and K scales.
///   - components: K.
///   - levels: Q, ascending in (0, 1).
///   - scores: The standard normal's quantiles at the levels.
/// - Returns: `[N, Q]`, ascending; NaN where a parameter is.
package func mixtureQuantiles(
  _ parameters: [Double], components: Int, levels: [Double], scores: [Double]
) -> [Double] {
  let rows = parameters.count / (3 * components)
  var quantiles = [Double](repeating: 0, count: rows * levels.count)
  apus_mixture_quantiles_f64(
    &quantiles, parameters, levels, scores, rows, components, levels.count)
  return quantiles
}
