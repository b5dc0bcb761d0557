import CApusKernels

extension Tensor {
  /// `x · silu(gate)`, element by element, with x this tensor.
  ///
  /// - Parameter gate: As many elements.
  /// - Returns: In the shape of x.
  public func siluGated(by gate: Tensor) -> Tensor {
    ensure(self.count == gate.count, "siluGated: x is \(shape), the gate \(gate.shape)")
    let count = self.count
    let y = Tensor(uninitialized: shape)
    withPointers(y.out, self, gate) { apus_gate_silu_f32($0, $1, $2, count) }
    guard Tensor.records(self, gate) else { return y }
    let (savedX, savedGate) = (detached(), gate.detached())
    return y.tracked(from: [self, gate]) { dy in
      let (dx, dgate) = (
        Tensor(uninitialized: savedX.shape), Tensor(uninitialized: savedGate.shape)
      )
      withPointers(dx.out, dgate.out, dy, savedX, savedGate) {
        apus_gate_silu_backward_f32($0, $1, $2, $3, $4, count)
      }
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
    ensure(scale.count == features, "scaled: x is \(shape), the scale \(scale.shape)")
    func scaled(_ x: Tensor, _ scale: Tensor) -> Tensor {
      let y = Tensor(uninitialized: x.shape)
      withPointers(y.out, x, scale) { y, x, scale in
        for row in 0..<rows {
          apus_multiply_f32(y + row * features, x + row * features, scale, features)
        }
      }
      return y
    }
    let y = scaled(self, scale)
    guard Tensor.records(self, scale) else { return y }
    let (savedX, savedScale) = (detached(), scale.detached())
    return y.tracked(from: [self, scale]) { dy in
      [scaled(dy.reshaped(savedX.shape), savedScale), (savedX * dy).columnSum(features)]
    }
  }
}
