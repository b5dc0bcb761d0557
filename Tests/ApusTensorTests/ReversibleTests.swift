import ApusTensor
import ApusTestSupport
import Testing

extension Engine {
  @Suite("Reversible steps", .tags(.gradient))
  struct ReversibleTests {
    /// Two small maps for each step, with weights of their own.
    static func weights(_ steps: Int, width: Int, scale: Double = 0.4) -> [Parameter] {
      (0..<2 * steps).map {
        Parameter("w\($0)", .random([width, width], seed: UInt64($0), scale: scale))
      }
    }

    static func maps(_ weights: [Parameter]) -> [ReversibleStep] {
      (0..<weights.count / 2).map { step in
        ReversibleStep(
          f: { x, _ in Activation.tanh(x.linear(weight: weights[2 * step].value)) },
          g: { Activation.geluTanh($0.linear(weight: weights[2 * step + 1].value)) })
      }
    }

    static func stored(_ x: Tensor, _ weights: [Parameter]) -> Tensor {
      var streams = (x, x)
      for step in 0..<weights.count / 2 {
        let shift = Activation.tanh(streams.1.linear(weight: weights[2 * step].value))
        streams.0 = streams.0 + shift
        let other = Activation.geluTanh(streams.0.linear(weight: weights[2 * step + 1].value))
        streams.1 = streams.1 + other
      }
      return Tensor(concatenating: [streams.0, streams.1])
    }

    @Test("equal the steps with everything kept: outputs to the bit, gradients to 1e-5")
    func agreeWithStored() {
      let (x, weights) = (Tensor.random([2, 7, 9], seed: 70), Self.weights(5, width: 9))
      func run(_ body: (Tensor) -> Tensor) -> [[Float]] {
        let leaf = x.tracked()
        let y = body(leaf)
        y.backward(gradient: .random(y.shape, seed: 71))
        defer { for weight in weights { weight.clearGradient() } }
        return [y.values, leaf.gradient?.values ?? []]
          + weights.map { $0.gradient?.values ?? [] }
      }
      let found = run { $0.reversible(Self.maps(weights)) }
      let expected = run { Self.stored($0, weights) }
      expectSameBits(found[0], expected[0])
      for (one, other) in zip(found, expected).dropFirst() {
        let largest = other.reduce(0) { max($0, abs($1)) }
        expectClose(one, other, absolute: 1e-5 * Double(largest))
      }
    }

    @Test("give parameters their gradients when the input needs none, and record on request only")
    func withoutTrackedInput() {
      let (x, weights) = (Tensor.random([1, 3, 4], seed: 72), Self.weights(2, width: 4))
      x.reversible(Self.maps(weights)).mean().backward()
      #expect(weights.allSatisfy { $0.gradient != nil })
      #expect(!withoutGradient { x.reversible(Self.maps(weights)) }.isTracked)
    }

    @Test("24 of them lead back to where they started within 1e-4")
    func reconstruct() {
      let (x, weights) = (
        Tensor.random([2, 16, 32], seed: 73), Self.weights(24, width: 32, scale: 0.15)
      )
      let steps = Self.maps(weights)
      let y = withoutGradient { x.reversible(steps) }
      let (first, second) = y.reversed(steps, notes: Array(repeating: nil, count: 24))
      expectClose(first, x, absolute: 1e-4)
      expectClose(second, x, absolute: 1e-4)
    }

    @Test("find their notes again")
    func notes() {
      var passes = 0
      let step = ReversibleStep(
        f: { x, note in
          if note == nil { note = Tensor([Int32(passes + 40)], [1]) }
          passes += 1
          return x * Float(note?.integers[0] ?? 0)
        }, g: { $0 })
      let leaf = Tensor.random([1, 2, 3], seed: 74).tracked()
      leaf.reversible([step]).mean().backward()
      #expect(passes == 2)
      // y1 = 41x, y2 = 42x: the mean over twelve numbers.
      let expected = [Float](repeating: (41 + 42) / 12, count: 6)
      expectClose(leaf.gradient?.values ?? [], expected, relative: 1e-6)
    }

    @Test("need memory that does not grow with their number")
    func memory() {
      let x = Tensor.random([4, 256, 32], seed: 75)
      func peak(_ steps: Int, _ body: (Tensor, [Parameter]) -> Tensor) -> Int {
        let weights = Self.weights(steps, width: 32)
        let gradients = weights.count * 32 * 32 * 4
        Machine.resetPeakBytes()
        let before = Machine.peakBytes
        body(x, weights).mean().backward()
        return Machine.peakBytes - before - gradients
      }
      let few = peak(4) { $0.reversible(Self.maps($1)) }
      let many = peak(32) { $0.reversible(Self.maps($1)) }
      #expect(many <= few + 65536, "\(few) bytes for 4 steps, \(many) for 32")
      #expect(peak(32, Self.stored) > 4 * many)
    }
  }
}
