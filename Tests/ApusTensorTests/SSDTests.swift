import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Mixer by state space duality", .tags(.kernel, .gradient))
struct SSDTests {
  /// The sizes of a mixer, and the recurrence that defines it.
  struct Sizes: CustomTestStringConvertible {
    var (batch, time, taps): (Int, Int, Int)
    var layout: SSDLayout

    init(
      batch: Int, time: Int, heads: Int, headSize: Int, groups: Int, states: Int, taps: Int,
      limits: ClosedRange<Float> = 0...Float.infinity, chunk: Int = 64
    ) {
      (self.batch, self.time, self.taps) = (batch, time, taps)
      layout = SSDLayout(
        heads: heads, headSize: headSize, groups: groups, states: states, stepLimits: limits,
        epsilon: 1e-5, chunk: chunk)
    }

    var testDescription: String { "B \(batch) T \(time) K \(taps) \(layout)" }

    /// zxbcdt, then the weights in the order of ``weights(_:)``.
    func inputs(seed: UInt64) -> [Tensor] {
      let shapes: [Shape] = [
        [batch, time, layout.projected], [layout.convolved, 1, taps], [layout.convolved],
        [layout.heads], [layout.heads], [layout.heads], [layout.channels],
      ]
      return shapes.enumerated().map { .random($1, seed: seed &+ UInt64($0), scale: 0.7) }
    }

    func weights(_ x: [Tensor]) -> SSDWeights {
      SSDWeights(
        convolution: x[1], convolutionBias: x[2], stepBias: x[3], logA: x[4], skip: x[5],
        gain: x[6])
    }

    /// The mixer as the paper writes it, one number at a time.
    func reference(_ x: [[Double]]) -> [Double] {
      var output: [Double] = []
      for row in 0..<batch {
        var h = [Double](repeating: 0, count: layout.channels * layout.states)
        for t in 0..<time {
          let start = (row * time + t) * layout.projected
          let xbc = (0..<layout.convolved).map { convolved(x, row: row, t: t, channel: $0) }
          var v = (0..<layout.channels).map { e -> Double in
            let (head, b) = (e / layout.headSize, layout.channels + group(e) * layout.states)
            let c = b + layout.groups * layout.states
            let raw = x[0][start + layout.channels + layout.convolved + head] + x[3][head]
            let step = min(
              max(softplus(raw), Double(layout.stepLimits.lowerBound)),
              Double(layout.stepLimits.upperBound))
            var y: Double = x[5][head] * xbc[e]
            for n in 0..<layout.states {
              let at = e * layout.states + n
              h[at] = exp(-step * exp(x[4][head])) * h[at] + step * xbc[b + n] * xbc[e]
              y += xbc[c + n] * h[at]
            }
            return y * silu(x[0][start + e])
          }
          let size = layout.channels / layout.groups
          for first in stride(from: 0, to: layout.channels, by: size) {
            let square = v[first..<first + size].reduce(0) { $0 + $1 * $1 } / Double(size)
            for e in first..<first + size {
              v[e] *= x[6][e] / (square + Double(layout.epsilon)).squareRoot()
            }
          }
          output += v
        }
      }
      return output
    }

    private func group(_ channel: Int) -> Int {
      channel / layout.headSize / (layout.heads / layout.groups)
    }

    /// The causal convolution and its activation at one time and channel.
    private func convolved(_ x: [[Double]], row: Int, t: Int, channel: Int) -> Double {
      var sum: Double = x[2][channel]
      for tap in 0..<taps where t - taps + 1 + tap >= 0 {
        let start = (row * time + t - taps + 1 + tap) * layout.projected + layout.channels
        sum += x[1][channel * taps + tap] * x[0][start + channel]
      }
      return silu(sum)
    }
  }

  static let sizes = [
    Sizes(batch: 1, time: 1, heads: 1, headSize: 1, groups: 1, states: 1, taps: 2),
    Sizes(batch: 2, time: 7, heads: 2, headSize: 3, groups: 1, states: 5, taps: 4, chunk: 3),
    Sizes(
      batch: 1, time: 6, heads: 6, headSize: 3, groups: 3, states: 4, taps: 3, limits: 0.4...0.8),
    Sizes(batch: 1, time: 5, heads: 1, headSize: 17, groups: 1, states: 9, taps: 4, chunk: 1),
  ]

  @Test("equals the recurrence, values and the gradients of input and weights", arguments: sizes)
  func agrees(sizes: Sizes) {
    expectAgreement(
      of: { $0[0].ssd(weights: sizes.weights($0), layout: sizes.layout) },
      with: sizes.reference, at: sizes.inputs(seed: 10))
  }

  @Test("equals the recurrence past a chunk")
  func longer() {
    let sizes = Sizes(batch: 2, time: 150, heads: 2, headSize: 2, groups: 1, states: 3, taps: 4)
    expectAgreement(
      of: { $0[0].ssd(weights: sizes.weights($0), layout: sizes.layout) },
      with: sizes.reference, at: sizes.inputs(seed: 20), values: 1e-5, gradients: 1e-4)
  }

  @Test("works without the convolution's bias")
  func withoutBias() {
    let sizes = Self.sizes[1]
    var inputs = sizes.inputs(seed: 30)
    let zeros = Tensor(zeros: inputs.remove(at: 2).shape)
    expectAgreement(
      of: { x in
        var weights = sizes.weights(Array(x[0...1]) + [zeros] + Array(x[2...]))
        weights.convolutionBias = nil
        return x[0].ssd(weights: weights, layout: sizes.layout)
      },
      with: { x in sizes.reference(Array(x[0...1]) + [zeros.values.map(Double.init)] + x[2...]) },
      at: inputs)
  }

  @Test("from a state equals the full pass at any split", arguments: 0..<12 as Range<UInt64>)
  func continuation(seed: UInt64) {
    let sizes = Sizes(
      batch: 2, time: 70, heads: 4, headSize: 9, groups: 2, states: 5, taps: 4, limits: 0.2...0.9)
    let inputs = sizes.inputs(seed: 40)
    let weights = sizes.weights(inputs)
    let whole = inputs[0].ssd(weights: weights, layout: sizes.layout)
    var state = SSDState(batch: 2, layout: sizes.layout, convolutionWidth: 4)
    for range in pieces(70, seed: seed) {
      let part = inputs[0][times: range].ssd(weights: weights, layout: sizes.layout, state: &state)
      expectClose(part, whole[times: range], absolute: 1e-5, "\(range) of seed \(seed)")
    }
  }

  @Test("keeps copies of a state apart, and counts its bytes")
  func copies() {
    let sizes = Sizes(batch: 1, time: 6, heads: 2, headSize: 3, groups: 1, states: 2, taps: 3)
    let inputs = sizes.inputs(seed: 50)
    let (weights, layout) = (sizes.weights(inputs), sizes.layout)
    var first = SSDState(batch: 1, layout: layout, convolutionWidth: 3)
    #expect(first.byteCount == 4 * (2 * (6 + 4) + 6 * 2))
    _ = inputs[0][times: 0..<3].ssd(weights: weights, layout: layout, state: &first)
    var second = first
    _ = Tensor.random([1, 2, layout.projected], seed: 9).ssd(
      weights: weights, layout: layout, state: &second)
    let rest = inputs[0][times: 3..<6].ssd(weights: weights, layout: layout, state: &first)
    let whole = inputs[0].ssd(weights: weights, layout: layout)
    expectClose(rest, whole[times: 3..<6], absolute: 1e-5)
  }
}
