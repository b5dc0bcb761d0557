public import ApusTensor

/// A model and its data, as the trainer sees them.
public protocol TrainingTask {
  /// The trainable parameters; frozen ones are not changed.
  var parameters: [Parameter] { get }

  /// What ``loss(step:microStep:key:)`` counts, in the plural: "tokens" or "windows".
  var unit: String { get }

  /// What the run depends on besides the options; ``TaskIdentity/none`` by default.
  var identity: TaskIdentity { get }

  /// The loss of one micro-batch: a pure function of its arguments and the parameters.
  ///
  /// Which examples it holds follows from `key`, the same for the whole run, and from the two
  /// numbers, by ``Permutation`` for example; never from a generator that is used up. That makes a
  /// run that was killed and resumed equal to one that was not.
  /// - Returns: A tracked scalar, and how many units it saw.
  func loss(step: Int, microStep: Int, key: RandomKey) throws -> (loss: Tensor, units: Int)

  /// The mean loss over a fixed set, whatever the size of its batches; nil when there is no such
  /// set. Called without recording of gradients.
  func validationLoss() throws -> Double?

  /// Whether the validations so far leave nothing to learn; the run then ends early. False by default.
  var isSolved: Bool { get }
}

extension TrainingTask {
  public var identity: TaskIdentity { .none }
  public var isSolved: Bool { false }
}

/// What a run must find unchanged to be resumed, besides the trainer's options.
public struct TaskIdentity: Codable, Hashable, Sendable {
  /// The configuration of model and data as text, such as JSON with sorted keys.
  public var configuration: String
  /// A digest of the training data.
  public var dataSHA256: String

  /// Nothing is known.
  public static let none = TaskIdentity(configuration: "", dataSHA256: "")

  /// Creates an identity.
  public init(configuration: String, dataSHA256: String) {
    self.configuration = configuration
    self.dataSHA256 = dataSHA256
  }
}

/// The numbers `0..<count` in an order that a key fixes, without a list: any place of it can be
/// computed alone, so a run needs to remember its position only.
///
/// A Feistel network of four rounds over the next power of four, walked until it lands inside.
/// Black and Rogaway, 2002, *Ciphers with Arbitrary Finite Domains*.
public struct Permutation: Sendable {
  /// How many numbers there are.
  public let count: Int
  private let halfBits: UInt64
  private let rounds: [UInt64]

  /// Creates the order of `count` numbers.
  public init(_ count: Int, key: RandomKey) {
    precondition(count >= 0, "Permutation: \(count) numbers")
    self.count = count
    let bits = UInt64(Int.bitWidth - max(count - 1, 1).leadingZeroBitCount)
    halfBits = (bits + 1) / 2
    var generator = PhiloxGenerator(key)
    rounds = (0..<4).map { _ in generator.next() }
  }

  /// The number at a place, `0..<count`.
  public subscript(place: Int) -> Int {
    precondition(place >= 0 && place < count, "Permutation: place \(place) of \(count)")
    var value = UInt64(place)
    repeat { value = mixed(value) } while value >= UInt64(count)
    return Int(value)
  }

  private func mixed(_ value: UInt64) -> UInt64 {
    let mask = (1 << halfBits) - 1 as UInt64
    var (left, right) = (value >> halfBits, value & mask)
    for round in rounds {
      var hash = (right ^ round) &* 0x9E37_79B9_7F4A_7C15
      hash = (hash ^ hash >> 32) &* 0xD6E8_FEB8_6659_FD93
      (left, right) = (right, left ^ (hash ^ hash >> 29) & mask)
    }
    return left << halfBits | right
  }

  /// Example number `index` of an endless run over `count` examples: each pass has an order of its
  /// own and sees every example once.
  public static func example(_ index: Int, of count: Int, key: RandomKey) -> Int {
    Permutation(count, key: key.derived(UInt64(index / count)))[index % count]
  }
}
