/// How many outcomes a central interval held, beside how many it claimed.
public struct IntervalCoverage: Codable, Sendable, Equatable {
  /// The share that it claims: 0.8 lies between the quantiles 0.1 and 0.9.
  public var nominal: Double
  /// The share that it held.
  public var measured: Double
  /// The share that it held before the correction of its quantiles; nil where there is none.
  public var uncorrected: Double?

  /// Creates a pair.
  public init(nominal: Double, measured: Double, uncorrected: Double? = nil) {
    (self.nominal, self.measured, self.uncorrected) = (nominal, measured, uncorrected)
  }

  /// The intervals between each level below one half and its mirror image, widest first.
  ///
  /// - Parameters:
  ///   - values: What happened, `[n]`.
  ///   - quantiles: `[n][levels]`.
  ///   - levels: The levels of the quantiles, ascending.
  /// - Returns: One entry for each pair of levels.
  /// - Throws: ``MetricError`` when arrays do not belong together or there are none.
  public static func all(
    _ values: [Double], quantiles: [[Double]], levels: [Double]
  ) throws -> [IntervalCoverage] {
    let pairs: [(low: Int, high: Int)] = levels.enumerated().compactMap { low, level in
      guard level < 0.5 else { return nil }
      return levels.firstIndex { abs($0 - (1 - level)) < 1e-9 }.map { (low, $0) }
    }
    try check("Coverage", quantiles.count, values.count)
    var inside = [Int](repeating: 0, count: pairs.count)
    for (value, row) in zip(values, quantiles) {
      try check("Coverage", row.count, levels.count)
      for (place, pair) in pairs.enumerated() {
        let holds = row[pair.low] <= value && value <= row[pair.high]
        inside[place] += holds ? 1 : 0
      }
    }
    return try zip(pairs, inside).map { pair, inside in
      IntervalCoverage(
        nominal: 1 - 2 * levels[pair.low],
        measured: try Proportion(successes: inside, of: values.count).value)
    }
  }
}

extension [IntervalCoverage] {
  /// The same, beside what the intervals held before their correction.
  ///
  /// - Parameter others: Of the same levels.
  /// - Returns: The intervals with both shares.
  public func beside(uncorrected others: [IntervalCoverage]) -> [IntervalCoverage] {
    zip(self, others).map { own, other in
      IntervalCoverage(
        nominal: own.nominal, measured: own.measured, uncorrected: other.measured)
    }
  }

  /// Mean distance between nominal and observed coverage; nil where there is no interval.
  public var error: Double? {
    isEmpty ? nil : Metrics.mean(map { abs($0.nominal - $0.measured) })
  }

  /// What each interval held, such as "90 %: 91.2 % (84 % before), 80 %: 79.4 % (70.5 % before)"; nil where
  /// there is none.
  public var sentence: String? {
    guard !isEmpty else { return nil }
    let parts = map { one in
      let before = one.uncorrected.map { " (\(percent($0)) before)" } ?? ""
      return "\(percent(one.nominal)): \(percent(one.measured))\(before)"
    }
    return parts.joined(separator: ", ")
  }
}
