import Foundation

package import ApusTensor

/// A small seeded generator for tests. Steele, Lea and Flood, 2014.
package struct SplitMix: RandomNumberGenerator {
  package var state: UInt64

  package init(state: UInt64) { self.state = state }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A uniform number strictly inside 0...1.
  package mutating func uniform() -> Double { (Double(next() >> 11) + 0.5) * 0x1p-53 }

  /// A standard normal number.
  package mutating func normal() -> Double {
    (-2 * log(uniform())).squareRoot() * cos(2 * Double.pi * uniform())
  }
}

extension Tensor {
  /// Normal numbers times `scale`, the same on every run.
  package static func random(_ shape: Shape, seed: UInt64, scale: Double = 1) -> Tensor {
    var generator = SplitMix(state: seed)
    return Tensor((0..<shape.count).map { _ in Float(scale * generator.normal()) }, shape)
  }

  /// Integers in `0..<bound`, the same on every run.
  package static func randomIntegers(
    _ shape: Shape, below bound: Int32, seed: UInt64
  ) -> Tensor {
    var generator = SplitMix(state: seed)
    return Tensor((0..<shape.count).map { _ in .random(in: 0..<bound, using: &generator) }, shape)
  }
}
