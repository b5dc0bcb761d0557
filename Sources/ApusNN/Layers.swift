public import ApusTensor

/// A map from one tensor to another, with weights of its own. A copy shares its weights.
public protocol Layer {
  /// Applies the layer.
  func callAsFunction(_ x: Tensor) -> Tensor
}

/// `x · weightᵀ + bias` over the last axis.
public struct Linear {
  /// `[outputs, inputs]`, or `[inputs, outputs]` when ``inputsFirst``.
  public let weight: Parameter
  /// `[outputs]`, or nil.
  public let bias: Parameter?
  /// Whether the weight is stored `[inputs, outputs]`, as in GPT-2's checkpoints.
  public let inputsFirst: Bool

  /// Creates the layer, taking `weight` and, where asked, `bias` from `scope`.
  ///
  /// - Parameters:
  ///   - inputs: Size of the last axis of x.
  ///   - outputs: Size of the last axis of the result.
  ///   - bias: Whether there is one.
  ///   - start: The weight's start; by default uniform in ±1/√inputs, as is the bias's.
  ///   - biasStart: The bias's start; zeros when only `start` is given.
  ///   - inputsFirst: Whether the weight is stored `[inputs, outputs]`, as in GPT-2's checkpoints.
  ///   - scope: The source of the weights.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public init(
    _ inputs: Int, _ outputs: Int, bias: Bool = true, start: Initialization? = nil,
    biasStart: Initialization? = nil, inputsFirst: Bool = false, in scope: Scope
  ) throws {
    self.inputsFirst = inputsFirst
    let standard = Initialization.uniform(bound: 1 / Float(max(inputs, 1)).squareRoot())
    weight = try scope.parameter(
      "weight", inputsFirst ? [inputs, outputs] : [outputs, inputs], start ?? standard)
    self.bias =
      bias
      ? try scope.parameter("bias", [outputs], biasStart ?? (start == nil ? standard : .zeros))
      : nil
  }
}

extension Linear: Layer {
  /// Maps the last axis of `x`, `[..., inputs]`, to `[..., outputs]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.linear(weight: weight.value, bias: bias?.value, inputsFirst: inputsFirst)
  }
}

/// Root-mean-square normalization over the last axis: `x · weight / √(mean(x²) + epsilon)`.
///
/// Zhang and Sennrich, 2019, *Root Mean Square Layer Normalization*, arXiv:1910.07467.
public struct RMSNorm {
  /// The gain, `[features]`.
  public let weight: Parameter
  /// Added to the mean square, so that a row of zeros stays finite.
  public let epsilon: Float

  /// Creates the layer, taking `weight` from `scope`.
  public init(_ features: Int, epsilon: Float = 1e-6, in scope: Scope) throws {
    weight = try scope.parameter("weight", [features], .ones)
    self.epsilon = epsilon
  }
}

extension RMSNorm: Layer {
  /// Normalizes every row of `x`, `[..., features]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.rmsNorm(weight: weight.value, epsilon: epsilon)
  }
}

/// Layer normalization over the last axis: `(x − mean)/√(variance + epsilon) · weight + bias`.
///
/// Ba, Kiros and Hinton, 2016, *Layer Normalization*, arXiv:1607.06450.
public struct LayerNorm {
  /// The gain, `[features]`.
  public let weight: Parameter
  /// The offset, `[features]`, or nil.
  public let bias: Parameter?
  /// Added to the variance, so that a constant row stays finite.
  public let epsilon: Float

  /// Creates the layer, taking `weight` and, where asked, `bias` from `scope`.
  public init(
    _ features: Int, epsilon: Float = 1e-5, bias: Bool = true, in scope: Scope
  ) throws {
    weight = try scope.parameter("weight", [features], .ones)
    self.bias = bias ? try scope.parameter("bias", [features], .zeros) : nil
    self.epsilon = epsilon
  }
}

extension LayerNorm: Layer {
  /// Normalizes every row of `x`, `[..., features]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.layerNorm(weight: weight.value, bias: bias?.value, epsilon: epsilon)
  }
}

/// A table of vectors by id.
public struct Embedding {
  /// `[vocabulary, features]`.
  public let weight: Parameter

  /// Creates the layer, taking `weight` from `scope`; it starts normal with deviation 0.02.
  public init(
    _ vocabulary: Int, _ features: Int, start: Initialization = .normal(deviation: 0.02),
    in scope: Scope
  ) throws {
    weight = try scope.parameter("weight", [vocabulary, features], start)
  }

  /// The vectors of `ids`, `[...]` integers, as `[..., features]`.
  public func callAsFunction(_ ids: Tensor) -> Tensor { ids.embedded(in: weight.value) }
}
