import CApusKernels

extension Tensor {
  /// `x` held within ±limit, element by element; no gradient flows where it is held.
  ///
  /// The tensor is `[...]`.
  /// - Parameter limit: Above 0.
  /// - Returns: `[...]`.
  public func clamped(to limit: Float) -> Tensor {
    let y = Tensor(uninitialized: shape)
    withPointers(y.out, self) { apus_clamp_f32($0, $1, limit, count) }
    guard Tensor.records(self) else { return y }
    let saved = detached()
    return y.tracked(from: [self]) { dy in
      let dx = Tensor(uninitialized: saved.shape)
      withPointers(dx.out, dy, saved) { apus_clamp_backward_f32($0, $1, $2, limit, saved.count) }
      return [dx]
    }
  }

  /// `x` bent into ±limit: `limit · tanh(x / limit)`, element by element.
  ///
  /// The tensor is `[...]`.
  /// - Parameter limit: Above 0.
  /// - Returns: `[...]`.
  public func bent(into limit: Float) -> Tensor { Activation.tanh(self * (1 / limit)) * limit }
}
