import ApusTensor

extension SpeedBenchmark {
  /// A mixture of experts, forward and backward, beside a dense gated layer of the same arithmetic for
  /// each token.
  ///
  /// Routes come from a random router and random tokens, so experts get unequal shares.
  /// - Parameters:
  ///   - width: D.
  ///   - hidden: Features inside an expert, F; the dense layer has k · F.
  ///   - experts: X.
  ///   - perToken: k, in `1...experts`.
  /// - Returns: The result of the mixture, with its time over that of the dense layer.
  public func experts(width: Int, hidden: Int, experts: Int, perToken: Int) -> SpeedResult {
    func leaf(_ shape: Shape, _ stream: UInt64) -> Tensor {
      Tensor(normal: shape, deviation: 0.02, key: RandomKey(seed: 0, stream: stream)).tracked()
    }
    let x = Tensor(normal: [batch, context, width], key: RandomKey(seed: 1)).tracked()
    let gradient = Tensor(normal: [batch, context, width], key: RandomKey(seed: 2))
    let router = leaf([experts, width], 1)
    let gates = (0..<experts).map { leaf([hidden, width], 100 + UInt64($0)) }
    let ups = (0..<experts).map { leaf([hidden, width], 10_000 + UInt64($0)) }
    let downs = (0..<experts).map { leaf([width, hidden], 20_000 + UInt64($0)) }
    let weights = ExpertWeights(
      gate: .separate(gates), up: .separate(ups), down: .separate(downs), hiddenSize: hidden)
    func mixture() -> Tensor {
      let logits = x.linear(weight: router)
      let routes = ExpertRoutes(logits: logits, perToken: perToken, rule: .mixtral)
      return x.mixtureOfExperts(logits: logits, routes: routes, experts: weights)
    }
    let inner = perToken * hidden
    let (gate, up) = (leaf([inner, width], 2), leaf([inner, width], 3))
    let down = leaf([width, inner], 4)
    func dense() -> Tensor {
      x.linear(sideBySide: [gate, up]).swiGLU().linear(weight: down)
    }
    let leaves = [x, router, gate, up, down] + gates + ups + downs
    func passes(_ layer: () -> Tensor) -> Double {
      best {
        layer().backward(gradient: gradient)
        for leaf in leaves { leaf.clearGradient() }
      }
    }
    return withProducts(in: precision) {
      // In turns, so that a busy machine slows both alike.
      var (sparse, plain) = (Double.infinity, Double.infinity)
      Machine.resetPeakBytes()
      for _ in 0..<3 {
        plain = min(plain, passes(dense))
        sparse = min(sparse, passes(mixture))
      }
      let forward = best { withoutGradient { _ = mixture() } }
      let parameters = experts * (3 * hidden + 1) * width
      let operations =
        3 * 2 * Double(batch * context) * Double(width) * Double(3 * inner + experts)
      var measured = result(
        "experts", name: "\(perToken) of \(experts) experts, \(width) x \(hidden)",
        parameters: parameters, seconds: sparse, operations: operations, forward: forward)
      measured.timeOverDense = sparse / plain
      return measured
    }
  }
}
