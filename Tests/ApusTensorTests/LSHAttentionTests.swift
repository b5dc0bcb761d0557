import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("LSH attention", .tags(.kernel, .gradient))
struct LSHAttentionTests {
  /// H 2, K 6, R 3, four buckets.
  static func layout(block: Int, before: Int = 1, factors: [Int] = [4], rounds: Int = 3)
    -> LSHLayout
  {
    LSHLayout(
      heads: 2, headSize: 6, rounds: rounds, factors: factors, block: block, before: before)
  }

  static func inputs(_ layout: LSHLayout, batch: Int = 1, time: Int, seed: UInt64)
    -> (queries: Tensor, values: Tensor, buckets: Tensor)
  {
    let shape: Shape = [batch, time, layout.heads * layout.headSize]
    let queries = Tensor.random(shape, seed: seed)
    let rotations = Tensor.random(layout.rotationShape, seed: seed + 1)
    return (
      queries, .random(shape, seed: seed + 2),
      queries.lshBuckets(rotations: rotations, layout: layout)
    )
  }

  /// The definition, round by round: a softmax for each round, the token itself at −100,000, and the
  /// rounds weighed by the softmax of their log-sum-exps.
  static func reference(
    _ layout: LSHLayout, buckets: [Int32], time: Int
  ) -> ([[Double]]) -> [Double] {
    { x in
      let (q, v, size, width) = (x[0], x[1], layout.headSize, layout.heads * layout.headSize)
      var output = [Double](repeating: 0, count: time * width)
      for (head, t) in (0..<layout.heads).flatMap({ h in (0..<time).map { (h, $0) } }) {
        func row(_ a: [Double], _ s: Int) -> ArraySlice<Double> {
          a[s * width + head * size..<s * width + (head + 1) * size]
        }
        var (outputs, logs) = ([[Double]](), [Double]())
        for round in 0..<layout.rounds {
          let own = buckets[((head * layout.rounds + round) * time)...].prefix(time).map(\.self)
          let list = (0..<time).filter { own[$0] == own[t] }
          let rank = list.firstIndex(of: t) ?? 0
          let first = max(0, rank / layout.block - layout.before) * layout.block
          let seen = list[first...rank]
          let scores = seen.map { s -> Double in
            if s == t { return -1e5 }
            let key = row(q, s)
            let squares = key.reduce(0) { $0 + $1 * $1 }
            let dot = zip(row(q, t), key).reduce(0) { $0 + $1.0 * $1.1 }
            return dot / ((squares / Double(size) + 1e-6) * Double(size)).squareRoot()
          }
          let top = scores.max() ?? 0
          let log = top + Foundation.log(scores.reduce(0) { $0 + exp($1 - top) })
          logs.append(log)
          outputs.append(
            (0..<size).map { i in
              zip(seen, scores).reduce(0) { sum, one in
                sum + exp(one.1 - log) * v[one.0 * width + head * size + i]
              }
            })
        }
        let top = logs.max() ?? 0
        let total = logs.reduce(0) { $0 + exp($1 - top) }
        for (round, log) in logs.enumerated() {
          for i in 0..<size {
            output[t * width + head * size + i] += exp(log - top) / total * outputs[round][i]
          }
        }
      }
      return output
    }
  }

  @Test("is what the definition says, values and gradients", arguments: [1, 3, 8], [1, 0, 2])
  func agreesWithDefinition(block: Int, before: Int) {
    let layout = Self.layout(block: block, before: before)
    for (seed, time) in [(1, 1), (2, 13), (3, 24)] {
      let (queries, values, buckets) = Self.inputs(layout, time: time, seed: UInt64(seed))
      expectAgreement(
        of: {
          Tensor.lshAttention(queries: $0[0], values: $0[1], buckets: buckets, layout: layout)
        },
        with: Self.reference(layout, buckets: buckets.integers, time: time),
        at: [queries, values], "T \(time), c \(block)")
    }
  }

  @Test("with one bucket and blocks as long as the sequence is full attention with shared keys")
  func oneBucketIsFull() {
    for rounds in [1, 3] {
      let layout = Self.layout(block: 40, factors: [1], rounds: rounds)
      let (queries, values, buckets) = Self.inputs(layout, batch: 2, time: 33, seed: 9)
      let full = Tensor.lshAttention(queries: queries, values: values, buckets: nil, layout: layout)
      let hashed = Tensor.lshAttention(
        queries: queries, values: values, buckets: buckets, layout: layout)
      expectClose(hashed, full, absolute: 1e-6, "R \(rounds)")
    }
  }

  @Test("gives gradients through rotary positions", arguments: LSHLayout.Lists.allCases)
  func rotary(lists: LSHLayout.Lists) {
    var layout = Self.layout(block: 4)
    layout.lists = lists
    let (queries, values, buckets) = Self.inputs(layout, batch: 2, time: 14, seed: 11)
    let rotation = RotaryTable(positions: 20, frequencies: [1, 0.3, 0.1])
      .rotation(from: [0, 0], time: 14)
    let weights = Tensor.random(queries.shape, seed: 15)
    checkGradient(
      of: { [layout] x in
        (Tensor.lshAttention(
          queries: x[0], values: x[1], buckets: buckets, layout: layout, rotary: rotation) * weights)
          .mean()
      }, at: [queries, values], step: 1 / 64)
  }

  @Test("a token in time does not change earlier outputs, to the bit")
  func causality() {
    let layout = Self.layout(block: 5, rounds: 2)
    let rotations = Tensor.random(layout.rotationShape, seed: 3)
    func outputs(_ time: Int, of x: Tensor, _ v: Tensor) -> [Float] {
      let (x, v) = (x[times: 0..<time], v[times: 0..<time])
      let buckets = x.lshBuckets(rotations: rotations, layout: layout)
      return Tensor.lshAttention(queries: x, values: v, buckets: buckets, layout: layout).values
    }
    let (queries, values, _) = Self.inputs(layout, time: 90, seed: 21)
    let whole = outputs(90, of: queries, values)
    for time in [8, 30, 61, 89] {
      expectSameBits(outputs(time, of: queries, values), Array(whole.prefix(time * 12)))
    }
  }

  @Test("streams in any pieces, and keeps what its formula says", arguments: [false, true])
  func streams(isRotary: Bool) {
    let layout = Self.layout(block: 4, factors: [2, 2], rounds: 2)
    let table = isRotary ? RotaryTable(positions: 9, frequencies: [1, 0.3, 0.1]) : nil
    let (queries, values, buckets) = Self.inputs(layout, batch: 2, time: 200, seed: 31)
    let whole = Tensor.lshAttention(
      queries: queries, values: values, buckets: buckets, layout: layout,
      rotary: table?.rotation(from: [0, 0], time: 200))
    var (state, start) = (LSHState(batch: 2, layout: layout), 0)
    for count in [1, 6, 1, 92, 100] {
      let times = start..<start + count
      let ids = buckets.integers
      let part: [Int32] = (0..<8).flatMap { list in
        Array(ids[list * 200 + start..<list * 200 + start + count])
      }
      let o = state.attend(
        queries: queries[times: times], values: values[times: times],
        buckets: Tensor(part, [2, 2, 2, count]),
        rotary: table?.rotation(from: [start, start], time: count))
      expectClose(o, whole[times: times], absolute: 1e-5, "\(times)")
      start += count
    }
    // Per sequence and head: rounds · buckets · 2c · (K + K) floats.
    #expect(state.mostBytes == 2 * 2 * (2 * 4 * 2 * 4 * (6 + 6)) * 4)
    #expect(state.keptBytes == state.mostBytes)
  }

  @Test("attention within blocks of time streams too, and sees its block and those before")
  func blocks() {
    let layout = Self.layout(block: 5)
    let shape: Shape = [2, 23, 12]
    let (q, k, v) = (
      Tensor.random(shape, seed: 1), Tensor.random(shape, seed: 2), Tensor.random(shape, seed: 3)
    )
    let whole = Tensor.blockAttention(queries: q, keys: k, values: v, layout: layout)
    var state = LSHState(batch: 2, blocks: layout)
    for t in 0..<23 {
      let now = t..<t + 1
      let o = state.attend(
        queries: q[times: now], keys: k[times: now], values: v[times: now])
      expectClose(o, whole[times: now], absolute: 1e-5, "token \(t)")
      // Token t alone sees what exact attention over its block and the one before gives.
      let first = max(0, t / 5 - 1) * 5
      let fused = Tensor(concatenating: [q, k, v].map { $0[times: first..<t + 1] })
      let exact = fused.attention(layout: AttentionLayout(heads: 2, headSize: 6))
      expectClose(o, exact[times: t - first..<t - first + 1], absolute: 1e-5, "token \(t)")
    }
  }

  @Test("more rounds find more of the nearest keys")
  func recall() {
    let (time, size) = (512, 16)
    let x = Tensor.random([1, time, size], seed: 41)
    let rows = x.values
    let unit: [[Float]] = (0..<time).map { t in
      let row = Array(rows[t * size..<(t + 1) * size])
      let length = dot(row, row).squareRoot()
      return row.map { $0 / length }
    }
    let nearest: [[Int]] = (0..<time).map { t in
      let scores: [Float] = (0..<time).map { $0 == t ? -1 : dot(unit[t], unit[$0]) }
      return Array((0..<time).sorted { scores[$0] > scores[$1] }.prefix(8))
    }
    var found: [Double] = []
    for rounds in [1, 2, 4, 8] {
      var total = 0.0
      for seed in 0..<5 as Range<UInt64> {
        let layout = LSHLayout(
          heads: 1, headSize: size, rounds: rounds, factors: [16], block: 32)
        let rotations = Tensor.random(layout.rotationShape, seed: 100 + seed)
        let ids = x.lshBuckets(rotations: rotations, layout: layout).integers
        for t in 0..<time {
          for s in nearest[t] where shareBucket(ids, t, s, rounds: rounds, time: time) {
            total += 1 / Double(8 * time * 5)
          }
        }
      }
      found.append(total)
    }
    #expect(zip(found, found.dropFirst()).allSatisfy(<), "mean recall of the top 8: \(found)")
    #expect(found[0] > 2.0 / 16, "one round finds no more than chance: \(found)")
  }

  private func dot(_ a: [Float], _ b: [Float]) -> Float {
    zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
  }

  private func shareBucket(_ ids: [Int32], _ t: Int, _ s: Int, rounds: Int, time: Int) -> Bool {
    (0..<rounds).contains { ids[$0 * time + s] == ids[$0 * time + t] }
  }
}
