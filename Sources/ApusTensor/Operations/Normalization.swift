import CApusKernels

extension Tensor {
  /// `(x − mean)/√(variance + epsilon) · weight + bias` over the last axis.
  ///
  /// Ba et al., 2016, *Layer Normalization*, arXiv:1607.06450. The variance is the biased one.
  /// The tensor is `[..., features]`.
  /// - Parameters:
  ///   - weight: `[features]`.
  ///   - bias: `[features]`, or nil.
  ///   - epsilon: Added to the variance, so that a constant row stays finite.
  /// - Returns: `[..., features]`.
  public func layerNorm(weight: Tensor, bias: Tensor?, epsilon: Float) -> Tensor {
    let features = shape.last
    precondition(weight.count == features, "layerNorm: x is \(shape), weight is \(weight.shape)")
    let rows = shape.rows
    let y = Tensor(uninitialized: shape)
    let statistics = Tensor(uninitialized: [rows, 2])
    apus_layer_norm_f32(
      y.floats, statistics.floats, floats, weight.floats, bias?.floats, rows, features, epsilon
    )
    withExtendedLifetime(statistics) {}
    guard Tensor.records(self, weight, bias ?? self) else { return y }
    let (savedX, savedWeight, hasBias) = (detached(), weight.detached(), bias != nil)
    return y.tracked(from: [self, weight] + (bias.map { [$0] } ?? [])) { dy in
      let dx = Tensor(uninitialized: savedX.shape)
      let dweight = Tensor(uninitialized: [features])
      let dbias = hasBias ? Tensor(uninitialized: [features]) : nil
      apus_layer_norm_backward_f32(
        dx.floats, dweight.floats, dbias?.floats, dy.floats, savedX.floats, savedWeight.floats,
        statistics.floats, rows, features)
      withExtendedLifetime((dy, savedX, savedWeight, statistics)) {}
      return [dx, dweight, dbias]
    }
  }

  /// Layer normalization of each of a row's first heads alone, without a bias; the rest of the row
  /// passes unchanged. For queries and keys in a fused row.
  ///
  /// The tensor is `[..., features]`.
  /// - Parameters:
  ///   - weight: `[heads, K]`; the first `heads · K` features are normalized.
  ///   - epsilon: Added to the variance of a head.
  /// - Returns: `[..., features]`.
  public func headNorm(weight: Tensor, epsilon: Float) -> Tensor {
    let (heads, size, stride) = (weight.shape[0], weight.shape[1], shape.last)
    precondition(
      weight.shape.rank == 2 && weight.count <= stride,
      "headNorm: x is \(shape), weight is \(weight.shape)")
    let rows = shape.rows
    let y = copied()
    let statistics = Tensor(uninitialized: [rows, heads, 2])
    apus_head_norm_f32(
      y.floats, statistics.floats, y.floats, weight.floats, rows, heads, size, stride, epsilon)
    withExtendedLifetime((weight, statistics)) {}
    guard Tensor.records(self, weight) else { return y }
    let (savedX, savedWeight) = (detached(), weight.detached())
    return y.tracked(from: [self, weight]) { dy in
      let dx = dy.copied()
      let dweight = Tensor(uninitialized: savedWeight.shape)
      apus_head_norm_backward_f32(
        dx.floats, dweight.floats, dy.floats, savedX.floats, savedWeight.floats, statistics.floats,
        rows, heads, size, stride)
      withExtendedLifetime((dy, savedX, savedWeight, statistics)) {}
      return [dx, dweight]
    }
  }

  /// `x · weight/√(mean(x²) + epsilon)` over the last axis.
  ///
  /// Zhang and Sennrich, 2019, *Root Mean Square Layer Normalization*, arXiv:1910.07467.
  /// The tensor is `[..., features]`.
  /// - Parameters:
  ///   - weight: `[features]`.
  ///   - epsilon: Added to the mean square, so that a row of zeros stays finite.
  /// - Returns: `[..., features]`.
  public func rmsNorm(weight: Tensor, epsilon: Float) -> Tensor {
    let features = shape.last
    precondition(weight.count == features, "rmsNorm: x is \(shape), weight is \(weight.shape)")
    let rows = shape.rows
    let y = Tensor(uninitialized: shape)
    let statistics = Tensor(uninitialized: [rows])
    apus_rms_norm_f32(
      y.floats, statistics.floats, floats, weight.floats, rows, features, epsilon)
    withExtendedLifetime(statistics) {}
    guard Tensor.records(self, weight) else { return y }
    let (savedX, savedWeight) = (detached(), weight.detached())
    return y.tracked(from: [self, weight]) { dy in
      let dx = Tensor(uninitialized: savedX.shape)
      let dweight = Tensor(uninitialized: [features])
      apus_rms_norm_backward_f32(
        dx.floats, dweight.floats, dy.floats, savedX.floats, savedWeight.floats, statistics.floats,
        rows, features)
      withExtendedLifetime((dy, savedX, savedWeight, statistics)) {}
      return [dx, dweight]
    }
  }
}
