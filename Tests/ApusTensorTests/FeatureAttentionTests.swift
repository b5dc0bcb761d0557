import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// One of the forms of feature attention, with its definition in double.
struct FeatureCase: Sendable, CustomTestStringConvertible {
  let kind: FeatureKind
  var testDescription: String { "\(kind)" }

  static let all = [FeatureKind.exponential, .relu, .elu, .gaussian].map { FeatureCase(kind: $0) }

  func layout(heads: Int = 2, size: Int = 3, features: Int = 5) -> FeatureLayout {
    FeatureLayout(
      heads: heads, headSize: size, kind: kind, features: features)
  }

  func features(_ x: [Double], _ weights: [Double], _ m: Int) -> [Double] {
    let size = x.count
    switch kind {
    case .elu: return x.map { $0 > 0 ? $0 + 1 : exp($0) }
    case .relu:
      return (0..<m).map { i in
        max((0..<size).reduce(0) { $0 + weights[i * size + $1] * x[$1] }, 0) + 1e-3
      }
    case .exponential, .gaussian:
      let scaled = x.map { $0 / pow(Double(size), 0.25) }
      return (0..<m).map { i in
        var exponent = 0.0
        for c in 0..<size {
          let w = weights[i * size + c]
          exponent +=
            kind == .gaussian
            ? -(scaled[c] - w) * (scaled[c] - w) / 2 : w * scaled[c] - scaled[c] * scaled[c] / 2
        }
        return exp(exponent)
      }
    }
  }

  /// The definition: `[B, T, 3HK]`, weights `[H, m, K]` and mixing `[H, m, m]` to `[B, T, HK]`.
  func reference(
    _ fused: [Double], _ weights: [Double], _ mixing: [Double], layout: FeatureLayout, batch: Int,
    time: Int
  ) -> [Double] {
    let (heads, size, m) = (layout.heads, layout.headSize, layout.features)
    var output: [Double] = []
    for row in 0..<batch {
      for t in 0..<time {
        for h in 0..<heads {
          func part(_ t: Int, _ which: Int) -> [Double] {
            let start = ((row * time + t) * 3 + which) * heads * size + h * size
            return Array(fused[start..<start + size])
          }
          let own = kind == .elu ? [] : Array(weights[h * m * size..<(h + 1) * m * size])
          var q = features(part(t, 0), own, m)
          if kind == .gaussian {
            let mix = mixing[h * m * m..<(h + 1) * m * m]
            q = (0..<m).map { j in
              (0..<m).reduce(0) { $0 + q[$1] * mix[mix.startIndex + $1 * m + j] }
            }
          }
          var (sum, mixed) = (0.0, [Double](repeating: 0, count: size))
          for s in 0...t {
            let weight = zip(q, features(part(s, 1), own, m)).reduce(0) { $0 + $1.0 * $1.1 }
            sum += weight
            for (c, v) in part(s, 2).enumerated() { mixed[c] += weight * v }
          }
          output += kind == .gaussian ? mixed : mixed.map { $0 / (sum + Double(layout.epsilon)) }
        }
      }
    }
    return output
  }
}

@Suite("Feature attention", .tags(.kernel, .gradient))
struct FeatureAttentionTests {
  @Test("equals the definition, values and gradients", arguments: FeatureCase.all, [1, 2, 6])
  func agrees(one: FeatureCase, time: Int) {
    let layout = one.layout()
    let weights = Tensor.random([2, layout.features, 3], seed: 2)
    let mixing = Tensor.random([2, layout.features, layout.features], seed: 3, scale: 0.4)
    let fused = Tensor.random([2, time, layout.fusedSize], seed: 1)
    let constants = [weights, mixing].map { $0.values.map(Double.init) }
    if one.kind == .gaussian {
      expectAgreement(
        of: { $0[0].featureAttention(layout: layout, weights: $0[1], mixing: $0[2]) },
        with: { one.reference($0[0], $0[1], $0[2], layout: layout, batch: 2, time: time) },
        at: [fused, weights, mixing])
    } else {
      expectAgreement(
        of: { $0[0].featureAttention(layout: layout, weights: one.kind == .elu ? nil : weights) },
        with: {
          one.reference($0[0], constants[0], constants[1], layout: layout, batch: 2, time: time)
        }, at: [fused])
    }
  }

  @Test("from a state equals the full pass at any split", arguments: FeatureCase.all, 0..<6)
  func continuation(one: FeatureCase, seed: UInt64) {
    let layout = one.layout(size: 8, features: 20)
    let weights = one.kind == .elu ? nil : Tensor.random([20, 8], seed: 2)
    let mixing = one.kind == .gaussian ? Tensor.random([20, 20], seed: 3, scale: 0.2) : nil
    let fused = Tensor.random([2, 120, layout.fusedSize], seed: 5)
    let whole = fused.featureAttention(layout: layout, weights: weights, mixing: mixing)
    var state = FeatureAttentionState(batch: 2, layout: layout, mixing: mixing)
    for range in pieces(120, seed: seed) {
      let part = state.attend(fused[times: range], layout: layout, weights: weights)
      expectClose(part, whole[times: range], absolute: 1e-5, "\(range) of seed \(seed)")
    }
  }

  @Test("keeps copies of a state apart, and says their size")
  func copies() {
    let layout = FeatureLayout(heads: 3, headSize: 8, kind: .exponential, features: 20)
    let weights = Tensor.random([20, 8], seed: 2)
    let fused = Tensor.random([2, 9, layout.fusedSize], seed: 6)
    var first = FeatureAttentionState(batch: 2, layout: layout)
    #expect(first.byteCount == 2 * 3 * (20 * 8 + 2 * 20) * 4)
    _ = first.attend(fused[times: 0..<4], layout: layout, weights: weights)
    var second = first
    _ = second.attend(fused[times: 0..<4], layout: layout, weights: weights)
    let rest = first.attend(fused[times: 4..<9], layout: layout, weights: weights)
    let whole = fused.featureAttention(layout: layout, weights: weights)
    expectClose(rest, whole[times: 4..<9], absolute: 1e-5)
    for (kind, size) in [(FeatureKind.elu, 8 * 8 + 8), (.gaussian, 20 * 8), (.relu, 20 * 8 + 20)] {
      let layout = FeatureLayout(heads: 3, headSize: 8, kind: kind, features: 20)
      #expect(layout.stateSize == size)
    }
  }

  @Test("permutes its output with the batch, to the bit", arguments: FeatureCase.all)
  func permutation(one: FeatureCase) {
    let layout = one.layout(size: 8, features: 12)
    let weights = one.kind == .elu ? nil : Tensor.random([12, 8], seed: 2)
    let mixing = one.kind == .gaussian ? Tensor.random([12, 12], seed: 3) : nil
    let rows = (0..<3).map { Tensor.random([1, 40, layout.fusedSize], seed: 10 + UInt64($0)) }
    func output(_ order: [Int]) -> [Float] {
      Tensor(order.flatMap { rows[$0].values }, [3, 40, layout.fusedSize]).featureAttention(
        layout: layout, weights: weights, mixing: mixing
      ).values
    }
    let (plain, turned) = (output([0, 1, 2]), output([2, 0, 1]))
    let size = plain.count / 3
    expectSameBits(Array(turned[size...]), Array(plain[..<(2 * size)]))
    expectSameBits(Array(turned[..<size]), Array(plain[(2 * size)...]))
  }

  @Test("turns heads by their position and leaves the rest", arguments: [0, 3])
  func rotation(start: Int) {
    let rotation = RotaryTable(positions: 4, frequencies: [1.0, 0.3])
      .rotation(from: [start, start], time: 5)
    let x = Tensor.random([2, 5, 11], seed: 1)
    expectAgreement(
      of: { $0[0].rotated(heads: 2, headSize: 4, by: rotation) },
      with: { inputs in
        var y = inputs[0]
        for row in 0..<10 {
          for head in 0..<2 {
            for (pair, frequency) in [1.0, 0.3].enumerated() {
              let (a, b) = (row * 11 + head * 4 + pair, row * 11 + head * 4 + pair + 2)
              let angle = Double(start + row % 5) * frequency
              (y[a], y[b]) = (
                inputs[0][a] * cos(angle) - inputs[0][b] * sin(angle),
                inputs[0][a] * sin(angle) + inputs[0][b] * cos(angle)
              )
            }
          }
        }
        return y
      }, at: [x])
  }
}
