import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Orthogonal random features", .tags(.property))
struct OrthogonalFeaturesTests {
  static let size = 16

  /// The estimate of exp(q̃·k̃) by one block of directions, for q̃ = k̃ = value · 1.
  static func estimate(_ directions: Tensor, _ value: Double) -> Double {
    let rows = directions.shape[0]
    let w = directions.values
    return (0..<rows).reduce(0.0) { sum, row in
      let along = w[row * size..<(row + 1) * size].reduce(0.0) { $0 + Double($1) } * value
      return sum + exp(2 * along - Double(size) * value * value)
    } / Double(rows)
  }

  static func moments(_ x: [Double]) -> (mean: Double, variance: Double) {
    let mean = x.reduce(0, +) / Double(x.count)
    return (mean, x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count - 1))
  }

  @Test("give an estimate without bias on either side of zero", arguments: [0.2, -0.2])
  func unbiased(value: Double) {
    let draws = (0..<2000 as Range<UInt64>).map {
      Self.estimate(Tensor(orthogonalFeatures: [16, 16], key: RandomKey(seed: $0)), value)
    }
    let (mean, variance) = Self.moments(draws)
    let error = (variance / 2000).squareRoot()
    #expect(abs(mean - exp(0.64)) < 4 * error, "\(mean) ± \(error)")
  }

  @Test("vary no more than independent ones")
  func variance() {
    let keys = 0..<4000 as Range<UInt64>
    let orthogonal = Self.moments(
      keys.map {
        Self.estimate(Tensor(orthogonalFeatures: [16, 16], key: RandomKey(seed: $0)), 0.2)
      })
    let independent = Self.moments(
      keys.map {
        Self.estimate(Tensor(normal: [16, 16], key: RandomKey(seed: $0, stream: 7)), 0.2)
      })
    #expect(orthogonal.variance <= 1.02 * independent.variance)
    // SM² (exp(|q̃ + k̃|²) − 1) / m for independent ones; its own sampling error is large.
    let expected = exp(1.28) * (exp(2.56) - 1) / 16
    #expect(abs(independent.variance / expected - 1) < 0.5, "\(independent.variance) \(expected)")
  }

  @Test("stand at right angles within a block, with the norms asked for", arguments: [true, false])
  func angles(hasFixedNorms: Bool) {
    let w = Tensor(
      orthogonalFeatures: [11, 8], hasFixedNorms: hasFixedNorms, key: RandomKey(seed: 3)
    ).values
    func dot(_ a: Int, _ b: Int) -> Float {
      (0..<8).reduce(0) { $0 + w[a * 8 + $1] * w[b * 8 + $1] }
    }
    for a in 0..<8 { for b in 0..<a { #expect(abs(dot(a, b)) < 1e-5) } }
    #expect(abs(dot(8, 9)) < 1e-5 && abs(dot(0, 8)) > 1e-3)
    let norms = (0..<11).map { dot($0, $0).squareRoot() }
    #expect(norms.allSatisfy { hasFixedNorms == (abs($0 - Float(8).squareRoot()) < 1e-5) })
  }

  @Test("estimate softmax attention with an error that falls like the root of their number")
  func slope() {
    let (time, size) = (64, 16)
    // |q̃ + k̃|² of about 1: where it is large, features are too few for the law to hold.
    let fused = Tensor.random([1, time, 3 * size], seed: 1, scale: 0.4)
    let exact = fused.attention(layout: AttentionLayout(heads: 1, headSize: size)).values
    let counts = [64, 128, 256, 512, 1024]
    let errors = counts.map { count -> Double in
      let layout = FeatureLayout(heads: 1, headSize: size, kind: .exponential, features: count)
      let squares = (0..<8 as Range<UInt64>).map { seed -> Double in
        let weights = Tensor(orthogonalFeatures: [count, size], key: RandomKey(seed: seed))
        let near = fused.featureAttention(layout: layout, weights: weights).values
        return zip(near, exact).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
      }
      return log(squares.reduce(0, +).squareRoot())
    }
    let logs = counts.map { log(Double($0)) }
    let (x, y) = (Self.moments(logs).mean, Self.moments(errors).mean)
    let covariance = zip(logs, errors).reduce(0) { $0 + ($1.0 - x) * ($1.1 - y) }
    let slope = covariance / logs.reduce(0) { $0 + ($1 - x) * ($1 - x) }
    #expect(slope > -0.65 && slope < -0.35, "\(slope)")
  }
}
