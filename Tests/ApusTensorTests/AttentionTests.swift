import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Attention", .tags(.kernel, .gradient))
struct AttentionTests {
  static let layouts = [
    AttentionLayout(heads: 1, headSize: 1),
    AttentionLayout(heads: 2, headSize: 5, scale: 0.3),
    AttentionLayout(heads: 4, keyValueHeads: 2, headSize: 4, window: 3),
    AttentionLayout(heads: 3, keyValueHeads: 1, headSize: 6, window: 1),
    AttentionLayout(heads: 2, headSize: 4, isCausal: false),
  ]

  /// The definition, from the fused row to the joined heads.
  static func reference(
    _ fused: [Double], _ layout: AttentionLayout, batch: Int, time: Int,
    frequencies: [Double] = [], interleaved: Bool = false
  ) -> [Double] {
    let (size, width) = (layout.headSize, layout.fusedSize)
    let group = layout.heads / layout.keyValueHeads
    func head(_ row: Int, _ t: Int, _ index: Int, turned: Bool) -> [Double] {
      let start = (row * time + t) * width + index * size
      var x = Array(fused[start..<start + size])
      guard turned else { return x }
      for (pair, frequency) in frequencies.enumerated() {
        let (a, b) = interleaved ? (2 * pair, 2 * pair + 1) : (pair, pair + frequencies.count)
        let angle = Double(t) * frequency
        (x[a], x[b]) = (
          x[a] * cos(angle) - x[b] * sin(angle), x[a] * sin(angle) + x[b] * cos(angle)
        )
      }
      return x
    }
    var output: [Double] = []
    for row in 0..<batch {
      for t in 0..<time {
        for h in 0..<layout.heads {
          let q = head(row, t, h, turned: true)
          let seen = (0..<time).filter { key in
            (!layout.isCausal || key <= t) && layout.window.map { t - key < $0 } ?? true
          }
          let scores = seen.map { key in
            let k = head(row, key, layout.heads + h / group, turned: true)
            return Double(layout.scale) * zip(q, k).reduce(0) { $0 + $1.0 * $1.1 }
          }
          let largest = scores.max() ?? 0
          let weights = scores.map { exp($0 - largest) }
          let total = weights.reduce(0, +)
          var mixed = [Double](repeating: 0, count: size)
          for (key, weight) in zip(seen, weights) {
            let v = head(
              row, key, layout.heads + layout.keyValueHeads + h / group, turned: false)
            for i in 0..<size { mixed[i] += weight / total * v[i] }
          }
          output += mixed
        }
      }
    }
    return output
  }

  @Test("equals the definition, values and gradients", arguments: layouts, [1, 2, 9])
  func agrees(layout: AttentionLayout, time: Int) {
    expectAgreement(
      of: { $0[0].attention(layout: layout) },
      with: { Self.reference($0[0], layout, batch: 2, time: time) },
      at: [.random([2, time, layout.fusedSize], seed: 1)])
  }

  @Test("turns queries and keys by their position", arguments: [false, true])
  func rotary(interleaved: Bool) {
    let layout = AttentionLayout(heads: 4, keyValueHeads: 2, headSize: 6, window: 5)
    let frequencies = [1.0, 0.3]  // two of three pairs turn
    let table = RotaryTable(positions: 16, frequencies: frequencies, isInterleaved: interleaved)
    expectAgreement(
      of: {
        $0[0].attention(layout: layout, rotary: table.rotation(from: [0, 0], time: 7))
      },
      with: {
        Self.reference(
          $0[0], layout, batch: 2, time: 7, frequencies: frequencies, interleaved: interleaved)
      }, at: [.random([2, 7, layout.fusedSize], seed: 1)])
  }

  @Test("equals the definition at lengths past a tile of keys")
  func longer() {
    let layout = AttentionLayout(heads: 2, keyValueHeads: 1, headSize: 16)
    let x = Tensor.random([1, 150, layout.fusedSize], seed: 4)
    let expected = Self.reference(x.values.map(Double.init), layout, batch: 1, time: 150)
    expectClose(x.attention(layout: layout).values, expected.map(Float.init), absolute: 5e-6)
  }

  @Test("from a state equals the full pass at any split", arguments: layouts.dropLast(), 0..<8)
  func continuation(layout: AttentionLayout, seed: UInt64) {
    let time = 40
    let x = Tensor.random([2, time, layout.fusedSize], seed: 5)
    let table =
      layout.headSize % 2 == 0
      ? RotaryTable(positions: time, frequencies: [1, 0.1]) : nil
    let whole = x.attention(layout: layout, rotary: table?.rotation(from: [0, 0], time: time))
    var state = AttentionState(batch: 2)
    for range in pieces(time, seed: seed) {
      let rotation = table?.rotation(
        from: [range.lowerBound, range.lowerBound], time: range.count)
      let part = state.attend(x[times: range], layout: layout, rotary: rotation)
      expectClose(part, whole[times: range], absolute: 1e-5, "\(range) of seed \(seed)")
    }
    if let window = layout.window { #expect(state.visible.allSatisfy { $0 <= max(window, time) }) }
  }

  @Test("keeps copies of a state apart")
  func copies() {
    let layout = AttentionLayout(heads: 2, headSize: 4)
    let x = Tensor.random([1, 6, layout.fusedSize], seed: 6)
    var first = AttentionState(batch: 1)
    _ = first.attend(x[times: 0..<3], layout: layout)
    var second = first
    let other = Tensor.random([1, 3, layout.fusedSize], seed: 7)
    _ = second.attend(other, layout: layout)
    let rest = first.attend(x[times: 3..<6], layout: layout)
    expectClose(
      rest, x.attention(layout: layout)[times: 3..<6], absolute: 1e-5)
  }

  @Test("keeps a window's memory bounded, past the end of the rotary table too")
  func bounded() {
    let layout = AttentionLayout(heads: 2, headSize: 4, window: 8)
    let table = RotaryTable(positions: 8, frequencies: [1, 0.1])
    let long = RotaryTable(positions: 300, frequencies: [1, 0.1]).rotation(from: [0], time: 300)
    let x = Tensor.random([1, 300, layout.fusedSize], seed: 8)
    let whole = x.attention(layout: layout, rotary: long)
    var state = AttentionState(batch: 1)
    for t in 0..<300 {
      let part = state.attend(
        x[times: t..<t + 1], layout: layout, rotary: table.rotation(from: [t], time: 1))
      expectClose(part, whole[times: t..<t + 1], absolute: 1e-5, "token \(t)")
    }
    #expect(state.byteCount <= 64 * 2 * 2 * 4 * 4)
  }

  @Test("a window beyond all tokens takes no memory in advance and hides nothing")
  func hugeWindow() {
    let open = AttentionLayout(heads: 2, headSize: 4)
    let huge = AttentionLayout(heads: 2, headSize: 4, window: 1 << 60)
    let x = Tensor.random([1, 9, open.fusedSize], seed: 8)
    expectSameBits(x.attention(layout: huge).values, x.attention(layout: open).values)
    var state = AttentionState(batch: 1)
    _ = state.attend(x, layout: huge)
    #expect(state.byteCount <= 64 * 2 * 2 * 4 * 4)
  }
}

/// A random cut of `0..<count` into pieces; seed 0 has single tokens, seed 1 one piece.
func pieces(_ count: Int, seed: UInt64) -> [Range<Int>] {
  var generator = SplitMix(state: seed)
  var (ranges, start): ([Range<Int>], Int) = ([], 0)
  while start < count {
    let longest = count - start
    let size =
      seed == 0 ? 1 : seed == 1 ? longest : Int.random(in: 1...min(longest, 17), using: &generator)
    ranges.append(start..<start + size)
    start += size
  }
  return ranges
}
