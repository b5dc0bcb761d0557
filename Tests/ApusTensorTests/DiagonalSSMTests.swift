import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Diagonal state space", .tags(.kernel, .gradient))
struct DiagonalSSMTests {
  /// Twice the conjugate of h, by the equations of the paper in the polar form of Λ̄.
  static func definition(_ x: [[Double]], batch: Int, time: Int, states: Int) -> [Double] {
    var output = [Double](repeating: 0, count: batch * time * 2 * states)
    for sequence in 0..<batch * states {
      let (row, n) = (sequence / states, sequence % states)
      let (rate, turn, step) = (-abs(x[1][n]), x[2][n], exp(x[3][n]))
      let (size, angle) = (exp(rate * step), turn * step)
      let (c, s) = (size * cos(angle), size * sin(angle))
      let square = rate * rate + turn * turn
      // (Λ̄ − 1) / Λ
      let gain = (
        ((c - 1) * rate + s * turn) / square, (s * rate - (c - 1) * turn) / square
      )
      var (re, im) = (0.0, 0.0)
      for t in row * time..<(row + 1) * time {
        let at = t * 2 * states + n
        let (u, v) = (x[0][at], x[0][at + states])
        (re, im) = (
          c * re - s * im + gain.0 * u - gain.1 * v, c * im + s * re + gain.0 * v + gain.1 * u
        )
        (output[at], output[at + states]) = (2 * re, -2 * im)
      }
    }
    return output
  }

  /// Rates of a fair size, so that divisions by them are harmless.
  private static func inputs(time: Int, states: Int) -> [Tensor] {
    let rates = Tensor.random([states], seed: 2).values.map { ($0 < 0 ? -0.5 : 0.5) + 0.2 * $0 }
    return [
      .random([2, time, 2 * states], seed: 1), Tensor(rates, [states]),
      .random([states], seed: 3), .random([states], seed: 4, scale: 0.5),
    ]
  }

  private static func scan(_ x: [Tensor]) -> Tensor {
    x[0].diagonalSSM(
      weights: DiagonalSSMWeights(decay: x[1], frequency: x[2], logStep: x[3]))
  }

  @Test("equals the recurrence, values and gradients", arguments: [1, 7], [1, 3, 17])
  func agrees(time: Int, states: Int) {
    expectAgreement(
      of: Self.scan, with: { Self.definition($0, batch: 2, time: time, states: states) },
      at: Self.inputs(time: time, states: states))
  }

  @Test("stays finite where nothing decays and steps are tiny")
  func staysFinite() {
    let zeros = Tensor(zeros: [3])
    let x = [Tensor.random([1, 9, 6], seed: 1), zeros, zeros, Tensor(repeating: -12, [3])]
    let (values, gradients) = valuesAndGradients(of: Self.scan, at: x)
    #expect(values.allSatisfy { $0.isFinite })
    for gradient in gradients { #expect(gradient.allSatisfy { $0.isFinite }) }
    // A held input for a step of e⁻¹² adds that much, twice for the pair.
    let expected = 2 * Float(exp(-12.0)) * x[0].values[0]
    #expect(abs(values[0] - expected) <= 1e-5 * abs(expected))
  }

  @Test("from a state equals the full pass at any split", arguments: 0..<8 as Range<UInt64>)
  func continuation(seed: UInt64) {
    let x = Self.inputs(time: 30, states: 9)
    let whole = Self.scan(x)
    var state = DiagonalSSMState(batch: 2, states: 9)
    for range in pieces(30, seed: seed) {
      let part = x[0][times: range].diagonalSSM(
        weights: DiagonalSSMWeights(decay: x[1], frequency: x[2], logStep: x[3]), state: &state)
      expectClose(part, whole[times: range], absolute: 1e-5, "\(range) of seed \(seed)")
    }
  }
}
