import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Chunked attention", .tags(.kernel, .gradient))
struct ChunkedAttentionTests {
  /// The sizes of a call.
  struct Sizes: CustomTestStringConvertible {
    var (batch, time, heads, keys, values, chunk): (Int, Int, Int, Int, Int, Int)
    var testDescription: String {
      "B \(batch) T \(time) H \(heads) K \(keys) values \(values) chunk \(chunk)"
    }
    var frequencies: [Double] { (0..<keys / 2).map { pow(100, -2 * Double($0) / Double(keys)) } }
    var layout: ChunkedAttentionLayout {
      ChunkedAttentionLayout(
        heads: heads, keySize: keys, valueSize: values, chunk: chunk,
        rotary: RotaryTable(positions: 3, frequencies: frequencies, isInterleaved: true))
    }

    func inputs(seed: UInt64) -> [Tensor] {
      [
        .random([batch, time, 2 * heads * keys], seed: seed, scale: 0.7),
        .random([batch, time, heads * values], seed: seed + 1),
      ]
    }

    /// Token by token, in double.
    func reference(_ x: [[Double]]) -> [Double] {
      var output = [Double](repeating: 0, count: batch * time * heads * values)
      for (row, head) in (0..<batch).flatMap({ row in (0..<heads).map { (row, $0) } }) {
        func turned(_ t: Int, part: Int) -> [Double] {
          let start = ((row * time + t) * 2 + part) * heads * keys + head * keys
          var own = Array(x[0][start..<start + keys])
          for (pair, frequency) in frequencies.enumerated() {
            let angle = Double(t % chunk) * frequency
            let (a, b) = (own[2 * pair], own[2 * pair + 1])
            own[2 * pair] = a * cos(angle) - b * sin(angle)
            own[2 * pair + 1] = b * cos(angle) + a * sin(angle)
          }
          return own
        }
        for t in 0..<time {
          let query = turned(t, part: 0)
          let seen = Array(t / chunk * chunk...t)
          let scores = seen.map {
            exp(zip(query, turned($0, part: 1)).reduce(0) { $0 + $1.0 * $1.1 })
          }
          let sum = scores.reduce(0, +)
          for i in 0..<values {
            output[((row * time + t) * heads + head) * values + i] = zip(seen, scores).reduce(0) {
              $0 + $1.1 / sum * x[1][((row * time + $1.0) * heads + head) * values + i]
            }
          }
        }
      }
      return output
    }
  }

  @Test(
    "equals softmax by definition, values and gradients",
    arguments: [
      Sizes(batch: 2, time: 8, heads: 1, keys: 4, values: 4, chunk: 4),
      Sizes(batch: 2, time: 11, heads: 2, keys: 4, values: 8, chunk: 4),
      Sizes(batch: 1, time: 7, heads: 2, keys: 6, values: 10, chunk: 3),
      Sizes(batch: 2, time: 5, heads: 1, keys: 6, values: 3, chunk: 16),
      Sizes(batch: 1, time: 3, heads: 1, keys: 2, values: 5, chunk: 1),
    ])
  func agrees(sizes: Sizes) {
    expectAgreement(
      of: { Tensor.chunkedAttention(queriesAndKeys: $0[0], values: $0[1], layout: sizes.layout) },
      with: sizes.reference,
      at: sizes.inputs(seed: 1))
  }

  @Test("equals full causal attention where one chunk holds all")
  func isFull() {
    let sizes = Sizes(batch: 2, time: 40, heads: 2, keys: 8, values: 8, chunk: 64)
    let x = sizes.inputs(seed: 2)
    let full = Tensor(concatenating: [x[0], x[1]]).attention(
      layout: AttentionLayout(heads: 2, headSize: 8, scale: 1),
      rotary: sizes.layout.rotary?.rotation(from: [0, 0], time: 40))
    expectClose(
      Tensor.chunkedAttention(queriesAndKeys: x[0], values: x[1], layout: sizes.layout), full,
      absolute: 1e-6)
  }

  @Test("hands on the values where a chunk is one token")
  func isIdentity() {
    let sizes = Sizes(batch: 2, time: 9, heads: 2, keys: 4, values: 6, chunk: 1)
    let x = sizes.inputs(seed: 3)
    expectClose(
      Tensor.chunkedAttention(queriesAndKeys: x[0], values: x[1], layout: sizes.layout), x[1],
      absolute: 1e-6)
  }

  @Test("never looks past the border of a chunk, to the bit")
  func staysInside() {
    let sizes = Sizes(batch: 1, time: 12, heads: 1, keys: 4, values: 8, chunk: 5)
    let x = sizes.inputs(seed: 4)
    var changed = x
    changed[0].withMutableFloats { for index in 0..<5 * 8 { $0[index] += 1 } }
    changed[1].withMutableFloats { for index in 0..<5 * 8 { $0[index] -= 3 } }
    expectSameBits(
      Tensor.chunkedAttention(queriesAndKeys: changed[0], values: changed[1], layout: sizes.layout)[
        times: 5..<12
      ].values,
      Tensor.chunkedAttention(queriesAndKeys: x[0], values: x[1], layout: sizes.layout)[
        times: 5..<12
      ].values)
  }

  @Test(
    "from a state equals the full pass at any split, also past the rotary table",
    arguments: [
      Sizes(batch: 2, time: 23, heads: 2, keys: 4, values: 8, chunk: 6),
      Sizes(batch: 1, time: 70, heads: 1, keys: 6, values: 9, chunk: 33),
    ], 0..<10 as Range<UInt64>)
  func continuation(sizes: Sizes, seed: UInt64) {
    let x = sizes.inputs(seed: 5)
    let whole = Tensor.chunkedAttention(queriesAndKeys: x[0], values: x[1], layout: sizes.layout)
    var state = ChunkedAttentionState(batch: sizes.batch)
    for range in pieces(sizes.time, seed: seed) {
      let part = state.attend(
        x[0][times: range], x[1][times: range], layout: sizes.layout)
      expectClose(part, whole[times: range], absolute: 1e-6, "\(range) of seed \(seed)")
      let kept = range.upperBound % sizes.chunk
      #expect(state.counts == [Int](repeating: kept, count: sizes.batch))
      #expect(state.byteCount == sizes.batch * kept * sizes.heads * (sizes.keys + sizes.values) * 4)
    }
  }

  @Test("keeps copies of a state apart")
  func copies() {
    let sizes = Sizes(batch: 2, time: 9, heads: 1, keys: 4, values: 4, chunk: 16)
    let x = sizes.inputs(seed: 6)
    func part(_ range: Range<Int>) -> (Tensor, Tensor) {
      (x[0][times: range], x[1][times: range])
    }
    var first = ChunkedAttentionState(batch: 2)
    let (a, b) = part(0..<4)
    _ = first.attend(a, b, layout: sizes.layout)
    var second = first
    let other = sizes.inputs(seed: 60)
    _ = second.attend(
      other[0][times: 0..<5], other[1][times: 0..<5], layout: sizes.layout)
    let (c, d) = part(4..<9)
    expectClose(
      first.attend(c, d, layout: sizes.layout),
      Tensor.chunkedAttention(queriesAndKeys: x[0], values: x[1], layout: sizes.layout)[
        times: 4..<9], absolute: 1e-6)
  }

  @Test("queries equal keys at the start, of length one, and scores lie in −1 … 1")
  func start() {
    let z = Tensor.random([1, 20, 3 * 16], seed: 7)
    let zeros = Tensor(zeros: [2, 48])
    let qk = z.sharedQueryKey(gain: zeros, bias: zeros, heads: 3, epsilon: 1e-5)
    let (q, k) = (qk[features: 0..<48].values, qk[features: 48..<96].values)
    expectSameBits(q, k)
    for start in stride(from: 0, to: q.count, by: 16) {
      let length = q[start..<start + 16].reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(abs(length - 1) < 1e-3)
    }
  }
}

@Suite("Gating", .tags(.kernel, .gradient))
struct GatingTests {
  @Test("SiLU gates and factors by feature equal their definitions", arguments: [1, 3, 17])
  func agrees(features: Int) {
    let (x, gate) = (
      Tensor.random([2, 5, features], seed: 1), Tensor.random([2, 5, features], seed: 2)
    )
    expectAgreement(
      of: { $0[0].siluGated(by: $0[1]) }, with: { zip($0[0], $0[1]).map { $0 * silu($1) } },
      at: [x, gate])
    expectAgreement(
      of: { $0[0].scaled(features: $0[1]) },
      with: { x in x[0].indices.map { x[0][$0] * x[1][$0 % features] } },
      at: [x, .random([features], seed: 3)])
  }
}
