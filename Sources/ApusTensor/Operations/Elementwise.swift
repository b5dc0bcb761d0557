import CApusKernels

extension Tensor {
  /// `a + b`, element by element; b may also have the size of a's last axes and is then repeated.
  public static func + (a: Tensor, b: Tensor) -> Tensor {
    precondition(b.count > 0 && a.count % b.count == 0, "add: a is \(a.shape), b is \(b.shape)")
    let (repeats, count) = (a.count / b.count, b.count)
    let y = Tensor(uninitialized: a.shape)
    for index in 0..<repeats {
      apus_add_f32(y.floats + index * count, a.floats + index * count, b.floats, count)
    }
    guard Tensor.records(a, b) else { return y }
    return y.tracked(from: [a, b]) { dy in
      guard repeats > 1 else { return [dy, dy] }
      let db = Tensor(uninitialized: [count])
      apus_column_sum_f32(db.floats, dy.floats, repeats, count, count, 0)
      return [dy, db]
    }
  }

  /// `a · b`, element by element.
  public static func * (a: Tensor, b: Tensor) -> Tensor {
    precondition(a.count == b.count, "multiply: a is \(a.shape), b is \(b.shape)")
    let count = a.count
    let y = Tensor(uninitialized: a.shape)
    apus_multiply_f32(y.floats, a.floats, b.floats, count)
    guard Tensor.records(a, b) else { return y }
    let (savedA, savedB, needsA, needsB) = (a.detached(), b.detached(), a.isTracked, b.isTracked)
    return y.tracked(from: [a, b]) { dy in
      func times(_ other: Tensor) -> Tensor {
        let gradient = Tensor(uninitialized: other.shape)
        apus_multiply_f32(gradient.floats, dy.floats, other.floats, count)
        withExtendedLifetime(dy) {}
        return gradient
      }
      return [needsA ? times(savedB) : nil, needsB ? times(savedA) : nil]
    }
  }

  /// `factor · x`.
  public static func * (x: Tensor, factor: Float) -> Tensor {
    let y = Tensor(uninitialized: x.shape)
    apus_scale_f32(y.floats, x.floats, factor, x.count)
    guard Tensor.records(x) else { return y }
    return y.tracked(from: [x]) { [$0 * factor] }
  }

  /// The mean of all elements: a scalar.
  public func mean() -> Tensor {
    let y = Tensor(Float(apus_sum_f32(floats, count) / Double(max(count, 1))))
    guard Tensor.records(self) else { return y }
    let shape = self.shape
    return y.tracked(from: [self]) {
      [Tensor(repeating: $0.floats[0] / Float(max(shape.count, 1)), shape)]
    }
  }
}

/// A function applied to every element.
public enum Activation: String, Sendable, Codable, CaseIterable {
  /// max(x, 0).
  case relu
  /// `x · Φ(x)`, by the error function.
  case gelu
  /// `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`. Hendrycks and Gimpel, 2016, arXiv:1606.08415.
  case geluTanh = "gelu_new"
  /// `x · sigmoid(x)`.
  case silu
  /// 1 / (1 + e⁻ˣ).
  case sigmoid
  /// The hyperbolic tangent.
  case tanh
  /// `ln(1 + eˣ)`.
  case softplus

  var kernel: apus_activation {
    switch self {
    case .relu: APUS_RELU
    case .gelu: APUS_GELU
    case .geluTanh: APUS_GELU_TANH
    case .silu: APUS_SILU
    case .sigmoid: APUS_SIGMOID
    case .tanh: APUS_TANH
    case .softplus: APUS_SOFTPLUS
    }
  }

  /// Applies the function.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let (kind, count) = (kernel, x.count)
    let y = Tensor(uninitialized: x.shape)
    apus_activation_f32(y.floats, x.floats, count, kind)
    guard Tensor.records(x) else { return y }
    let saved = x.detached()
    return y.tracked(from: [x]) { dy in
      let dx = Tensor(uninitialized: saved.shape)
      apus_activation_backward_f32(dx.floats, dy.floats, saved.floats, count, kind)
      withExtendedLifetime((dy, saved)) {}
      return [dx]
    }
  }
}

extension Tensor {
  /// `silu(gate) · up`, with the gate in the first half of the last axis and up in the second.
  ///
  /// Shazeer, 2020, *GLU Variants Improve Transformer*, arXiv:2002.05202.
  /// The tensor is `[..., 2 · features]`.
  /// - Returns: `[..., features]`.
  public func swiGLU() -> Tensor {
    precondition(shape.last % 2 == 0, "swiGLU: the last axis of \(shape) has no two halves")
    let features = shape.last / 2
    let rows = shape.rows
    let y = Tensor(uninitialized: shape.replacingLast(with: features))
    apus_swiglu_f32(y.floats, floats, rows, features)
    guard Tensor.records(self) else { return y }
    let saved = detached()
    return y.tracked(from: [self]) { dy in
      let dx = Tensor(uninitialized: saved.shape)
      apus_swiglu_backward_f32(dx.floats, dy.floats, saved.floats, rows, features)
      withExtendedLifetime((dy, saved)) {}
      return [dx]
    }
  }

  /// Keeps each element with probability `1 − rate` and scales it by the inverse.
  ///
  /// Which ones is decided by the counter-based generator alone: the same key drops the same elements.
  public func dropout(rate: Float, key: RandomKey) -> Tensor {
    guard rate > 0 else { return self }
    precondition(rate < 1, "dropout: the rate \(rate) leaves nothing")
    func drop(_ x: Tensor) -> Tensor {
      let y = Tensor(uninitialized: x.shape)
      apus_dropout_f32(y.floats, x.floats, x.count, 1 - rate, key.seed, key.stream)
      withExtendedLifetime(x) {}
      return y
    }
    let y = drop(self)
    guard Tensor.records(self) else { return y }
    return y.tracked(from: [self]) { [drop($0)] }
  }
}
