import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// Skyformer's equations in double, on one head.
enum Kernelized {
  static func kernel(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
    a.map { x in
      b.map { y in exp(-zip(x, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / 2) }
    }
  }

  static func product(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
    a.map { row in
      b[0].indices.map { j in row.indices.reduce(0) { $0 + row[$1] * b[$1][j] } }
    }
  }

  static func turned(_ a: [[Double]]) -> [[Double]] {
    a[0].indices.map { j in a.map { $0[j] } }
  }

  /// `diag(r) V diag(r)` of landmarks x.
  static func mixing(_ x: [[Double]], gamma: Double, iterations: Int) -> [[Double]] {
    var m = kernel(x, x)
    for i in x.indices { m[i][i] += gamma }
    let r = m.map { 1 / $0.reduce(0, +).squareRoot() }
    let a = m.indices.map { i in m.indices.map { r[i] * m[i][$0] * r[$0] } }
    let largest = turned(a).map { $0.reduce(0, +) }.max() ?? 1
    var v = turned(a).map { $0.map { $0 / largest } }
    func complement(_ diagonal: Double, _ b: [[Double]]) -> [[Double]] {
      b.indices.map { i in b.indices.map { ($0 == i ? diagonal : 0) - b[i][$0] } }
    }
    for _ in 0..<iterations {
      let y = product(a, v)
      let inner = complement(13, product(y, complement(15, product(y, complement(7, y)))))
      v = product(v, inner).map { $0.map { $0 / 4 } }
    }
    return v.indices.map { i in v.indices.map { r[i] * v[i][$0] * r[$0] } }
  }

  /// Rows of one head: queries, keys (both times K^(−¼)), values.
  static func rows(_ fused: [Double], size: Int) -> (q: [[Double]], k: [[Double]], v: [[Double]]) {
    let scale = pow(Double(size), -0.25)
    let time = fused.count / (3 * size)
    func part(_ which: Int, _ scale: Double) -> [[Double]] {
      (0..<time).map { t in (0..<size).map { fused[(3 * t + which) * size + $0] * scale } }
    }
    return (part(0, scale), part(1, scale), part(2, 1))
  }

  static func exact(_ fused: [Double], size: Int, causal: Bool) -> [Double] {
    let (q, k, v) = rows(fused, size: size)
    var c = kernel(q, k)
    if causal { for i in c.indices { for j in c.indices where j > i { c[i][j] = 0 } } }
    return product(c, v).flatMap(\.self)
  }
}

@Suite("Gaussian attention", .tags(.kernel, .gradient))
struct GaussianAttentionTests {
  @Test("equals the definition, values and gradients", arguments: [true, false], [1, 2, 7])
  func exact(causal: Bool, time: Int) {
    let layout = AttentionLayout(heads: 1, headSize: 4, isCausal: causal)
    expectAgreement(
      of: { $0[0].gaussianAttention(layout: layout) },
      with: { Kernelized.exact($0[0], size: 4, causal: causal) },
      at: [.random([1, time, 12], seed: 1)])
  }

  @Test("inverts the landmarks' matrix, values and gradients", arguments: [(1, 6), (2, 6), (5, 3)])
  func mixing(count: Int, iterations: Int) {
    expectAgreement(
      of: { $0[0].landmarkMixing(gamma: 0.1, iterations: iterations) },
      with: { inputs in
        (0..<2).flatMap { index in
          let x = (0..<count).map { row in
            Array(inputs[0][(index * count + row) * 3..<(index * count + row + 1) * 3])
          }
          return Kernelized.mixing(x, gamma: 0.1, iterations: iterations).flatMap(\.self)
        }
      }, at: [.random([2, count, 3], seed: 2, scale: 0.8)])
  }
}
