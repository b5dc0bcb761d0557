import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Selective state space", .tags(.kernel, .gradient))
struct SelectiveSSMTests {
  /// The sizes of a mixer: E channels, N states, R rank, K taps.
  struct Sizes: CustomTestStringConvertible {
    var (batch, time, channels, states, rank, taps): (Int, Int, Int, Int, Int, Int)
    var testDescription: String {
      "B \(batch) T \(time) E \(channels) N \(states) R \(rank) K \(taps)"
    }

    /// xz, then the weights in the order of ``weights(_:)``.
    func inputs(seed: UInt64) -> [Tensor] {
      let shapes: [Shape] = [
        [batch, time, 2 * channels], [channels, 1, taps], [channels],
        [rank + 2 * states, channels], [channels, rank], [channels], [channels, states], [channels],
      ]
      return shapes.enumerated().map {
        .random($1, seed: seed &+ UInt64($0), scale: $0 == 6 ? 0.3 : 0.7)
      }
    }

    func weights(_ x: [Tensor]) -> SelectiveSSMWeights {
      SelectiveSSMWeights(
        convolution: x[1], convolutionBias: x[2], projection: x[3], step: x[4], stepBias: x[5],
        logA: x[6], skip: x[7],
        norms: x.count > 8
          ? SelectiveSSMNorms(step: x[8], input: x[9], output: x[10], epsilon: 1e-3) : nil)
    }

    /// The recurrence as the paper writes it, one number at a time.
    func reference(_ x: [[Double]]) -> [Double] {
      var output: [Double] = []
      for row in 0..<batch {
        var h = [Double](repeating: 0, count: channels * states)
        for t in 0..<time {
          let s = convolved(x, row: row, t: t)
          let p = normalized(productTransposed(s, x[3], inner: channels), x)
          for e in 0..<channels {
            var step: Double = x[5][e]
            for r in 0..<rank { step += x[4][e * rank + r] * p[r] }
            let delta = softplus(step)
            var y: Double = x[7][e] * s[e]
            for n in 0..<states {
              let index = e * states + n
              let decay = exp(-delta * exp(x[6][index]))
              h[index] = decay * h[index] + delta * p[rank + n] * s[e]
              y += p[rank + states + n] * h[index]
            }
            let gate: Double = x[0][(row * time + t) * 2 * channels + channels + e]
            output.append(y * silu(gate))
          }
        }
      }
      return output
    }

    /// Step sizes, B and C as Jamba normalizes them, where there are gains.
    private func normalized(_ p: [Double], _ x: [[Double]]) -> [Double] {
      guard x.count > 8 else { return p }
      var (result, start) = ([Double](), 0)
      for gain in x[8...] {
        let part = p[start..<start + gain.count]
        let square = part.reduce(0) { $0 + $1 * $1 } / Double(gain.count)
        result += zip(part, gain).map { $0 * $1 / (square + 1e-3).squareRoot() }
        start += gain.count
      }
      return result
    }

    /// The causal convolution and its activation at one time: `[E]`.
    private func convolved(_ x: [[Double]], row: Int, t: Int) -> [Double] {
      (0..<channels).map { e in
        var sum: Double = x[2][e]
        for tap in 0..<taps {
          let source = t - taps + 1 + tap
          guard source >= 0 else { continue }
          sum += x[1][e * taps + tap] * x[0][(row * time + source) * 2 * channels + e]
        }
        return silu(sum)
      }
    }
  }

  static let sizes = [
    Sizes(batch: 1, time: 1, channels: 1, states: 1, rank: 1, taps: 2),
    Sizes(batch: 2, time: 7, channels: 3, states: 5, rank: 2, taps: 4),
    Sizes(batch: 1, time: 11, channels: 17, states: 3, rank: 1, taps: 3),
    Sizes(batch: 1, time: 5, channels: 8, states: 16, rank: 3, taps: 4),
  ]

  @Test("equals the recurrence, values and the gradients of input and weights", arguments: sizes)
  func agrees(sizes: Sizes) {
    expectAgreement(
      of: { $0[0].selectiveSSM(weights: sizes.weights($0)) }, with: sizes.reference,
      at: sizes.inputs(seed: 10))
  }

  @Test("normalizes step sizes, B and C where asked", arguments: sizes)
  func norms(sizes: Sizes) {
    let gains = [sizes.rank, sizes.states, sizes.states].enumerated().map { index, width in
      Tensor.random([width], seed: 70 &+ UInt64(index))
    }
    let inputs = sizes.inputs(seed: 10) + gains
    expectAgreement(
      of: { $0[0].selectiveSSM(weights: sizes.weights($0)) }, with: sizes.reference, at: inputs)
    var state = SelectiveSSMState(
      batch: sizes.batch, channels: sizes.channels, states: sizes.states,
      convolutionWidth: sizes.taps)
    let whole = inputs[0].selectiveSSM(weights: sizes.weights(inputs))
    for t in 0..<sizes.time {
      let part = inputs[0][times: t..<t + 1].selectiveSSM(
        weights: sizes.weights(inputs), state: &state)
      expectClose(part, whole[times: t..<t + 1], absolute: 1e-5, "token \(t)")
    }
  }

  @Test("equals the recurrence past a chunk")
  func longer() {
    let sizes = Sizes(batch: 2, time: 200, channels: 3, states: 4, rank: 2, taps: 4)
    expectAgreement(
      of: { $0[0].selectiveSSM(weights: sizes.weights($0)) },
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
        return x[0].selectiveSSM(weights: weights)
      },
      with: { x in sizes.reference(Array(x[0...1]) + [zeros.values.map(Double.init)] + x[2...]) },
      at: inputs)
  }

  @Test("from a state equals the full pass at any split", arguments: 0..<12 as Range<UInt64>)
  func continuation(seed: UInt64) {
    let sizes = Sizes(batch: 2, time: 70, channels: 9, states: 5, rank: 2, taps: 4)
    var inputs = sizes.inputs(seed: 40)
    // At the usual scale one output is 70, and 1e-5 is less than two roundings of it.
    inputs[0] = .random(inputs[0].shape, seed: 40, scale: 0.4)
    let weights = sizes.weights(inputs)
    let whole = inputs[0].selectiveSSM(weights: weights)
    #expect((0.1...10).contains(whole.values.map(abs).max() ?? 0))
    var state = SelectiveSSMState(batch: 2, channels: 9, states: 5, convolutionWidth: 4)
    for range in pieces(70, seed: seed) {
      let part = inputs[0][times: range].selectiveSSM(weights: weights, state: &state)
      expectClose(part, whole[times: range], absolute: 1e-5, "\(range) of seed \(seed)")
    }
  }

  @Test("keeps copies of a state apart")
  func copies() {
    let sizes = Sizes(batch: 1, time: 6, channels: 3, states: 2, rank: 1, taps: 3)
    let inputs = sizes.inputs(seed: 50)
    let weights = sizes.weights(inputs)
    var first = SelectiveSSMState(batch: 1, channels: 3, states: 2, convolutionWidth: 3)
    _ = inputs[0][times: 0..<3].selectiveSSM(weights: weights, state: &first)
    var second = first
    _ = Tensor.random([1, 2, 6], seed: 9).selectiveSSM(weights: weights, state: &second)
    let rest = inputs[0][times: 3..<6].selectiveSSM(weights: weights, state: &first)
    let whole = inputs[0].selectiveSSM(weights: weights)
    expectClose(rest, whole[times: 3..<6], absolute: 1e-5)
  }

  @Test("stays finite over a long decay")
  func longDecay() {
    let sizes = Sizes(batch: 1, time: 4096, channels: 2, states: 16, rank: 1, taps: 4)
    var inputs = sizes.inputs(seed: 60)
    inputs[6] = Tensor((0..<32).map { log(Float($0 % 16 + 1)) }, [2, 16])
    let (y, gradients) = valuesAndGradients(
      of: { $0[0].selectiveSSM(weights: sizes.weights($0)) }, at: inputs)
    #expect(y.allSatisfy { $0.isFinite })
    #expect(gradients.allSatisfy { $0.allSatisfy { $0.isFinite } })
  }
}
