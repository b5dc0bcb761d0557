import CApusKernels

/// What timestep normalization remembers: how many tokens there were, and per group their mean and
/// variance, in double, since in float they would stop moving after some thousand tokens.
public struct TimestepNormState: Sendable {
  /// How many tokens have passed.
  public private(set) var count = 0
  /// `[B, 2, G]`: means, then variances.
  package private(set) var statistics: [Double]

  /// The state before the first token.
  public init(batch: Int, groups: Int) {
    statistics = [Double](repeating: 0, count: batch * 2 * groups)
  }

  /// Bytes of the state: 8 for the count, and 16 · G for each sequence.
  public var byteCount: Int { 8 + statistics.count * 8 }

  /// Takes note of `time` tokens after `body` changed the statistics.
  fileprivate mutating func advance(by time: Int, _ body: (UnsafeMutablePointer<Double>?) -> Void) {
    statistics.withUnsafeMutableBufferPointer { body($0.baseAddress) }
    count += time
  }
}

extension Tensor {
  /// Group normalization whose statistics run over all tokens up to the present one:
  /// `(x − mean)/√(variance + epsilon) · (1 + weight) + bias`.
  ///
  /// Ma et al., 2024, *Megalodon*, arXiv:2404.08801, equation 4.
  /// The tensor is `[B, T, D]`.
  /// - Parameters:
  ///   - weight: The gain less one, `[D]`.
  ///   - bias: `[D]`.
  ///   - groups: G, which divides D. A group of one feature would normalize its first token to zero.
  ///   - epsilon: Added to the variance.
  /// - Returns: `[B, T, D]`.
  public func timestepNorm(weight: Tensor, bias: Tensor, groups: Int, epsilon: Float) -> Tensor {
    var shape = timestepShape(self, weight, bias, groups: groups, count: 0, epsilon: epsilon)
    let y = Tensor(uninitialized: self.shape)
    let statistics = Tensor(uninitialized: [shape.batch, shape.time, 2, groups])
    apus_timestep_norm_f32(
      y.floats, statistics.floats, nil, floats, weight.floats, bias.floats, &shape)
    withExtendedLifetime(statistics) {}
    guard Tensor.records(self, weight, bias) else { return y }
    let (savedX, savedWeight) = (detached(), weight.detached())
    return y.tracked(from: [self, weight, bias]) { dy in
      let dx = Tensor(uninitialized: savedX.shape)
      let dweight = Tensor(uninitialized: savedWeight.shape)
      let dbias = Tensor(uninitialized: savedWeight.shape)
      var shape = shape
      apus_timestep_norm_backward_f32(
        dx.floats, dweight.floats, dbias.floats, nil, dy.floats, savedX.floats, savedWeight.floats,
        statistics.floats, nil, &shape)
      withExtendedLifetime((dy, savedX, savedWeight, statistics)) {}
      return [dx, dweight, dbias]
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func timestepNorm(
    weight: Tensor, bias: Tensor, groups: Int, epsilon: Float, state: inout TimestepNormState
  ) -> Tensor {
    var shape = timestepShape(
      self, weight, bias, groups: groups, count: state.count, epsilon: epsilon)
    precondition(
      state.statistics.count == shape.batch * 2 * groups,
      "timestepNorm: the state holds \(state.statistics.count) numbers, the input is \(self.shape)")
    let y = Tensor(uninitialized: self.shape)
    let statistics = Tensor(uninitialized: [shape.batch, shape.time, 2, groups])
    state.advance(by: shape.time) {
      apus_timestep_norm_f32(
        y.floats, statistics.floats, $0, floats, weight.floats, bias.floats, &shape)
    }
    withExtendedLifetime((self, weight, bias, statistics)) {}
    return y
  }
}

private func timestepShape(
  _ x: Tensor, _ weight: Tensor, _ bias: Tensor, groups: Int, count: Int, epsilon: Float
) -> apus_timestep_norm_shape {
  let width = x.shape[2]
  precondition(
    groups > 0 && width % groups == 0 && weight.count == width && bias.count == width,
    "timestepNorm: x is \(x.shape), weight \(weight.shape), \(groups) groups")
  return apus_timestep_norm_shape(
    batch: x.shape[0], time: x.shape[1], groups: groups, group_size: width / groups,
    count: Int64(count), epsilon: epsilon)
}
