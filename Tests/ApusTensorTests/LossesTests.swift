import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Losses", .tags(.kernel, .gradient))
struct LossesTests {
  static func definition(
    _ hidden: [Double], _ head: [Double], features: Int, targets: [Int32], scale: Double = 1
  ) -> [Double] {
    definition(
      productTransposed(hidden, head, inner: features).map { $0 * scale },
      features: head.count / features, targets: targets)
  }

  /// −ln softmax of logits at the targets.
  static func definition(
    _ logits: [Double], features vocabulary: Int, targets: [Int32]
  ) -> [Double] {
    targets.enumerated().map { row, target in
      guard target >= 0 else { return 0 }
      let own = logits[row * vocabulary..<(row + 1) * vocabulary]
      let largest = own.max() ?? 0
      return log(own.reduce(0) { $0 + exp($1 - largest) }) + largest
        - own[own.startIndex + Int(target)]
    }
  }

  @Test("cross-entropy equals the definition, values and gradients", arguments: [1, 3, 17, 65])
  func crossEntropyAgrees(vocabulary: Int) {
    let targets = Tensor(
      (0..<5).map { $0 == 3 ? -1 : Int32($0 * 7 % vocabulary) }, [5])
    expectAgreement(
      of: { $0[0].crossEntropy(head: $0[1], targets: targets, logitScale: 0.7) },
      with: { x in
        let all = Self.definition(
          x[0], x[1], features: 6, targets: targets.integers, scale: Double(Float(0.7)))
        return [all.reduce(0, +) / 4]
      }, at: [.random([5, 6], seed: 1), .random([vocabulary, 6], seed: 2)])
  }

  @Test("a cap bends the logits, and their gradients", arguments: [1, 3, 65])
  func crossEntropyWithCap(vocabulary: Int) {
    let targets = Tensor((0..<5).map { $0 == 3 ? -1 : Int32($0 * 7 % vocabulary) }, [5])
    let inputs: [Tensor] = [.random([5, 6], seed: 1), .random([vocabulary, 6], seed: 2)]
    func definition(_ x: [[Double]]) -> [Double] {
      let bent = productTransposed(x[0], x[1], inner: 6).map { 1.5 * tanh($0 * 0.5 / 1.5) }
      return Self.definition(bent, features: vocabulary, targets: targets.integers)
    }
    expectAgreement(
      of: { $0[0].crossEntropy(head: $0[1], targets: targets, logitScale: 0.5, logitCap: 1.5) },
      with: { [definition($0).reduce(0, +) / 4] }, at: inputs)
    expectAgreement(
      of: {
        ($0[0].linear(weight: $0[1]) * 0.5).bent(into: 1.5).crossEntropy(targets: targets)
      }, with: { [definition($0).reduce(0, +) / 4] }, at: inputs)
    expectClose(
      inputs[0].crossEntropies(head: inputs[1], targets: targets, logitScale: 0.5, logitCap: 1.5),
      definition(inputs.map { $0.values.map(Double.init) }).map(Float.init), absolute: 5e-6)
  }

  @Test("a bias of the head is one more feature that is always 1", arguments: [1, 17])
  func crossEntropyWithBias(vocabulary: Int) {
    let targets = Tensor((0..<5).map { $0 == 3 ? -1 : Int32($0 * 7 % vocabulary) }, [5])
    let inputs: [Tensor] = [
      .random([5, 6], seed: 1), .random([vocabulary, 6], seed: 2), .random([vocabulary], seed: 3),
    ]
    func definition(_ x: [[Double]]) -> [Double] {
      func widened(_ rows: [Double], _ last: (Int) -> Double) -> [Double] {
        (0..<rows.count / 6).flatMap { Array(rows[$0 * 6..<$0 * 6 + 6]) + [last($0)] }
      }
      return Self.definition(
        widened(x[0]) { _ in 1 }, widened(x[1]) { x[2][$0] }, features: 7,
        targets: targets.integers, scale: Double(Float(0.7)))
    }
    expectAgreement(
      of: {
        $0[0].crossEntropy(head: $0[1], bias: $0[2], targets: targets, logitScale: 0.7)
      }, with: { [definition($0).reduce(0, +) / 4] }, at: inputs)
    let losses = inputs[0].crossEntropies(
      head: inputs[1], bias: inputs[2], targets: targets, logitScale: 0.7)
    expectClose(
      losses, definition(inputs.map { $0.values.map(Double.init) }).map(Float.init), absolute: 5e-6)
  }

  @Test("cross-entropy equals the definition over several blocks of rows")
  func blocks() {
    let targets = Tensor.randomIntegers([2500], below: 5, seed: 3)
    let (hidden, head) = (Tensor.random([2500, 3], seed: 1), Tensor.random([5, 3], seed: 2))
    let expected = Self.definition(
      hidden.values.map(Double.init), head.values.map(Double.init), features: 3,
      targets: targets.integers)
    expectClose(
      hidden.crossEntropies(head: head, targets: targets), expected.map(Float.init),
      absolute: 1e-6)
    let loss = hidden.tracked().crossEntropy(head: head.tracked(), targets: targets).scalar
    #expect(abs(Double(loss) - expected.reduce(0, +) / 2500) < 1e-6)
  }

  @Test("cross-entropy of no target is 0, and its gradients are too")
  func noTargets() {
    let (hidden, head) = (
      Tensor.random([2, 3], seed: 1).tracked(), Tensor.random([4, 3], seed: 2)
    )
    let loss = hidden.crossEntropy(head: head, targets: Tensor([-1, -100] as [Int32], [2]))
    loss.backward()
    #expect(loss.scalar == 0)
    #expect(hidden.gradient?.values.allSatisfy { $0 == 0 } ?? true)
  }

  @Test("cross-entropy passes the gradient above it through")
  func upstream() {
    let targets = Tensor([1, 0] as [Int32], [2])
    expectAgreement(
      of: { $0[0].crossEntropy(head: $0[1], targets: targets) * 3 },
      withOperation: { x in
        x[0].crossEntropy(head: x[1], targets: targets) * 1 + x[0].crossEntropy(
          head: x[1], targets: targets) * 2
      }, at: [.random([2, 3], seed: 1), .random([4, 3], seed: 2)])
  }

  /// Quantiles outwards from the median by softplus steps.
  static func quantiles(_ free: [Double]) -> [Double] {
    var q = free
    let median = free.count / 2
    for i in free.indices where i > median { q[i] = q[i - 1] + softplus(free[i]) }
    for i in (0..<median).reversed() { q[i] = q[i + 1] - softplus(free[i]) }
    return q
  }

  @Test("pinball loss equals the definition, values and gradients", arguments: [1, 2, 3, 9])
  func pinball(count: Int) {
    let levels = (1...count).map { Float($0) / Float(count + 1) }
    let targets = Tensor.random([4], seed: 5)
    let weights: [Double] = [1, 0, 0.5, 2]
    expectAgreement(
      of: {
        $0[0].pinballLoss(
          targets: targets, levels: levels, weights: Tensor(weights.map(Float.init), [4]))
      },
      with: { x in
        var total = 0.0
        for row in 0..<4 {
          let q = Self.quantiles(Array(x[0][row * count..<(row + 1) * count]))
          let y = Double(targets.values[row])
          let losses = zip(q, levels).map {
            max(Double($1) * (y - $0), (Double($1) - 1) * (y - $0))
          }
          total += weights[row] * losses.reduce(0, +) / Double(count)
        }
        return [total / 3.5]
      }, at: [.random([4, count], seed: 6)])
  }

  @Test("pinball loss leaves out a row of weight 0 whatever its target holds")
  func leftOut() {
    let outputs = Tensor.random([2, 3], seed: 1).tracked()
    let loss = outputs.pinballLoss(
      targets: Tensor([.nan, 1], [2]), levels: [0.1, 0.5, 0.9], weights: Tensor([0.0, 1], [2]))
    loss.backward()
    #expect(loss.scalar.isFinite)
    let gradient = outputs.gradient?.values ?? []
    #expect(
      gradient.prefix(3).allSatisfy { $0 == 0 } && gradient.suffix(3).allSatisfy { $0.isFinite })
  }

  @Test("quantiles ascend whatever the outputs are", .tags(.property))
  func monotone() {
    for seed in 0..<100 as Range<UInt64> {
      let q = Tensor.random([3, 7], seed: seed, scale: 20).monotoneQuantiles(count: 7).values
      for row in 0..<3 {
        let own = q[row * 7..<row * 7 + 7]
        #expect(zip(own, own.dropFirst()).allSatisfy(<=), "seed \(seed): \(own)")
      }
    }
  }
}
