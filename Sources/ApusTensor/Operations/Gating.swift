import CApusKernels

extension Tensor {
  /// `x · silu(gate)`, element by element, with x this tensor.
  ///
  /// - Parameter gate: As many elements.
  /// - Returns: In the shape of x.
  public func siluGated(by gate: Tensor) -> Tensor {
    precondition(self.count == gate.count, "siluGated: x is \(shape), the gate \(gate.shape)")
    let count = self.count
    let y = Tensor(uninitialized: shape)
    apus_gate_silu_f32(y.floats, floats, gate.floats, count)
    guard Tensor.records(self, gate) else { return y }
    let (savedX, savedGate) = (detached(), gate.detached())
    return y.tracked(from: [self, gate]) { dy in
      let (dx, dgate) = (
        Tensor(uninitialized: savedX.shape), Tensor(uninitialized: savedGate.shape)
      )
      apus_gate_silu_backward_f32(
        dx.floats, dgate.floats, dy.floats, savedX.floats, savedGate.floats, count)
      withExtendedLifetime((dy, savedX, savedGate)) {}
      return [dx, dgate]
    }
  }

  /// `x · scale`, with x this tensor and one factor for each feature of the last axis.
  ///
  /// The tensor is `[..., features]`.
  /// - Parameter scale: `[features]`.
  /// - Returns: In the shape of x.
  public func scaled(features scale: Tensor) -> Tensor {
    let (rows, features) = (shape.rows, shape.last)
    precondition(scale.count == features, "multiply: x is \(shape), the scale \(scale.shape)")
    func scaled(_ x: Tensor, _ scale: Tensor) -> Tensor {
      let y = Tensor(uninitialized: x.shape)
      for row in 0..<rows {
        apus_multiply_f32(
          y.floats + row * features, x.floats + row * features, scale.floats, features)
      }
      withExtendedLifetime((x, scale)) {}
      return y
    }
    let y = scaled(self, scale)
    guard Tensor.records(self, scale) else { return y }
    let (savedX, savedScale) = (detached(), scale.detached())
    return y.tracked(from: [self, scale]) { dy in
      let product = Tensor(uninitialized: savedX.shape)
      apus_multiply_f32(product.floats, dy.floats, savedX.floats, savedX.count)
      let dscale = Tensor(uninitialized: savedScale.shape)
      apus_column_sum_f32(dscale.floats, product.floats, rows, features, features, 0)
      withExtendedLifetime((dy, product)) {}
      return [scaled(dy.reshaped(savedX.shape), savedScale), dscale]
    }
  }
}
