/// The user's statements about a file. Everything omitted is inferred, and the report says how.
public struct SeriesOptions: Sendable, Codable, Equatable {
  /// Column of the time; nil infers it. Files without one are read as consecutive steps.
  public var time: String?
  /// Column that names the series of a long table; nil infers it.
  public var id: String?
  /// Columns to forecast; `["*"]` takes every column of numbers; empty infers one.
  ///
  /// Several targets make several series, one per column.
  public var targets: [String] = []
  /// Columns to keep beside the target; nil keeps all that hold numbers, an empty list none.
  public var covariates: [String]?
  /// Whether `03/04/2015` is the 3rd of April; nil infers it from the column.
  public var dayFirst: Bool?
  /// How a table of this kind was written when a model was trained; what is said above counts more.
  public var format: TableFormat?
  /// The byte between fields; nil infers it.
  public var delimiter: UInt8?
  /// The rule for a second, different row of one time. Default: the last one counts.
  public var duplicates = DuplicateRule.keepLast
  /// The share of bad rows, 0 to 1, above which reading fails. Default: one in ten.
  public var badRowTolerance = 0.1
  /// Largest file in bytes. Default: 2 GiB less one, what 31 bits can index.
  public var maximumBytes = Int(Int32.max)

  /// The choice among several rows of one time.
  public enum DuplicateRule: String, Codable, Sendable, CaseIterable {
    /// The row furthest down the file.
    case keepLast
    /// The row furthest up.
    case keepFirst
    /// None: reading fails.
    case fail
  }

  /// Creates options that infer everything.
  public init() {}

  /// What is known of the order of day and month.
  var knownDayFirst: Bool? { dayFirst ?? format?.dayFirst }
}
