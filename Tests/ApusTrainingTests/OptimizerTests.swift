import ApusTensor
import ApusTraining
import Testing

@Suite("Optimizers")
struct OptimizerTests {
  /// A parameter with the gradient `gradient`.
  private func parameter(
    _ name: String, _ values: [Float], _ shape: Shape, gradient: [Float]
  ) -> Parameter {
    let parameter = Parameter(name, Tensor(values, shape))
    ((parameter.value * Tensor(gradient, shape)) * Float(values.count)).mean()
      .backward()
    return parameter
  }

  @Test("AdamW moves as its paper says, and decays matrices only")
  func adamW() {
    let matrix = parameter("w", [1, -2], [1, 2], gradient: [0.5, -0.25])
    let vector = parameter("b", [1, -2], [2], gradient: [0.5, -0.25])
    var optimizer = AdamW([matrix, vector], betas: (0.9, 0.99), epsilon: 1e-8, weightDecay: 0.1)
    optimizer.update(learningRate: 0.01, gradientScale: 1)
    // The first step is the sign of the gradient: m̂/√v̂ = g/|g|.
    expectClose(vector.value.values, [0.99, -1.99])
    expectClose(matrix.value.values, [0.99 - 0.001, -1.99 + 0.002])
    optimizer.update(learningRate: 0.01, gradientScale: 2)
    // By hand for the first element: m = 0.9·0.05 + 0.1·1 = 0.145, m̂ = m/0.19 = 0.76316;
    // v = 0.99·0.0025 + 0.01·1 = 0.012475, v̂ = v/0.0199 = 0.62688; m̂/√v̂ = 0.96388.
    expectClose(vector.value.values[0], 0.99 - 0.0096388, 2e-6)
    #expect(optimizer.updates == 2)
  }

  @Test("SGD gathers velocity")
  func sgd() {
    let vector = parameter("b", [1], [1], gradient: [0.5])
    var optimizer = SGD([vector], momentum: 0.5, weightDecay: 0.1)
    optimizer.update(learningRate: 0.1, gradientScale: 1)
    expectClose(vector.value.values, [0.95])
    optimizer.update(learningRate: 0.1, gradientScale: 1)
    expectClose(vector.value.values, [0.95 - 0.1 * 0.75])
  }

  @Test("continue from their state as if nothing had happened", arguments: [true, false])
  func restore(adam: Bool) throws {
    func make() -> (Parameter, any Optimizer) {
      let weight = parameter("w", [1, 2, 3, 4], [2, 2], gradient: [1, -1, 0.5, 0])
      return (weight, adam ? AdamW([weight, weight]) : SGD([weight], momentum: 0.9))
    }
    var (one, first) = make()
    for _ in 0..<3 { first.update(learningRate: 0.1, gradientScale: 1) }
    let kept = first.state.mapValues { $0.copied() }
    let (two, fresh) = make()
    var second = fresh
    two.set(one.value)
    (two.value * Tensor([4, -4, 2, 0] as [Float], [2, 2])).mean().backward()
    try second.restore(kept)
    two.clearGradient()
    one.clearGradient()
    for parameter in [one, two] {
      (parameter.value * 3).mean().backward()
    }
    first.update(learningRate: 0.1, gradientScale: 1)
    second.update(learningRate: 0.1, gradientScale: 1)
    #expect(one.value.values == two.value.values)
    one = two
  }

  @Test("refuse a state that does not fit")
  func wrongState() {
    let weight = parameter("w", [1, 2], [1, 2], gradient: [1, 1])
    var optimizer = AdamW([weight])
    #expect(throws: TrainingError.self) { try optimizer.restore([:]) }
    var state = optimizer.state
    state["w.first_moment"] = Tensor(zeros: [3])
    #expect(throws: TrainingError.self) { try optimizer.restore(state) }
  }

  @Test("leave frozen parameters alone")
  func frozen() {
    let weight = parameter("w", [1, 2], [1, 2], gradient: [1, 1])
    weight.setTrainable(false)
    #expect(AdamW([weight]).parameters.isEmpty)
  }

  @Test("clip by the norm of all gradients together")
  func clipping() {
    let one = parameter("a", [0, 0], [2], gradient: [3, 0])
    let two = parameter("b", [0], [1], gradient: [4])
    #expect(gradientNorm([one, two]) == 5)
    #expect(clippingScale(norm: 5, limit: 1) == 0.2)
    #expect(clippingScale(norm: 0.5, limit: 1) == 1)
    #expect(clippingScale(norm: 5, limit: nil) == 1)
    #expect(gradientNorm([parameter("c", [0], [1], gradient: [.infinity])]) == .infinity)
    #expect(gradientNorm([parameter("d", [0], [1], gradient: [.nan])]).isNaN)
    #expect(gradientNorm([]) == 0)
  }
}

/// Compares within a tolerance.
func expectClose(
  _ found: [Float], _ expected: [Float], _ tolerance: Float = 1e-6,
  location: SourceLocation = #_sourceLocation
) {
  #expect(found.count == expected.count, sourceLocation: location)
  for (a, b) in zip(found, expected) { expectClose(a, b, tolerance, location: location) }
}

func expectClose(
  _ found: Float, _ expected: Float, _ tolerance: Float = 1e-6,
  location: SourceLocation = #_sourceLocation
) {
  #expect(
    abs(found - expected) <= tolerance, "\(found) is not \(expected)", sourceLocation: location)
}
