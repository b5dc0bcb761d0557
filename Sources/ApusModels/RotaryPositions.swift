package import ApusNN
import Foundation

/// The scaling of rotary frequencies: the object `rope_parameters`, or `rope_scaling` in older
/// files.
///
/// Which keys count depends on the type; a key that is nil takes the value that its comment says.
public struct RotaryParameters: Codable, Sendable, Hashable {
  /// `default`, `linear`, `dynamic`, `llama3`, `yarn` or `longrope`.
  public var ropeType: String?
  /// The same, as older files call it.
  public var type: String?
  /// Base of the frequencies; the configuration's own `rope_theta` when nil.
  public var ropeTheta: Double?
  /// The part of a head's features that turn; 1 when nil.
  public var partialRotaryFactor: Double?
  /// The factor by which sequences may exceed the training length.
  public var factor: Double?
  /// The context of training; `max_position_embeddings` when nil.
  public var originalMaxPositionEmbeddings: Int?
  /// `yarn`, `longrope`: multiplies cosines and sines; follows from `factor` when nil.
  public var attentionFactor: Double?
  /// `yarn`: pairs that turn more often than this within the original context stay; 32 when nil.
  public var betaFast: Double?
  /// `yarn`: pairs that turn less often than this are slowed down by `factor`; 1 when nil.
  public var betaSlow: Double?
  /// `yarn`: with `mscaleAllDim`, gives the attention factor as a ratio.
  public var mscale: Double?
  /// `yarn`: with `mscale`, gives the attention factor as a ratio.
  public var mscaleAllDim: Double?
  /// `yarn`: whether the ramp ends at whole pairs; true when nil.
  public var truncate: Bool?
  /// `longrope`: divides the frequency of each pair up to the original context.
  public var shortFactor: [Double]?
  /// `longrope`: divides the frequency of each pair past the original context.
  public var longFactor: [Double]?
  /// `llama3`: wavelengths longer than the original context divided by this are stretched.
  public var lowFreqFactor: Double?
  /// `llama3`: wavelengths shorter than the original context divided by this stay.
  public var highFreqFactor: Double?

  /// Plain rotary positions.
  public init() {}

  /// The type, in either spelling.
  var kind: String { ropeType ?? type ?? "default" }
}

extension RotaryPositions {
  /// The rotary positions that a configuration asks for.
  ///
  /// θₘ = base^(−2m/K) for pair m of K features that turn. The longer contexts: linear, Chen et al.,
  /// 2023, arXiv:2306.15595; yarn, Peng et al., 2023, arXiv:2309.00071; longrope, Ding et al., 2024,
  /// arXiv:2402.13753; llama3, Grattafiori et al., 2024, arXiv:2407.21783.
  ///
  /// The types `dynamic` and `longrope` change all frequencies when a sequence passes the context of
  /// training. Keys that a state kept by then stay turned as they were, as in the reference
  /// implementation: beyond that length a step at a time is not what all at once would give.
  /// - Parameters:
  ///   - parameters: What the configuration says.
  ///   - theta: Base where the parameters name none.
  ///   - headSize: K, features of a head.
  ///   - context: `max_position_embeddings`.
  ///   - isInterleaved: Pairs (2m, 2m + 1) instead of (m, m + pairs).
  /// - Throws: ``ConfigError/invalid(key:value:rule:)``.
  package convenience init(
    _ parameters: RotaryParameters?, theta: Double, headSize: Int, context: Int,
    isInterleaved: Bool = false
  ) throws {
    let parameters = parameters ?? RotaryParameters()
    let turning = Double(headSize) * (parameters.partialRotaryFactor ?? 1)
    try Self.require(
      turning >= 2 && turning <= Double(headSize) && Int(turning) % 2 == 0,
      "partial_rotary_factor", parameters.partialRotaryFactor ?? 1,
      "an even number of a head's \(headSize) features must turn")
    let (base, pairs) = (parameters.ropeTheta ?? theta, Int(turning) / 2)
    try Self.check(parameters, base: base, pairs: pairs, context: context)
    let scale = Self.scale(parameters, context: context)
    try Self.require(
      scale.isFinite && scale > 0, "mscale", scale, "cosines and sines must be multiplied by more")
    let longest =
      switch parameters.kind {
      case "dynamic": context
      case "longrope": parameters.originalMaxPositionEmbeddings ?? context
      default: Int.max
      }
    @Sendable func frequencies(_ length: Int) -> [Double] {
      Self.frequencies(parameters, base, pairs: pairs, context: context, length: length)
    }
    self.init(
      context: context, frequencies: frequencies(1), isInterleaved: isInterleaved,
      scale: scale, longer: { $0 > longest ? frequencies($0) : nil })
  }
}

extension RotaryPositions {
  /// The angle per position of each pair, in sequences of `length`.
  package static func frequencies(
    _ parameters: RotaryParameters, _ base: Double, pairs: Int, context: Int, length: Int
  ) -> [Double] {
    let features = Double(2 * pairs)
    let plain = (0..<pairs).map { pow(base, -2 * Double($0) / features) }
    let original = parameters.originalMaxPositionEmbeddings ?? context
    let factor = parameters.factor ?? Double(context) / Double(original)
    switch parameters.kind {
    case "linear":
      return plain.map { $0 / factor }
    case "dynamic":
      guard length > context else { return plain }
      let stretch = factor * Double(length) / Double(context) - (factor - 1)
      let longer = base * pow(stretch, features / (features - 2))
      return (0..<pairs).map { pow(longer, -2 * Double($0) / features) }
    case "llama3":
      return llama3(parameters, plain, original: Double(original), factor: factor)
    case "yarn":
      return yarn(parameters, plain, base: base, original: Double(original), factor: factor)
    case "longrope":
      let factors = (length > original ? parameters.longFactor : parameters.shortFactor) ?? []
      return zip(plain, factors).map { $0 / $1 }
    default:
      return plain
    }
  }

  /// Long wavelengths are stretched by the factor, short ones stay, and those between are mixed.
  private static func llama3(
    _ parameters: RotaryParameters, _ plain: [Double], original: Double, factor: Double
  ) -> [Double] {
    let (low, high) = (parameters.lowFreqFactor ?? 1, parameters.highFreqFactor ?? 4)
    return plain.map { frequency in
      let turns = original * frequency / (2 * .pi)
      if turns > high { return frequency }
      if turns < low { return frequency / factor }
      let share = (turns - low) / (high - low)
      return (1 - share) * frequency / factor + share * frequency
    }
  }

  /// Pairs that turn often within the original context stay, those that turn rarely are slowed down
  /// by the factor, with a ramp over the pairs between. Peng et al., 2023, section 3.2.
  private static func yarn(
    _ parameters: RotaryParameters, _ plain: [Double], base: Double, original: Double,
    factor: Double
  ) -> [Double] {
    let features = Double(2 * plain.count)
    /// The pair, as a real number, that turns so many times within the original context.
    func pair(turning turns: Double) -> Double {
      features * log(original / (2 * .pi * turns)) / (2 * log(base))
    }
    let truncates = parameters.truncate ?? true
    let (fast, slow) = (
      pair(turning: nonzero(parameters.betaFast) ?? 32),
      pair(turning: nonzero(parameters.betaSlow) ?? 1)
    )
    let first = max(truncates ? fast.rounded(.down) : fast, 0)
    var last = min(truncates ? slow.rounded(.up) : slow, features - 1)
    if last == first { last += 0.001 }
    return plain.enumerated().map { index, frequency in
      let ramp = min(max((Double(index) - first) / (last - first), 0), 1)
      return frequency / factor * ramp + frequency * (1 - ramp)
    }
  }

  /// What multiplies cosines and sines.
  package static func scale(_ parameters: RotaryParameters, context: Int) -> Double {
    if ["yarn", "longrope"].contains(parameters.kind), let given = parameters.attentionFactor {
      return given
    }
    let original = Double(parameters.originalMaxPositionEmbeddings ?? context)
    let factor = parameters.factor ?? Double(context) / original
    guard factor > 1 else { return 1 }
    switch parameters.kind {
    case "yarn":
      if let top = nonzero(parameters.mscale), let bottom = nonzero(parameters.mscaleAllDim) {
        return (0.1 * top * log(factor) + 1) / (0.1 * bottom * log(factor) + 1)
      }
      return 0.1 * log(factor) + 1
    case "longrope":
      return (1 + log(factor) / log(original)).squareRoot()
    default:
      return 1
    }
  }

  /// Zero says "the default", as in the reference implementation.
  private static func nonzero(_ value: Double?) -> Double? { value == 0 ? nil : value }
}

extension RotaryPositions {
  /// Throws unless the parameters fit their type.
  private static func check(
    _ parameters: RotaryParameters, base: Double, pairs: Int, context: Int
  ) throws {
    let kinds = ["default", "linear", "dynamic", "llama3", "yarn", "longrope"]
    let kind = parameters.kind
    try require(
      kinds.contains(kind), "rope_type", kind, "it must be \(kinds.joined(separator: ", "))")
    try require(base > 1 && base.isFinite, "rope_theta", base, "it must be above 1")
    let original = parameters.originalMaxPositionEmbeddings ?? context
    try require(
      original > 1 || kind == "default", "original_max_position_embeddings", original,
      "it must be at least 2")
    if ["linear", "dynamic", "llama3"].contains(kind) || parameters.factor != nil {
      let factor = parameters.factor ?? .nan
      try require(
        factor > 0 && factor.isFinite, "factor", parameters.factor.map { "\($0)" } ?? "missing",
        "rotary positions of type \(kind) need one above 0")
    }
    try require(
      kind != "dynamic" || pairs > 1, "rope_type", kind, "it needs more than 2 features that turn")
    try require(
      (parameters.attentionFactor ?? 1) > 0, "attention_factor", parameters.attentionFactor ?? 1,
      "it must be above 0")
    switch kind {
    case "llama3":
      let (low, high) = (parameters.lowFreqFactor ?? .nan, parameters.highFreqFactor ?? .nan)
      try require(
        low > 0 && high > low, "low_freq_factor", "\(low), and high_freq_factor \(high)",
        "the type llama3 needs both, the first above 0 and below the second")
    case "yarn":
      let (fast, slow) = (nonzero(parameters.betaFast) ?? 32, nonzero(parameters.betaSlow) ?? 1)
      try require(
        slow > 0 && fast > slow, "beta_fast", fast, "it must be above beta_slow, which is \(slow)")
    case "longrope":
      try check(parameters.shortFactor, "short_factor", pairs: pairs)
      try check(parameters.longFactor, "long_factor", pairs: pairs)
    default:
      break
    }
  }

  private static func check(_ factors: [Double]?, _ key: String, pairs: Int) throws {
    let count = factors?.count ?? 0
    try require(
      count == pairs, key, "\(count) numbers", "one for each of the \(pairs) pairs is needed")
    try require(
      factors?.allSatisfy { $0 > 0 && $0.isFinite } ?? false, key, factors ?? [],
      "all must be above 0")
  }

  private static func require(
    _ condition: Bool, _ key: String, _ value: some Any, _ rule: String
  ) throws {
    guard condition else { throw ConfigError.invalid(key: key, value: "\(value)", rule: rule) }
  }
}
