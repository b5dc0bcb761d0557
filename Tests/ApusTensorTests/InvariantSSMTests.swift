import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Time-invariant state space", .tags(.kernel, .gradient))
struct InvariantSSMTests {
  /// E channels, N states, K taps.
  struct Sizes: CustomTestStringConvertible {
    var (batch, time, channels, states, taps): (Int, Int, Int, Int, Int)
    var testDescription: String { "B \(batch) T \(time) E \(channels) N \(states) K \(taps)" }

    /// xz, then the weights in the order of ``weights(_:)``.
    func inputs(seed: UInt64) -> [Tensor] {
      let shapes: [Shape] = [
        [batch, time, 2 * channels], [channels, 1, taps], [channels], [channels], [2, states],
        [channels, states], [channels],
      ]
      return shapes.enumerated().map {
        .random($1, seed: seed &+ UInt64($0), scale: $0 == 5 ? 0.3 : 0.7)
      }
    }

    func weights(_ x: [Tensor]) -> InvariantSSMWeights {
      InvariantSSMWeights(
        convolution: x[1], convolutionBias: x[2], step: x[3], inputOutput: x[4], logA: x[5],
        skip: x[6])
    }

    /// The convolution with the kernel of the state space, `Σ_n C_n a_n^d Δ B_n` at a distance of d:
    /// that there is one is what time-invariant means.
    func reference(_ x: [[Double]]) -> [Double] {
      var output: [Double] = []
      for row in 0..<batch {
        let s = (0..<time).map { convolved(x, row: row, t: $0) }
        for t in 0..<time {
          for e in 0..<channels {
            let delta = softplus(x[3][e])
            var y: Double = x[6][e] * s[t][e]
            for n in 0..<states {
              let rate = -delta * exp(x[5][e * states + n])
              let gain = x[4][states + n] * delta * x[4][n]
              for past in 0...t { y += gain * exp(rate * Double(t - past)) * s[past][e] }
            }
            let gate: Double = x[0][(row * time + t) * 2 * channels + channels + e]
            output.append(y * silu(gate))
          }
        }
      }
      return output
    }

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
    Sizes(batch: 1, time: 1, channels: 1, states: 1, taps: 2),
    Sizes(batch: 2, time: 7, channels: 3, states: 5, taps: 4),
    Sizes(batch: 1, time: 11, channels: 17, states: 3, taps: 3),
    Sizes(batch: 2, time: 70, channels: 2, states: 4, taps: 4),
  ]

  @Test("equals its convolution, values and the gradients of input and weights", arguments: sizes)
  func agrees(sizes: Sizes) {
    expectAgreement(
      of: { $0[0].invariantSSM(weights: sizes.weights($0)) }, with: sizes.reference,
      at: sizes.inputs(seed: 10), values: 1e-5, gradients: 1e-4)
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
        return x[0].invariantSSM(weights: weights)
      },
      with: { x in sizes.reference(Array(x[0...1]) + [zeros.values.map(Double.init)] + x[2...]) },
      at: inputs)
  }

  @Test("equals a selective one whose projections see nothing", arguments: [1, 40])
  func constantSelection(time: Int) {
    let sizes = Sizes(batch: 2, time: time, channels: 5, states: 3, taps: 4)
    var inputs = sizes.inputs(seed: 50)
    inputs[4] = Tensor(zeros: [2, 3])
    let selective = SelectiveSSMWeights(
      convolution: inputs[1], convolutionBias: inputs[2], projection: Tensor(zeros: [8, 5]),
      step: Tensor(zeros: [5, 2]), stepBias: inputs[3], logA: inputs[5], skip: inputs[6])
    expectClose(
      inputs[0].invariantSSM(weights: sizes.weights(inputs)),
      inputs[0].selectiveSSM(weights: selective), absolute: 1e-6)
  }

  @Test("from a state equals the full pass at any split", arguments: 0..<8 as Range<UInt64>)
  func continuation(seed: UInt64) {
    let sizes = Sizes(batch: 2, time: 70, channels: 9, states: 5, taps: 4)
    let inputs = sizes.inputs(seed: 40)
    let weights = sizes.weights(inputs)
    let whole = inputs[0].invariantSSM(weights: weights)
    var state = SelectiveSSMState(batch: 2, channels: 9, states: 5, convolutionWidth: 4)
    for range in pieces(70, seed: seed) {
      let part = inputs[0][times: range].invariantSSM(weights: weights, state: &state)
      expectClose(part, whole[times: range], absolute: 1e-5, "\(range) of seed \(seed)")
    }
  }
}
