import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Long short-term memory", .tags(.kernel, .gradient))
struct LSTMTests {
  /// The recurrence, gates in the order input, forget, cell, output.
  static func reference(_ x: [[Double]], batch: Int, time: Int, features: Int) -> [Double] {
    var output: [Double] = []
    for row in 0..<batch {
      var h = [Double](repeating: 0, count: features)
      var c = h
      for t in 0..<time {
        let share = productTransposed(h, x[1], inner: features)
        let start = (row * time + t) * 4 * features
        let gates = (0..<4 * features).map { x[0][start + $0] + share[$0] }
        for j in 0..<features {
          c[j] =
            sigmoid(gates[features + j]) * c[j]
            + sigmoid(gates[j]) * tanh(gates[2 * features + j])
          h[j] = sigmoid(gates[3 * features + j]) * tanh(c[j])
        }
        output += h
      }
    }
    return output
  }

  @Test("equals the recurrence, values and gradients", arguments: [1, 5], [1, 3, 17])
  func agrees(time: Int, features: Int) {
    expectAgreement(
      of: { $0[0].lstm(recurrent: $0[1]) },
      with: { Self.reference($0, batch: 2, time: time, features: features) },
      at: [
        .random([2, time, 4 * features], seed: 1),
        .random([4 * features, features], seed: 2, scale: 0.5),
      ])
  }

  @Test("from a state equals the full pass at any split", arguments: 0..<8 as Range<UInt64>)
  func continuation(seed: UInt64) {
    let (gates, recurrent) = (
      Tensor.random([2, 30, 36], seed: 3), Tensor.random([36, 9], seed: 4, scale: 0.3)
    )
    let whole = gates.lstm(recurrent: recurrent)
    var state = LSTMState(batch: 2, features: 9)
    for range in pieces(30, seed: seed) {
      let part = gates[times: range].lstm(recurrent: recurrent, state: &state)
      expectClose(part, whole[times: range], absolute: 1e-5, "\(range) of seed \(seed)")
    }
  }
}
