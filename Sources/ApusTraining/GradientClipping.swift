public import ApusTensor

/// The length of all gradients as one vector: √Σ g², summed in double in the order of the
/// parameters. Not a number or infinite when any gradient is.
public func gradientNorm(_ parameters: [Parameter]) -> Double {
  parameters.reduce(0) { $0 + $1.gradientSumOfSquares }.squareRoot()
}

/// The factor of gradients so that their norm is at most `limit`; 1 when it is, or when there
/// is no limit. Pascanu et al., 2013, *On the difficulty of training recurrent neural networks*,
/// arXiv:1211.5063, algorithm 1.
public func clippingScale(norm: Double, limit: Double?) -> Double {
  guard let limit, norm > limit else { return 1 }
  return limit / norm
}
