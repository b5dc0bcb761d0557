import CApusKernels

extension Tensor {
  /// `x` held within ±limit, element by element; no gradient flows where it is held.
  ///
  /// The tensor is `[...]`.
  /// - Parameter limit: Above 0.
  /// - Returns: `[...]`.
  public func clamped(to limit: Float) -> Tensor {
    let y = Tensor(uninitialized: shape)
    apus_clamp_f32(y.floats, floats, limit, count)
    withExtendedLifetime(self) {}
    guard Tensor.records(self) else { return y }
    let saved = detached()
    return y.tracked(from: [self]) { dy in
      let dx = Tensor(uninitialized: saved.shape)
      apus_clamp_backward_f32(dx.floats, dy.floats, saved.floats, limit, saved.count)
      withExtendedLifetime((dy, saved)) {}
      return [dx]
    }
  }
}
