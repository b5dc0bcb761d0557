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
    ensure(
      weight.count == features && bias?.count ?? features == features,
      "layerNorm: x is \(shape), weight is \(weight.shape)")
    let rows = shape.rows
    let y = Tensor(uninitialized: shape)
    let statistics = Tensor(uninitialized: [rows, 2])
    withPointers(y.out, statistics.out, self, weight, bias) {
      apus_layer_norm_f32($0, $1, $2, $3, $4, rows, features, epsilon)
    }
    guard Tensor.records(self, weight, bias) else { return y }
    let (savedX, savedWeight, hasBias) = (detached(), weight.detached(), bias != nil)
    return y.tracked(from: [self, weight, bias]) { dy in
      let dx = Tensor(uninitialized: savedX.shape)
      let dweight = Tensor(uninitialized: [features])
      let dbias = hasBias ? Tensor(uninitialized: [features]) : nil
      withPointers(dx.out, dweight.out, dbias?.out, dy, savedX, savedWeight, statistics) {
        apus_layer_norm_backward_f32($0, $1, $2, $3, $4, $5, $6, rows, features)
      }
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
    ensure(
      weight.shape.rank == 2 && weight.count <= stride,
      "headNorm: x is \(shape), weight is \(weight.shape)")
    let rows = shape.rows
    let y = copied()
    let statistics = Tensor(uninitialized: [rows, heads, 2])
    withPointers(y.out, statistics.out, self, weight) {
      apus_head_norm_f32($0, $1, $2, $3, rows, heads, size, stride, epsilon)
    }
    guard Tensor.records(self, weight) else { return y }
    let (savedX, savedWeight) = (detached(), weight.detached())
    return y.tracked(from: [self, weight]) { dy in
      let dx = dy.copied()
      let dweight = Tensor(uninitialized: savedWeight.shape)
      withPointers(dx.out, dweight.out, dy, savedX, savedWeight, statistics) {
        apus_head_norm_backward_f32($0, $1, $2, $3, $4, $5, rows, heads, size, stride)
      }
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
    ensure(weight.count == features, "rmsNorm: x is \(shape), weight is \(weight.shape)")
    let rows = shape.rows
    let y = Tensor(uninitialized: shape)
    let statistics = Tensor(uninitialized: [rows])
    withPointers(y.out, statistics.out, self, weight) {
      apus_rms_norm_f32($0, $1, $2, $3, rows, features, epsilon)
    }
    guard Tensor.records(self, weight) else { return y }
    let (savedX, savedWeight) = (detached(), weight.detached())
    return y.tracked(from: [self, weight]) { dy in
      let dx = Tensor(uninitialized: savedX.shape)
      let dweight = Tensor(uninitialized: [features])
      withPointers(dx.out, dweight.out, dy, savedX, savedWeight, statistics) {
        apus_rms_norm_backward_f32($0, $1, $2, $3, $4, $5, rows, features)
      }
      return [dx, dweight]
    }
  }
}
