/// Hyperparameters that are checked before anything is made of them.
public protocol CheckedConfig {
  /// Throws ``ConfigError`` naming the key, its value and the rule broken.
  func validate() throws
}

/// The largest sizes that a configuration may have, each far above any published model's.
public enum SizeLimit {
  /// Of token ids, V.
  public static let vocabulary = 1 << 24
  /// Of the residual stream, D.
  public static let width = 1 << 16
  /// Inside a feed-forward.
  public static let inner = 1 << 20
  /// Of layers.
  public static let layers = 1024
  /// Of positions that a table holds.
  public static let table = 1 << 20
  /// Of tokens.
  public static let tokens = 1 << 30
  /// Of the features of a head.
  public static let head = 256
  /// Of parameters: as many as fit the addresses of a process.
  public static let parameters = 1 << 45
}

extension CheckedConfig {
  /// Throws unless `condition` holds.
  public func require(
    _ condition: Bool, _ key: String, _ value: some Any, _ rule: String
  ) throws {
    guard condition else {
      throw ConfigError.invalid(key: key, value: "\(value)", rule: rule)
    }
  }

  /// Throws unless every value is at least 1 and at most its limit; nil passes.
  public func requireSizes(_ sizes: (key: String, value: Int?, most: Int)...) throws {
    for (key, value, most) in sizes {
      guard let value else { continue }
      try require((1...most).contains(value), key, value, "it must be in 1...\(most)")
    }
  }

  /// Throws unless every value is finite and above 0; nil passes.
  public func requirePositive(_ numbers: (key: String, value: (any BinaryFloatingPoint)?)...) throws
  {
    for (key, value) in numbers {
      guard let value else { continue }
      try require(
        Double(value) > 0 && Double(value).isFinite, key, value, "it must be above 0 and finite")
    }
  }

  /// Throws unless every value is finite and at least 0.
  public func requireNotNegative(_ numbers: (key: String, value: any BinaryFloatingPoint)...) throws
  {
    for (key, value) in numbers {
      try require(
        Double(value) >= 0 && Double(value).isFinite, key, value, "it must be at least 0 and finite"
      )
    }
  }

  /// Throws unless the value is one of the words.
  public func requireWord(_ key: String, _ value: String, _ words: [String]) throws {
    try require(words.contains(value), key, value, "it must be \(words.joined(separator: " or "))")
  }

  /// Throws unless heads divide the width into heads of a size that attention takes.
  ///
  /// - Parameters:
  ///   - key: The key of the heads.
  ///   - heads: H.
  ///   - width: What they divide: its key and its value, already checked.
  ///   - turns: Whether rotary positions turn pairs of features, so that their number must be even.
  /// - Throws: ``ConfigError/invalid(key:value:rule:)``.
  public func requireHeads(
    _ key: String, _ heads: Int, of width: (key: String, value: Int), turns: Bool = false
  ) throws {
    try require(
      heads > 0 && width.value % heads == 0, key, heads,
      "it must divide \(width.key), which is \(width.value)")
    try require(
      width.value / heads <= SizeLimit.head, key, heads,
      "a head may have at most \(SizeLimit.head) features")
    try require(
      !turns || (width.value / heads) % 2 == 0, key, heads,
      "rotary positions need an even head size")
  }

  /// Throws unless the groups divide the heads.
  public func requireGroups(_ key: String, _ groups: Int?, of heads: (key: String, value: Int))
    throws
  {
    guard let groups else { return }
    try require(
      groups > 0 && heads.value % groups == 0, key, groups,
      "it must divide \(heads.key), which is \(heads.value)")
  }

  /// Throws unless there are experts, few enough, and a token takes no more than there are.
  public func requireExperts(
    _ count: Int, named key: String, perToken: Int, named perTokenKey: String
  ) throws {
    try requireSizes((key, count, 4096))
    try require(
      (1...count).contains(perToken), perTokenKey, perToken,
      "it must be in 1...\(count), which is \(key)")
  }

  /// Throws unless there are 1 to 512 quantile levels that ascend inside (0, 1).
  func requireLevels(_ levels: [Double]) throws {
    try require(
      (1...512).contains(levels.count) && levels.allSatisfy { $0 > 0 && $0 < 1 }
        && zip(levels, levels.dropFirst()).allSatisfy(<), "levels", levels,
      "1 to 512 of them must ascend inside (0, 1)")
  }
}
