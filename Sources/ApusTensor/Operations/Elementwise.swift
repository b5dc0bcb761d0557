import CApusKernels

extension Tensor {
  /// `a + b`, element by element; b may also have the size of a's last axes and is then repeated.
  public static func + (a: Tensor, b: Tensor) -> Tensor {
    ensure(b.count > 0 && a.count % b.count == 0, "+: a is \(a.shape), b is \(b.shape)")
    let (repeats, count) = (a.count / b.count, b.count)
    let y = Tensor(uninitialized: a.shape)
    withPointers(y.out, a, b) { y, a, b in
      for index in 0..<repeats {
        apus_add_f32(y + index * count, a + index * count, b, count)
      }
    }
    guard Tensor.records(a, b) else { return y }
    return y.tracked(from: [a, b]) { dy in
      [dy, repeats > 1 ? dy.columnSum(count) : dy]
    }
  }

  /// `a · b`, element by element.
  public static func * (a: Tensor, b: Tensor) -> Tensor {
    ensure(a.count == b.count, "*: a is \(a.shape), b is \(b.shape)")
    let y = Tensor(uninitialized: a.shape)
    withPointers(y.out, a, b) { apus_multiply_f32($0, $1, $2, a.count) }
    guard Tensor.records(a, b) else { return y }
    let (savedA, savedB, needsA, needsB) = (a.detached(), b.detached(), a.isTracked, b.isTracked)
    return y.tracked(from: [a, b]) { [needsA ? savedB * $0 : nil, needsB ? savedA * $0 : nil] }
  }

  /// `factor · x`.
  public static func * (x: Tensor, factor: Float) -> Tensor {
    let y = Tensor(uninitialized: x.shape)
    withPointers(y.out, x) { apus_scale_f32($0, $1, factor, x.count) }
    guard Tensor.records(x) else { return y }
    return y.tracked(from: [x]) { [$0 * factor] }
  }

  /// The mean of all elements: a scalar.
  public func mean() -> Tensor {
    let sum = withPointers(self) { apus_sum_f32($0, count) }
    let y = Tensor(Float(sum / Double(max(count, 1))))
    guard Tensor.records(self) else { return y }
    let shape = self.shape
    return y.tracked(from: [self]) {
      [Tensor(repeating: $0.scalar / Float(max(shape.count, 1)), shape)]
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
    withPointers(y.out, x) { apus_activation_f32($0, $1, count, kind) }
    guard Tensor.records(x) else { return y }
    let saved = x.detached()
    return y.tracked(from: [x]) { dy in
      let dx = Tensor(uninitialized: saved.shape)
      withPointers(dx.out, dy, saved) { apus_activation_backward_f32($0, $1, $2, count, kind) }
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
    ensure(shape.last % 2 == 0, "swiGLU: the last axis of \(shape) has no two halves")
    let features = shape.last / 2
    let rows = shape.rows
    let y = Tensor(uninitialized: shape.replacingLast(with: features))
    withPointers(y.out, self) { apus_swiglu_f32($0, $1, rows, features) }
    guard Tensor.records(self) else { return y }
    let saved = detached()
    return y.tracked(from: [self]) { dy in
      let dx = Tensor(uninitialized: saved.shape)
      withPointers(dx.out, dy, saved) { apus_swiglu_backward_f32($0, $1, $2, rows, features) }
      return [dx]
    }
  }

  /// Keeps each element with probability `1 − rate` and scales it by the inverse.
  ///
  /// Which ones is decided by the counter-based generator alone: the same key drops the same elements.
  public func dropout(rate: Float, key: RandomKey) -> Tensor {
    guard rate > 0 else { return self }
    ensure(rate < 1, "dropout: the rate \(rate) leaves nothing")
    func drop(_ x: Tensor) -> Tensor {
      let y = Tensor(uninitialized: x.shape)
      withPointers(y.out, x) {
        apus_dropout_f32($0, $1, x.count, 1 - rate, key.seed, key.stream)
      }
      return y
    }
    let y = drop(self)
    guard Tensor.records(self) else { return y }
    return y.tracked(from: [self]) { [drop($0)] }
  }
}
