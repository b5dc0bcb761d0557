import CApusKernels

/// Names one sequence of random numbers of the counter-based generator.
///
/// Philox4x32-10 (Salmon et al., 2011): element i depends on (seed, stream, i) and nothing else, so
/// the numbers do not depend on threads, order or history.
public struct RandomKey: Sendable, Hashable, Codable {
  /// Chosen by the user.
  public var seed: UInt64
  /// Distinguishes sequences of one seed.
  public var stream: UInt64

  /// Creates a key.
  public init(seed: UInt64, stream: UInt64 = 0) {
    self.seed = seed
    self.stream = stream
  }

  /// A key for a part of what this key is for.
  public func derived(_ index: UInt64) -> RandomKey {
    var words: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) {
      apus_philox4x32($0.assumingMemoryBound(to: UInt32.self).baseAddress, seed, stream, index)
    }
    return RandomKey(seed: seed, stream: UInt64(words.0) << 32 | UInt64(words.1))
  }
}

/// The counter-based generator as Swift's protocol has it. Its whole state is a key and a counter,
/// so it can be stored and continued to the bit.
public struct PhiloxGenerator: RandomNumberGenerator, Sendable, Codable, Hashable {
  /// The key of the sequence.
  public let key: RandomKey
  /// The number of 64-bit numbers drawn.
  public private(set) var drawn: UInt64

  /// Starts a sequence, or continues it after `drawn` numbers.
  public init(_ key: RandomKey, drawn: UInt64 = 0) {
    self.key = key
    self.drawn = drawn
  }

  /// The next number, uniform over all of its values.
  public mutating func next() -> UInt64 {
    var words: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) {
      apus_philox4x32(
        $0.assumingMemoryBound(to: UInt32.self).baseAddress, key.seed, key.stream, drawn / 2)
    }
    defer { drawn += 1 }
    return drawn % 2 == 0
      ? UInt64(words.0) << 32 | UInt64(words.1) : UInt64(words.2) << 32 | UInt64(words.3)
  }
}

extension Tensor {
  /// Uniform numbers in `low..<high`.
  public init(uniform shape: Shape, from low: Float = 0, to high: Float = 1, key: RandomKey) {
    self = TensorValue(uninitialized: shape, dtype: .float32)
      .filled(uniform: low, to: high, key: key)
  }

  /// Normal numbers.
  public init(normal shape: Shape, mean: Float = 0, deviation: Float = 1, key: RandomKey) {
    self = TensorValue(uninitialized: shape, dtype: .float32)
      .filled(normal: mean, deviation: deviation, key: key)
  }
}

extension TensorValue {
  /// This memory, freshly made, filled with uniform numbers in `low..<high`.
  package func filled(uniform low: Float, to high: Float, key: RandomKey) -> Tensor {
    withPointers(out) { apus_random_uniform_f32($0, count, low, high, key.seed, key.stream, 0) }
    return Tensor(self)
  }

  /// This memory, freshly made, filled with normal numbers.
  package func filled(normal mean: Float, deviation: Float, key: RandomKey) -> Tensor {
    withPointers(out) {
      apus_random_normal_f32($0, count, mean, deviation, key.seed, key.stream, 0)
    }
    return Tensor(self)
  }

  /// This memory, freshly made, filled with one number.
  package func filled(with number: Float) -> Tensor {
    withPointers(out) { apus_fill_f32($0, number, count) }
    return Tensor(self)
  }
}
