public import ApusTensor

/// Why a table cannot be split.
public enum SplitError: Error, Equatable, Sendable {
  /// Fractions that are negative, not finite or sum to more than one; counts that are negative.
  case badSizes(String)
  /// A part would be shorter than one window's targets.
  case tooShort(part: Split.Part, rows: Int, needed: Int)
  /// The horizon is below 1, or the embargo below 0.
  case badHorizon(Int, embargo: Int)
  /// Targets of one part reach into the next.
  case overlap(series: Int, part: Split.Part)
}

extension SplitError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  public var description: String {
    switch self {
    case .badSizes(let sizes):
      "Split sizes are \(sizes), expected numbers from 0 up whose parts fit into the series."
    case .tooShort(let part, let rows, let needed):
      """
      The \(part.rawValue) part has \(rows) rows in its longest series, expected at least \(needed); \
      shorten the horizon or bring more data.
      """
    case .badHorizon(let horizon, let embargo):
      "Horizon is \(horizon) and embargo \(embargo), expected at least 1 and 0."
    case .overlap(let series, let part):
      "Series \(series): targets of the \(part.rawValue) part reach into the next part."
    }
  }
}

/// Chronological borders between training, validation and test.
///
/// Rows belong to a part as *targets*: with the target of origin `t` over `(t, t+H]`, every target of an
/// origin lies in one part. So the last training origin for a first later origin `t` is `t - H`, and inputs
/// may reach back into earlier parts while targets never reach forward. Series with a clock are cut at the
/// same moments, so that no day is training in one series and test in another; series of bare steps are cut
/// each by its own length.
public struct Split: Sendable, Equatable {
  /// A part of the data.
  public enum Part: String, Sendable, CaseIterable {
    /// Parameters, scalers and vocabularies are fitted here, and here only.
    case train
    /// Choices are made here.
    case validation
    /// Opened once, at the end.
    case test
  }

  /// The sizes of the parts.
  public enum Sizes: Sendable, Equatable {
    /// Shares of the time axis; validation is what training and test leave of it, as
    /// `⌊train·T⌋`, rest, `⌊test·T⌋`. Where there are rows for all three, validation and test have at
    /// least H, at the cost of training.
    case fractions(train: Double, test: Double)
    /// Rows of the time axis; what they leave at the end is not used.
    case counts(train: Int, validation: Int, test: Int)
  }

  /// Seven tenths, one tenth, two tenths.
  public static let usual = Sizes.fractions(train: 0.7, test: 0.2)

  /// Steps ahead, H.
  public let horizon: Int
  /// Rows left out between parts beyond the purge.
  public let embargo: Int
  /// Target rows by series, then in the order train, validation, test.
  public let rows: [[Range<Int>]]
  /// Series are cut at common moments; false for series of bare steps.
  public let isByTime: Bool
  /// First and last stamp of the targets of each part over all series; nil for an empty part.
  public let spans: [Span?]

  /// A stretch of time, both ends included.
  public struct Span: Sendable, Equatable {
    /// The first stamp.
    public let first: Timestamp
    /// The last stamp.
    public let last: Timestamp
  }

  /// Splits a table.
  ///
  /// - Parameters:
  ///   - table: The series; a series of its own stamps is cut at the common moments.
  ///   - sizes: How much each part gets.
  ///   - horizon: Steps ahead, H, at least 1.
  ///   - embargo: Rows left out at the start of validation and test, so that features smoothed over them
  ///     do not tie the parts together. Default: none; windows here look back only.
  /// - Throws: ``SplitError``.
  public init(
    _ table: SeriesTable, sizes: Sizes = Split.usual, horizon: Int, embargo: Int = 0
  ) throws(SplitError) {
    guard horizon >= 1, embargo >= 0 else { throw .badHorizon(horizon, embargo: embargo) }
    self.horizon = horizon
    self.embargo = embargo
    let rows = try Self.cut(table, sizes, horizon: horizon, embargo: embargo)
    self.rows = rows
    isByTime = table.cadence.frequency != .steps
    spans = Part.allCases.indices.map { part in
      let ends = zip(table.series, rows).compactMap { one, parts -> (Timestamp, Timestamp)? in
        let range = parts[part]
        return range.isEmpty
          ? nil : (one.timestamps[range.lowerBound], one.timestamps[range.upperBound - 1])
      }
      guard let first = ends.map(\.0).min(), let last = ends.map(\.1).max() else { return nil }
      return Span(first: first, last: last)
    }
    for (index, part) in Part.allCases.enumerated() {
      let longest = rows.map { $0[index].count }.max() ?? 0
      guard longest >= horizon else {
        throw .tooShort(part: part, rows: longest, needed: horizon)
      }
    }
    try check()
  }

  /// All rows as training, or but for a last share as validation, none left to judge by: for a fit before
  /// forecasts.
  ///
  /// - Parameters:
  ///   - table: The series.
  ///   - horizon: Steps ahead, H, at least 1.
  ///   - validation: The share of the time axis to choose by, below 1. Default: none.
  public init(training table: SeriesTable, horizon: Int, validation: Double = 0) {
    (self.horizon, embargo) = (max(horizon, 1), 0)
    let whole = table.series.map { [0..<$0.count, $0.count..<$0.count, $0.count..<$0.count] }
    let share = Sizes.fractions(train: 1 - min(max(validation, 0), 0.99), test: 0)
    rows = validation > 0 ? (try? Self.cut(table, share, horizon: 0, embargo: 0)) ?? whole : whole
    isByTime = table.cadence.frequency != .steps
    spans = [nil, nil, nil]
  }

  /// The rows that may be targets of `part` in series number `series`.
  public func rows(_ part: Part, series: Int) -> Range<Int> { rows[series][part.index] }

  /// Origins of `part`: last input rows `t` whose inputs `(t-L, t]` exist and whose targets `(t, t+H]` lie in
  /// the part.
  ///
  /// - Parameters:
  ///   - part: Train, validation or test.
  ///   - series: Number of the series.
  ///   - lookBack: Rows of input, L, at least 1.
  /// - Returns: A range of rows, empty where no window fits.
  public func origins(_ part: Part, series: Int, lookBack: Int) -> Range<Int> {
    let targets = rows(part, series: series)
    let first = max(targets.lowerBound, lookBack) - 1
    let end = targets.upperBound - horizon
    return first < end ? first..<end : first..<first
  }

  /// The rows on which scalers may be fitted: everything up to the last training target.
  public func fittingRows(series: Int) -> Range<Int> { rows(.train, series: series) }

  /// The span of a part over all series.
  public func span(_ part: Part) -> Span? { spans[part.index] }

  /// Proves that the last target of each part lies before the first target of the next, in each series and,
  /// where series share a clock, over all of them.
  ///
  /// - Throws: ``SplitError/overlap(series:part:)``.
  public func check() throws(SplitError) {
    for (series, parts) in rows.enumerated() {
      for index in 0..<2 where parts[index].upperBound > parts[index + 1].lowerBound {
        throw .overlap(series: series, part: Part.allCases[index])
      }
    }
    guard isByTime else { return }
    let parts = zip(Part.allCases, spans).compactMap { part, span in span.map { (part, $0) } }
    for (left, right) in zip(parts, parts.dropFirst()) where left.1.last >= right.1.first {
      throw .overlap(series: 0, part: left.0)
    }
  }

  // MARK: Borders

  /// Target rows of each part on an axis of `count` rows.
  private static func parts(
    of count: Int, _ sizes: Sizes, horizon: Int, embargo: Int
  ) throws(SplitError) -> [Range<Int>] {
    let (first, second, end) = try borders(of: count, sizes, horizon: horizon)
    return cut(first, second, end, embargo: embargo)
  }

  private static func cut(_ first: Int, _ second: Int, _ end: Int, embargo: Int) -> [Range<Int>] {
    [
      0..<first, first + min(embargo, second - first)..<second,
      second + min(embargo, end - second)..<end,
    ]
  }

  private static func borders(
    of count: Int, _ sizes: Sizes, horizon: Int
  ) throws(SplitError) -> (Int, Int, Int) {
    switch sizes {
    case .fractions(let train, let test):
      guard train >= 0, test >= 0, train + test <= 1 else {
        throw .badSizes("\(train) and \(test)")
      }
      // A share such as 0.7 times 10 may fall just short of the whole number it means.
      let first = Int(train * Double(count) + 1e-9)
      let second = max(first, count - Int(test * Double(count) + 1e-9))
      guard horizon <= count / 4, second < count else { return (first, second, count) }
      let border = min(second, count - horizon)
      return (second > first ? min(first, border - horizon) : first, border, count)
    case .counts(let train, let validation, let test):
      guard train >= 0, validation >= 0, test >= 0, train <= count, validation <= count - train,
        test <= count - train - validation
      else { throw .badSizes("\(train), \(validation) and \(test) of \(count) rows") }
      return (train, train + validation, train + validation + test)
    }
  }

  private static func cut(
    _ table: SeriesTable, _ sizes: Sizes, horizon: Int, embargo: Int
  ) throws(SplitError) -> [[Range<Int>]] {
    guard table.cadence.frequency == .steps else {
      return try cutByTime(table.series, sizes, horizon: horizon, embargo: embargo)
    }
    var parts: [[Range<Int>]] = []
    for one in table.series {
      parts.append(try Self.parts(of: one.count, sizes, horizon: horizon, embargo: embargo))
    }
    return parts
  }

  private static func cutByTime(
    _ series: [TimeSeries], _ sizes: Sizes, horizon: Int, embargo: Int
  ) throws(SplitError) -> [[Range<Int>]] {
    var axis = series.first?.timestamps ?? []
    if series.contains(where: { $0.timestamps != axis }) {
      axis = Set(series.flatMap(\.timestamps)).sorted()
    }
    let parts = try parts(of: axis.count, sizes, horizon: horizon, embargo: embargo)
    return series.map { one in
      parts.map { range in
        let first =
          range.lowerBound < axis.count ? one.rows(before: axis[range.lowerBound]) : one.count
        let end =
          range.upperBound < axis.count ? one.rows(before: axis[range.upperBound]) : one.count
        return first..<max(first, end)
      }
    }
  }
}

extension Split.Part {
  /// Position in the order of time.
  var index: Int {
    switch self {
    case .train: 0
    case .validation: 1
    case .test: 2
    }
  }
}

extension TimeSeries {
  /// The number of rows before a moment.
  public func rows(before stamp: Timestamp) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if timestamps[middle] < stamp { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
