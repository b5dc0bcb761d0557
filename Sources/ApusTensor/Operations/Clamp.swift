import CApusKernels

/// `x` held within ±limit, element by element; no gradient flows where it is held.
///
/// - Parameters:
///   - x: `[...]`.
///   - limit: Above 0.
/// - Returns: `[...]`.
public func clamped(_ x: Tensor, to limit: Float) -> Tensor {
  let y = Tensor(uninitialized: x.shape)
  apus_clamp_f32(y.floats, x.floats, limit, x.count)
  withExtendedLifetime(x) {}
  guard Tensor.records(x) else { return y }
  let saved = x.detached()
  return y.tracked(from: [x]) { dy in
    let dx = Tensor(uninitialized: saved.shape)
    apus_clamp_backward_f32(dx.floats, dy.floats, saved.floats, limit, saved.count)
    withExtendedLifetime((dy, saved)) {}
    return [dx]
  }
}
