import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Operations of xLSTM", .tags(.kernel, .gradient))
struct XLSTMTests {
  /// sLSTM without a stabilizer, gates in the order input, forget, cell, output.
  static func scalar(
    _ x: [[Double]], batch: Int, time: Int, heads: Int, size: Int
  ) -> [Double] {
    let width = heads * size
    var output = [Double](repeating: 0, count: batch * time * width)
    for sequence in 0..<batch * heads {
      let (row, head) = (sequence / heads, sequence % heads)
      let none = [Double](repeating: 0, count: size)
      var (h, c, n) = (none, none, none)
      for t in row * time..<(row + 1) * time {
        let place = t * width + head * size
        let gates = (0..<4 * size).map { j in
          x[0][4 * place + j]
            + (0..<size).reduce(0) { $0 + h[$1] * x[1][(head * size + $1) * 4 * size + j] }
        }
        for e in 0..<size {
          c[e] = sigmoid(gates[size + e]) * c[e] + exp(gates[e]) * tanh(gates[2 * size + e])
          n[e] = sigmoid(gates[size + e]) * n[e] + exp(gates[e])
          h[e] = sigmoid(gates[3 * size + e]) * c[e] / n[e]
          output[place + e] = h[e]
        }
      }
    }
    return output
  }

  /// mLSTM without a stabilizer: every token against all before it.
  static func matrix(_ x: [[Double]], batch: Int, time: Int, layout: MLSTMLayout) -> [Double] {
    let (heads, keys, values) = (layout.heads, layout.keySize, layout.valueSize)
    var output = [Double](repeating: 0, count: batch * time * layout.features)
    for sequence in 0..<batch * heads {
      let (row, head) = (sequence / heads, sequence % heads)
      let first = row * time
      for t in first..<first + time {
        var (sums, norm, decay) = ([Double](repeating: 0, count: values), 0.0, 1.0)
        for s in (first...t).reversed() {
          let key = s * layout.projected + heads * keys + head * keys
          let query = t * layout.projected + head * keys
          let product = (0..<keys).reduce(0.0) { $0 + x[0][query + $1] * x[0][key + $1] }
          let weight =
            decay * exp(x[1][s * 2 * heads + head]) * product / Double(keys).squareRoot()
          norm += weight
          for e in 0..<values {
            sums[e] += weight * x[0][s * layout.projected + 2 * heads * keys + head * values + e]
          }
          decay *= sigmoid(x[1][s * 2 * heads + heads + head])
        }
        for e in 0..<values {
          output[t * layout.features + head * values + e] = sums[e] / max(abs(norm), 1)
        }
      }
    }
    return output
  }

  @Test("sLSTM equals the recurrence, values and gradients", arguments: [1, 5], [1, 3, 6])
  func scalarAgrees(time: Int, size: Int) {
    expectAgreement(
      of: { $0[0].slstm(recurrent: $0[1]) },
      with: { Self.scalar($0, batch: 2, time: time, heads: 2, size: size) },
      at: [
        .random([2, time, 8 * size], seed: 1),
        .random([2, size, 4 * size], seed: 2, scale: 0.5),
      ])
  }

  @Test("mLSTM equals its sum over pairs, values and gradients", arguments: [2, 11], [1, 3, 6])
  func matrixAgrees(time: Int, size: Int) {
    let layout = MLSTMLayout(heads: 2, keySize: size, valueSize: 4, epsilon: 0, chunk: 5)
    expectAgreement(
      of: { $0[0].mlstm(gates: $0[1], layout: layout) },
      with: { Self.matrix($0, batch: 2, time: time, layout: layout) },
      at: [
        .random([2, time, layout.projected], seed: 3), .random([2, time, 4], seed: 4),
      ], values: 1e-5, gradients: 5e-5)
  }

  @Test("from a state equals the full pass at any split", arguments: 0..<8 as Range<UInt64>)
  func continuation(seed: UInt64) {
    let (gates, recurrent) = (
      Tensor.random([2, 60, 36], seed: 3), Tensor.random([3, 3, 12], seed: 4, scale: 0.3)
    )
    let layout = MLSTMLayout(heads: 3, keySize: 2, valueSize: 4, chunk: 16)
    let x = Tensor.random([2, 60, layout.projected], seed: 5)
    let memoryGates = Tensor.random([2, 60, 6], seed: 6)
    let (scalar, matrix) = (
      gates.slstm(recurrent: recurrent), x.mlstm(gates: memoryGates, layout: layout)
    )
    var scalarState = SLSTMState(batch: 2, features: 9)
    var matrixState = MLSTMState(batch: 2, layout: layout)
    for range in pieces(60, seed: seed) {
      let one = gates[times: range].slstm(recurrent: recurrent, state: &scalarState)
      expectClose(one, scalar[times: range], absolute: 1e-5, "\(range) of seed \(seed)")
      let other = x[times: range].mlstm(
        gates: memoryGates[times: range], layout: layout, state: &matrixState)
      expectClose(other, matrix[times: range], absolute: 2e-5, "\(range) of seed \(seed)")
    }
  }

  @Test("maps of heads equal a block-diagonal matrix, values and gradients")
  func headLinear() {
    let (heads, inputs, outputs) = (3, 2, 4)
    func definition(_ x: [[Double]]) -> [Double] {
      (0..<5).flatMap { row in
        (0..<heads).flatMap { head in
          (1...2).flatMap { map in
            (0..<outputs).map { output in
              (0..<inputs).reduce(0.0) { sum, input in
                let weight = x[map][(head * outputs + output) * inputs + input]
                return sum + weight * x[0][(row * heads + head) * inputs + input]
              }
            }
          }
        }
      }
    }
    expectAgreement(
      of: { $0[0].headLinear([$0[1], $0[2]]) }, with: definition,
      at: [
        .random([1, 5, 6], seed: 1), .random([heads, outputs, inputs], seed: 2),
        .random([heads, outputs, inputs], seed: 3),
      ])
  }
}
