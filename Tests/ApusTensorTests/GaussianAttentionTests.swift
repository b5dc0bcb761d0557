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

  /// Strided landmarks: half queries, half keys.
  static func nystrom(
    _ fused: [Double], size: Int, landmarks: Int, gamma: Double, iterations: Int
  ) -> [Double] {
    let (q, k, v) = rows(fused, size: size)
    let (queries, time) = ((landmarks + 1) / 2, q.count)
    let keys = landmarks - queries
    let x =
      (0..<queries).map { q[(2 * $0 + 1) * time / (2 * queries)] }
      + (0..<keys).map { k[(2 * $0 + 1) * time / (2 * keys)] }
    let g = mixing(x, gamma: gamma, iterations: iterations)
    let right = product(turned(kernel(k, x)), v)
    return product(product(kernel(q, x), g), right).flatMap(\.self)
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

  @Test("through landmarks equals the definition, values and gradients", arguments: [1, 2, 5, 8])
  func nystrom(landmarks: Int) {
    expectAgreement(
      of: { $0[0].nystromAttention(heads: 1, headSize: 3, landmarks: landmarks) },
      with: {
        Kernelized.nystrom($0[0], size: 3, landmarks: landmarks, gamma: 0.1, iterations: 6)
      }, at: [.random([1, 6, 9], seed: 3)])
  }

  @Test("with all rows as landmarks becomes kernelized attention")
  func allLandmarks() {
    let fused = Tensor.random([1, 12, 24], seed: 4).values.map(Double.init)
    let exact = Kernelized.exact(fused, size: 8, causal: false)
    let near = Kernelized.nystrom(fused, size: 8, landmarks: 24, gamma: 1e-6, iterations: 30)
    #expect(zip(exact, near).allSatisfy { abs($0 - $1) < 1e-3 })
  }

  @Test("errs less with more landmarks, in the spectral norm")
  func spectralError() {
    let (time, size) = (1024, 8)
    let layout = AttentionLayout(heads: 1, headSize: size, isCausal: false)
    /// The largest of the singular values of C − C̃ that a block of vectors finds.
    func error(_ landmarks: Int, seed: UInt64) -> Double {
      let x = Tensor.random([1, time, 2 * size], seed: seed)
      let swapped = Tensor(concatenating: [x[features: size..<2 * size], x[features: 0..<size]])
      var block = Tensor.random([1, time, size], seed: seed + 50)
      func apply(_ matching: Tensor) -> Tensor {
        let fused = Tensor(concatenating: [matching, block])
        let near = fused.nystromAttention(heads: 1, headSize: size, landmarks: landmarks)
        return fused.gaussianAttention(layout: layout) + near * -1
      }
      var norm = 0.0
      for _ in 0..<8 {
        for matching in [x, swapped] {
          let next = apply(matching)
          norm = next.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
          block = next * Float(1 / norm)
        }
      }
      return norm
    }
    let means = [16, 32, 64, 128, 256].map { landmarks in
      (0..<5 as Range<UInt64>).reduce(0) { $0 + error(landmarks, seed: $1) } / 5
    }
    for (fewer, more) in zip(means, means.dropFirst()) { #expect(more < fewer, "\(means)") }
  }

  @Test("permutes its output with the batch, to the bit")
  func permutation() {
    let rows = (0..<2).map { Tensor.random([1, 30, 24], seed: 20 + UInt64($0), scale: 2) }
    func output(_ order: [Int]) -> [Float] {
      Tensor(order.flatMap { rows[$0].values }, [2, 30, 24]).nystromAttention(
        heads: 2, headSize: 4, landmarks: 6
      ).values
    }
    let (plain, turned) = (output([0, 1]), output([1, 0]))
    expectSameBits(
      Array(turned[(turned.count / 2)...]), Array(plain[..<(plain.count / 2)]))
    expectSameBits(
      Array(turned[..<(turned.count / 2)]), Array(plain[(plain.count / 2)...]))
  }

  @Test("draws landmarks by key alone, with gradients")
  func randomLandmarks() {
    let x = Tensor.random([2, 9, 24], seed: 5)
    func output(_ stream: UInt64, _ x: Tensor) -> Tensor {
      x.nystromAttention(
        heads: 2, headSize: 4, landmarks: 5, sampling: .random(RandomKey(seed: 1, stream: stream)))
    }
    expectSameBits(output(1, x).values, output(1, x).values)
    #expect(bitDisagreement(output(1, x).values, output(2, x).values) != nil)
    checkGradient(of: { output(1, $0[0]).mean() }, at: [x])
  }
}
