/// The user's statements about a file. Everything omitted is inferred, and the report says how.
public struct SeriesOptions: Sendable, Codable, Equatable {
  /// Column of the time, or several that make it together, such as a date and an hour; empty infers them.
  public var time: [String] = []
  /// Whether rows are consecutive steps, whatever dates the file has. Default: no.
  public var countsRows = false
  /// Columns that name the series of a long table, which together name one; empty infers them.
  public var id: [String] = []
  /// Columns to forecast; `["*"]` takes every column of numbers; empty infers one.
  ///
  /// Several targets make several series, one per column.
  public var targets: [String] = []
  /// Columns to keep beside the target; nil keeps all that hold numbers, an empty list none.
  public var covariates: [String]?
  /// Columns that are known ahead of their rows: they are kept beside the target and are never it.
  public var future: [String] = []
  /// Columns to keep as classes where they hold words, as a region does; others are as without it.
  public var categories: [String] = []
  /// Columns that have one value throughout each series, which is checked.
  public var statics: [String] = []
  /// Whether a target is looked for. A table of what is known ahead need not have one.
  package var hasTarget = true
  /// Whether `03/04/2015` is the 3rd of April; nil infers it from the column.
  public var dayFirst: Bool?
  /// The mark before the decimals in every column; nil infers it column by column.
  public var decimal: DecimalMark?
  /// Words that stand for a missing number, beside the usual ones.
  public var missing: [String] = []
  /// The language of names of months, as a code such as `de`; nil infers it.
  public var locale: String?
  /// Lines of column names; nil infers how many.
  public var headerLines: Int?
  /// The distance between rows; nil infers it.
  public var frequency: Frequency?
  /// Rows in a season; nil takes the usual number of the frequency.
  public var season: Int?
  /// Rows in each longer season beside it, in ascending order.
  public var longerSeasons: [Int] = []
  /// The quantity that is to be forecast, for the report; nil infers it.
  public var measure: Measure?
  /// How a table of this kind was written when a model was trained; what is said above counts more.
  public var format: TableFormat?
  /// The byte between fields; nil infers it.
  public var delimiter: UInt8?
  /// The rule for a second row of one time. Default, nil: the last one counts as long as they are at most one
  /// row in a hundred; beyond that reading fails.
  public var duplicates: DuplicateRule?
  /// The share of cells of a target, 0 to 1, that may be no numbers. Default: one in ten.
  public var badCellTolerance = 0.1
  /// The share of rows, 0 to 1, that may be left out. Default: one in a hundred; a single row always may.
  public var droppedRowTolerance = 0.01
  /// Largest file in bytes. Default: 2 GiB less one, what 31 bits can index.
  public var maximumBytes = Int(Int32.max)

  /// The choice among several rows of one time.
  public enum DuplicateRule: String, Codable, Sendable, CaseIterable {
    /// The row furthest down the file.
    case keepLast = "last"
    /// The row furthest up.
    case keepFirst = "first"
    /// None: reading fails.
    case fail
    /// One row with the sum of the target; covariates are those of the last row.
    case sum
    /// One row with the mean of the target; covariates are those of the last row.
    case mean
  }

  /// The languages of names of months that are known, as codes.
  public static var locales: [String] { MonthNames.codes }

  /// Whether a code such as `de` or `de_AT` names one of ``locales``.
  public static func knowsLocale(_ code: String) -> Bool { MonthNames.named(code) != nil }

  /// Creates options that infer everything.
  public init() {}

  /// What is known of the order of day and month.
  var knownDayFirst: Bool? { dayFirst ?? format?.dayFirst }

  /// Whether so many of the rows may be left out.
  func mayDrop(_ count: Int, of rows: Int) -> Bool {
    count == 0 || (count == 1 && rows >= 20)
      || Double(count) <= droppedRowTolerance * Double(max(1, rows))
  }
}
