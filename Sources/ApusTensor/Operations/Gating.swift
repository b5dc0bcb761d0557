import CApusKernels

/// `x · silu(gate)`, element by element.
///
/// - Parameters:
///   - x: What is let through.
///   - gate: As many elements.
/// - Returns: In the shape of x.
public func siluGated(_ x: Tensor, by gate: Tensor) -> Tensor {
  precondition(x.count == gate.count, "siluGated: x is \(x.shape), the gate \(gate.shape)")
  let count = x.count
  let y = Tensor(uninitialized: x.shape)
  apus_gate_silu_f32(y.floats, x.floats, gate.floats, count)
  guard Tensor.records(x, gate) else { return y }
  let (savedX, savedGate) = (x.detached(), gate.detached())
  return y.tracked(from: [x, gate]) { dy in
    let (dx, dgate) = (Tensor(uninitialized: savedX.shape), Tensor(uninitialized: savedGate.shape))
    apus_gate_silu_backward_f32(
      dx.floats, dgate.floats, dy.floats, savedX.floats, savedGate.floats, count)
    withExtendedLifetime((dy, savedX, savedGate)) {}
    return [dx, dgate]
  }
}

/// `x · scale`, with one factor for each feature of the last axis.
///
/// - Parameters:
///   - x: `[..., features]`.
///   - scale: `[features]`.
/// - Returns: In the shape of x.
public func multiply(_ x: Tensor, features scale: Tensor) -> Tensor {
  let (rows, features) = (x.shape.rows, x.shape.last)
  precondition(scale.count == features, "multiply: x is \(x.shape), the scale \(scale.shape)")
  func scaled(_ x: Tensor, _ scale: Tensor) -> Tensor {
    let y = Tensor(uninitialized: x.shape)
    for row in 0..<rows {
      apus_multiply_f32(
        y.floats + row * features, x.floats + row * features, scale.floats, features)
    }
    withExtendedLifetime((x, scale)) {}
    return y
  }
  let y = scaled(x, scale)
  guard Tensor.records(x, scale) else { return y }
  let (savedX, savedScale) = (x.detached(), scale.detached())
  return y.tracked(from: [x, scale]) { dy in
    let product = Tensor(uninitialized: savedX.shape)
    apus_multiply_f32(product.floats, dy.floats, savedX.floats, savedX.count)
    let dscale = Tensor(uninitialized: savedScale.shape)
    apus_column_sum_f32(dscale.floats, product.floats, rows, features, features, 0)
    withExtendedLifetime((dy, product)) {}
    return [scaled(dy.reshaped(savedX.shape), savedScale), dscale]
  }
}
