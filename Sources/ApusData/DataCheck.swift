/// What was understood of a table, before anyone trains: roles, frequency, seasons, and what looks wrong.
public struct DataCheck: Codable, Sendable, Equatable {
  /// A pattern that comes back.
  public struct Season: Codable, Sendable, Equatable {
    /// Rows after which it does.
    public var rows: Int
    /// The autocorrelation at that lag, at most 1.
    public var correlation: Double
  }

  /// One series in figures.
  public struct Summary: Codable, Sendable, Equatable {
    /// Its name.
    public var id: String
    /// Rows up to the last value.
    public var rows: Int
    /// The first and the last time; nil where steps are counted.
    public var first: Timestamp?
    /// See ``first``.
    public var last: Timestamp?
    /// Rows without a value.
    public var missing: Int
    /// The smallest value, the one in the middle, and the largest; nil without any.
    public var low: Double?
    /// See ``low``.
    public var median: Double?
    /// See ``low``.
    public var high: Double?
    /// Rows behind the last value, whose time is known.
    public var future: Int
  }

  /// What reading decided and found.
  public var report: DataReport
  /// The distance between rows.
  public var frequency: String
  /// Rows in the season that baselines and models are given.
  public var seasonLength: Int
  /// Patterns that the five longest series show, the strongest first, at most three.
  public var seasons: [Season]
  /// The quantity that is forecast.
  public var measure: Measure
  /// The columns beside the target.
  public var covariates: [String]
  /// The series, in the order of the file.
  public var series: [Summary]

  /// Looks a table over.
  ///
  /// - Parameters:
  ///   - table: The table as read.
  ///   - measure: The quantity that a person asks for; nil infers it.
  public init(_ table: SeriesTable, measure: Measure? = nil) {
    report = table.report
    frequency = table.cadence.frequency.name
    seasonLength = table.cadence.seasonLength
    self.measure = measure ?? Measure.inferred(for: table).measure
    covariates = table.covariateNames
    let longest = table.series.sorted { $0.count > $1.count }.prefix(5)
    seasons = Self.strongest(
      longest.flatMap { Self.seasons(of: $0.values, usual: table.cadence.seasonLength) })
    let hasClock = table.cadence.frequency != .steps
    series = table.series.map { Summary($0, hasClock: hasClock) }
  }

  /// The whole in plain sentences.
  public var sentences: [String] {
    var result = report.sentences
    if !covariates.isEmpty {
      let names = covariates.prefix(12).joined(separator: ", ")
      let more = covariates.count > 12 ? " and \(covariates.count - 12) more" : ""
      result.append("Beside the target: \(names)\(more).")
    }
    result.append(seasonSentence)
    return result
  }

  private var seasonSentence: String {
    let usual =
      seasonLength > 1
      ? "the season of \(seasonLength) rows is taken from the frequency"
      : "no season is taken from the frequency"
    guard !seasons.isEmpty else {
      return
        "No pattern comes back in the longest series\(series.count > 1 ? " (five at most)" : ""); \(usual)."
    }
    let found = seasons.map { season in
      let hundredths = Int((season.correlation * 100).rounded())
      return "\(season.rows) rows (autocorrelation 0.\(hundredths < 10 ? "0" : "")\(hundredths))"
    }
    return "A pattern comes back every \(found.joined(separator: ", ")); \(usual)."
  }
}

extension DataCheck.Summary {
  init(_ one: TimeSeries, hasClock: Bool) {
    id = one.id
    rows = one.count
    (first, last) = hasClock ? (one.timestamps.first, one.timestamps.last) : (nil, nil)
    let sorted = one.values.filter { !$0.isNaN }.sorted()
    missing = one.count - sorted.count
    (low, high) = (sorted.first, sorted.last)
    median = sorted.isEmpty ? nil : sorted[sorted.count / 2]
    future = one.future.timestamps.count
  }
}

extension DataCheck {
  /// Rows that are looked at, from the end.
  private static let rowLimit = 20_000
  /// The longest pattern that is looked for.
  private static let lagLimit = 800

  /// The lags at which the autocorrelation of a series has a clear peak.
  ///
  /// The straight line through the values is taken off; a series that wanders, as prices do, is looked at in
  /// its differences. A peak stands above its neighbors, above a fifth and above four standard errors
  /// `1/√n` (Bartlett, 1946); multiples of a stronger peak are that peak again.
  ///
  /// - Parameters:
  ///   - values: A series; missing values are NaN.
  ///   - usual: The season of the frequency, which a peak next to it is taken for. Default: 1, none.
  /// - Returns: At most three, the strongest first.
  public static func seasons(of values: [Double], usual: Int = 1) -> [Season] {
    var values = steady(Array(values.suffix(rowLimit)))
    if PriceBehavior.correlation(values, lag: 1) > 0.97 {
      values = zip(values.dropFirst(), values).map { $0 - $1 }
    }
    let longest = min(values.count / 3, lagLimit)
    guard longest >= 3 else { return [] }
    let mean = values.reduce(0, +) / Double(values.count)
    let centered = values.map { $0 - mean }
    let square = centered.reduce(0) { $0 + $1 * $1 }
    guard square > 0 else { return [] }
    let correlations = (0...longest + 1).map { lag -> Double in
      guard lag < centered.count else { return 0 }
      var sum = 0.0
      for index in lag..<centered.count { sum += centered[index] * centered[index - lag] }
      // Fewer products at longer lags: so that a perfect season has 1.
      return sum / square * Double(centered.count) / Double(centered.count - lag)
    }
    let limit = max(0.2, 4 / Double(values.count).squareRoot())
    let peaks = (2...longest).filter { lag in
      correlations[lag] > limit && correlations[lag] > correlations[lag - 1]
        && correlations[lag] >= correlations[lag + 1]
    }
    let found = peaks.sorted { correlations[$0] > correlations[$1] + 1e-9 }.prefix(40).map { lag in
      // A pattern of the day comes back each week too: the shortest one that is as strong is the season.
      let base =
        peaks.first { short in
          let times = (Double(lag) / Double(short)).rounded()
          return short < lag && times > 1 && abs(Double(lag) - times * Double(short)) <= times
            && correlations[short] > correlations[lag] - 0.1
        } ?? lag
      // Noise moves a peak by a row or two.
      let near = max(2, base - max(1, base / 50))...min(longest, base + max(1, base / 50))
      let rows =
        near.contains(usual) && usual > 1
        ? usual : near.max { correlations[$0] < correlations[$1] } ?? base
      return Season(rows: rows, correlation: min(1, correlations[rows]))
    }
    return strongest(found)
  }

  /// The three strongest of some patterns, without multiples of stronger ones.
  private static func strongest(_ all: [Season]) -> [Season] {
    var found: [Season] = []
    for one in all.sorted(by: { ($1.correlation, $0.rows) < ($0.correlation, $1.rows) }) {
      // The same peak, or a longer one that a kept one explains.
      let isKnown = found.contains { known in
        abs(known.rows - one.rows) <= max(1, known.rows / 50)
          || one.rows > known.rows && isMultiple(one.rows, of: known.rows)
      }
      if isKnown { continue }
      // A week of days, each like the last, is a season of a day.
      if let longer = found.firstIndex(where: {
        $0.rows > one.rows && isMultiple($0.rows, of: one.rows)
          && one.correlation > $0.correlation - 0.15
      }) {
        found[longer] = one
      } else if found.count < 3 {
        found.append(one)
      }
    }
    return found
  }

  private static func isMultiple(_ long: Int, of short: Int) -> Bool {
    let times = (Double(long) / Double(short)).rounded()
    return abs(Double(long) - times * Double(short)) <= max(1, Double(long) / 50)
  }

  /// Missing values take the one before; the straight line is taken off.
  private static func steady(_ values: [Double]) -> [Double] {
    var last = values.first { !$0.isNaN } ?? 0
    let filled = values.map { value -> Double in
      if !value.isNaN { last = value }
      return last
    }
    let count = Double(filled.count)
    guard count > 2 else { return filled }
    let middle = (count - 1) / 2
    let mean = filled.reduce(0, +) / count
    var (product, square) = (0.0, 0.0)
    for (index, value) in filled.enumerated() {
      let off = Double(index) - middle
      product += off * (value - mean)
      square += off * off
    }
    let slope = square > 0 ? product / square : 0
    return filled.enumerated().map { $1 - mean - slope * (Double($0) - middle) }
  }
}

extension DataCheck {
  /// Rows with one value that count as standing still.
  private static let constantRun = 10

  /// The stretches of ten rows or more in which a series does not change.
  public static func constantRuns(of values: [Double]) -> [Range<Int>] {
    guard !values.isEmpty else { return [] }
    var runs: [Range<Int>] = []
    var start = 0
    for row in 1...values.count {
      guard row == values.count || values[row] != values[start] else { continue }
      if row - start >= constantRun { runs.append(start..<row) }
      start = row
    }
    return runs
  }

  /// The rows whose values are so far off that they are rather codes for missing ones, such as 99999999 or -999,
  /// than measured: twenty times as far from the median as the middle half is wide.
  ///
  /// Where that half is one value, the middle four fifths or nine tenths tell; where they are too, twenty
  /// times the median itself. A stretch of different numbers far up does not count.
  public static func outliers(of values: [Double]) -> [Int] {
    let present = values.filter { !$0.isNaN }
    guard present.count >= 20 else { return [] }
    let sorted = OrderStatistics(present)
    func quantile(_ share: Double) -> Double { sorted[Int(Double(sorted.count - 1) * share)] }
    let middle = quantile(0.5)
    let width =
      [(0.25, 0.75), (0.1, 0.9), (0.05, 0.95)].lazy.map { quantile($0.1) - quantile($0.0) }
      .first { $0 > 0 } ?? 0
    let limit = width > 0 ? 20 * width : max(1, 20 * abs(middle))
    guard sorted[0] < middle - limit || sorted[sorted.count - 1] > middle + limit else { return [] }
    let far = values.indices.filter { abs(values[$0] - middle) > limit }
    var counts: [Double: Int] = [:]
    for row in far { counts[values[row], default: 0] += 1 }
    let rows = Set(far)
    // A stretch of different numbers far up is where the series went; a code stands alone or comes again.
    let codes = far.filter { row in
      counts[values[row]] ?? 0 > 1 || !rows.contains(row - 1) && !rows.contains(row + 1)
    }
    // More than one in ten is how the series is.
    return codes.count * 10 <= sorted.count ? codes : []
  }
}
