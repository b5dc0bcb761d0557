public import ApusTensor

/// Why a metric or a test of differences has no value.
public enum MetricError: ApusError, Hashable {
  /// Two arrays that belong together differ in length.
  case lengthMismatch(metric: String, found: Int, expected: Int)
  /// Fewer observations than the formula needs.
  case tooFew(metric: String, found: Int, needed: Int)
  /// A number for which the formula is not defined.
  case undefined(metric: String, what: String, found: Double)

  public var exitStatus: ExitStatus { .badData }

  public var description: String {
    switch self {
    case .lengthMismatch(let metric, let found, let expected):
      "\(metric): found \(found) values where \(expected) were expected. Pair every forecast with its value."
    case .tooFew(let metric, let found, let needed):
      "\(metric): found \(found) observations, but at least \(needed) are needed. Score more origins."
    case .undefined(let metric, let what, let found):
      "\(metric) is not defined for \(what) \(found). Leave it out of this series."
    }
  }
}

/// Throws unless both lengths agree and there is at least `needed` of it.
func check(_ metric: String, _ found: Int, _ expected: Int, needed: Int = 1) throws {
  guard found == expected else {
    throw MetricError.lengthMismatch(metric: metric, found: found, expected: expected)
  }
  guard found >= needed else {
    throw MetricError.tooFew(metric: metric, found: found, needed: needed)
  }
}
