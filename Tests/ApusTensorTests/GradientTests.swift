import ApusTensor
import ApusTestSupport
import Testing

@Suite("Gradients", .tags(.gradient))
struct GradientTests {
  /// A function that uses its inputs more than once.
  static func tangle(_ x: [Tensor]) -> Tensor {
    let y = Activation.tanh(x[0]) * x[1]
    return (y * x[0] + (y + x[1] * 2)).mean()
  }

  @Test("of a tensor used several times add up")
  func reuse() {
    checkGradient(of: Self.tangle, at: [.random([7], seed: 1), .random([7], seed: 2)])
    let x = Tensor([3.0], [1]).tracked()
    (x * x + x).backward()
    #expect(x.gradient?.values == [7])
  }

  @Test("gather over several passes until cleared")
  func accumulation() {
    let x = Tensor([1.0, 2], [2]).tracked()
    for pass in 1...3 {
      (x * 4).mean().backward()
      #expect(x.gradient?.values == [Float](repeating: 2 * Float(pass), count: 2))
    }
    x.clearGradient()
    #expect(x.gradient == nil)
  }

  @Test("of two losses over one trunk equal those of their sum")
  func twoLosses() {
    let start = Tensor.random([3, 4], seed: 3)
    let (a, b) = (start.tracked(), start.tracked())
    (Activation.tanh(a) + a * a).mean().backward()
    Activation.tanh(b).mean().backward()
    (b * b).mean().backward()
    expectClose(a.gradient?.values ?? [], b.gradient?.values ?? [], relative: 1e-6)
  }

  @Test("do not share memory with each other")
  func independence() {
    let (a, b) = (Tensor([1.0], [1]).tracked(), Tensor([2.0], [1]).tracked())
    (a + b).backward()
    (a * 5).mean().backward()
    #expect(a.gradient?.values == [6])
    #expect(b.gradient?.values == [1])
  }

  @Test("survive a reshape")
  func reshaping() {
    let x = Tensor.random([2, 6], seed: 4).tracked()
    (x.reshaped([3, 4]) * x.reshaped([12])).mean().backward()
    #expect(x.gradient?.shape == [2, 6])
    expectClose(x.gradient?.values ?? [], x.values.map { $0 / 6 }, relative: 1e-6)
  }

  @Test("are not recorded without gradient, and the setting ends with its block")
  func withoutRecording() {
    let x = Tensor([1.0], [1]).tracked()
    withoutGradient {
      #expect(!(x * 2).isTracked)
      #expect(!x.linear(weight: Tensor([1.0], [1, 1]).tracked()).isTracked)
      #expect(!Tensor(concatenating: [x, x]).isTracked)
      #expect(!x.checkpointed { $0 * 2 }.isTracked)
    }
    #expect((x * 2).isTracked)
    #expect(!(x.detached() * 2).isTracked)
  }

  @Test("are the same bits with checkpoints as without")
  func checkpoints() {
    let weight = Tensor.random([6, 6], seed: 5)
    func model(_ x: [Tensor], checkpoint: Bool) -> Tensor {
      func block(_ y: Tensor) -> Tensor { y + Activation.silu(y.linear(weight: x[1])) }
      return checkpoint
        ? x[0].checkpointed(block).checkpointed(block) : block(block(x[0]))
    }
    let inputs = [Tensor.random([3, 6], seed: 6), weight]
    let plain = valuesAndGradients(of: { model($0, checkpoint: false) }, at: inputs)
    let saved = valuesAndGradients(of: { model($0, checkpoint: true) }, at: inputs)
    expectSameBits(plain.values, saved.values)
    for (a, b) in zip(plain.gradients, saved.gradients) {
      // Sums of several contributions may come in another order.
      expectClose(a, b, relative: 1e-6, absolute: 1e-6)
    }
  }

  @Test("reach parameters inside a checkpoint whose input is not tracked")
  func checkpointOfConstant() {
    let weight = Tensor.random([2, 3], seed: 7).tracked()
    let x = Tensor.random([4, 3], seed: 8)
    x.checkpointed { $0.linear(weight: weight) }.mean().backward()
    let plain = Tensor.random([2, 3], seed: 7).tracked()
    x.linear(weight: plain).mean().backward()
    expectSameBits(weight.gradient?.values ?? [], plain.gradient?.values ?? [])
  }

  @Test("flow through chains of any length, which then go without recursion")
  func longChain() {
    let x = Tensor([1.0], [1]).tracked()
    func chain() -> Tensor { (0..<200_000).reduce(x) { y, _ in y * 1 } }
    chain().backward()
    #expect(x.gradient?.values == [1])
    _ = chain()
  }

  @Test("of a copy leave the original alone: writing copies first")
  func copyOnWrite() {
    let x = Tensor([1.0, 2], [2])
    var y = x
    y.withMutableFloats { $0[0] = 9 }
    #expect(x.values == [1, 2])
    #expect(y.values == [9, 2])
  }
}

extension Engine {
  @Suite("Memory")
  struct MemoryTests {
    /// A step that leaves a history behind, and the storage of its inner tensor.
    private func step(backward: Bool) -> Probe {
      let x = Tensor.random([4, 8], seed: 1).tracked()
      let weight = Tensor.random([8, 8], seed: 2).tracked()
      let inner = x.linear(weight: weight)
      let loss = (inner * inner + inner.checkpointed { Activation.tanh($0) }).mean()
      let probe = Probe(inner)
      if backward { loss.backward() }
      return probe
    }

    @Test("is free again when the tensors are gone, backwards or not", arguments: [true, false])
    func noLeak(backward: Bool) {
      let probe = step(backward: backward)
      #expect(probe.storage == nil, "something still holds the tensor's memory")
      #expect(probe.history == nil, "something still holds the tensor's history")
    }

    @Test("of a thousand steps is that of one")
    func steady() {
      _ = step(backward: true)
      let before = Machine.bytesInUse
      for index in 0..<1000 { _ = step(backward: index % 2 == 0) }
      // Each step takes a few kilobytes; other tests may hold some at this moment.
      #expect(Machine.bytesInUse - before < 64_000_000 / 100)
    }

    @Test("of the graph goes while backward runs, though the loss is still held")
    func freedOnTheWay() {
      let x = Tensor.random([4, 8], seed: 1).tracked()
      var probe = Probe(x)
      func loss() -> Tensor {
        let inner = x * x
        probe = Probe(inner)
        return (inner * inner).mean()
      }
      let held = loss()
      #expect(probe.storage != nil)
      held.backward()
      #expect(probe.storage == nil)
      withExtendedLifetime(held) {}
    }
  }

  @Suite("Instruction sets and threads")
  struct MachineTests {
    /// Values and gradients of a block with every kind of operation.
    static func block() -> [Float] {
      let x = Tensor.random([2, 65, 24], seed: 1)
      let layout = AttentionLayout(heads: 3, keyValueHeads: 1, headSize: 8, window: 20)
      let inputs = [
        x, .random([24, 40], seed: 2, scale: 0.2), .random([24], seed: 3),
        .random([24, 24], seed: 4, scale: 0.2), .random([41, 24], seed: 5),
      ]
      let targets = Tensor.randomIntegers([130], below: 41, seed: 6)
      let result = valuesAndGradients(
        of: { x in
          let mixed = x[0].rmsNorm(weight: x[2], epsilon: 1e-5).linear(
            weight: x[1], inputsFirst: true
          ).attention(layout: layout)
          let y = x[0] + Activation.silu(mixed).linear(weight: x[3])
          return y.crossEntropy(head: x[4], targets: targets)
        }, at: inputs)
      return result.values + result.gradients.flatMap { $0 }
    }

    @Test("any number of threads gives the same bits, on every instruction set")
    func threads() {
      onEveryInstructionSet { name in
        let one = withThreads(1) { Self.block() }
        for count in [2, 3] {
          expectSameBits(withThreads(count) { Self.block() }, one, "\(name), \(count) threads")
        }
      }
    }

    @Test("instruction sets agree")
    func instructionSets() {
      let best = Self.block()
      onEveryInstructionSet { expectClose(Self.block(), best, absolute: 2e-5, $0) }
    }
  }
}

/// Watches a tensor's memory without holding it.
private struct Probe {
  weak var storage: AnyObject?
  weak var history: AnyObject?

  init(_ tensor: Tensor) {
    storage = tensor.contents.storage
    history = tensor.history
  }
}
