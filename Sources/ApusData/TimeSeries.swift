/// A named column of numbers beside a target.
public struct Covariate: Sendable, Equatable {
  /// Name as the file gives it.
  public var name: String
  /// One value per row of the series; NaN where the file has none.
  public var values: [Double]

  /// Creates a column.
  public init(name: String, values: [Double]) {
    self.name = name
    self.values = values
  }
}

/// One series in order of time: a target and what was measured beside it.
///
/// Row `t` holds what is known at the end of `timestamps[t]`, covariates included: a forecast made at `t` may
/// use rows up to and including `t`.
public struct TimeSeries: Sendable, Equatable {
  /// Name of the series, unique in its table.
  public var id: String
  /// Strictly increasing; T of them.
  public var timestamps: [Timestamp]
  /// The target, `[T]`; NaN where missing.
  public var values: [Double]
  /// Past covariates, each `[T]`, in the order of the file.
  public var covariates: [Covariate]
  /// The rows behind the last value, of which all but the target is known.
  public var future = KnownFuture()

  /// Creates a series.
  ///
  /// - Precondition: Every column is as long as `timestamps`.
  public init(
    id: String, timestamps: [Timestamp], values: [Double], covariates: [Covariate] = []
  ) {
    precondition(
      values.count == timestamps.count
        && covariates.allSatisfy { $0.values.count == timestamps.count },
      "TimeSeries: every column needs \(timestamps.count) values")
    self.id = id
    self.timestamps = timestamps
    self.values = values
    self.covariates = covariates
  }

  /// Creates a series of consecutive steps without a clock: step `i` is `i` seconds after 1970.
  public init(id: String, values: [Double]) {
    let stamps = values.indices.map { Timestamp(secondsSinceEpoch: Int64($0)) }
    self.init(id: id, timestamps: stamps, values: values)
  }

  /// Number of rows, T.
  public var count: Int { timestamps.count }

  /// The column of that name, whatever the case of its letters.
  public func covariate(named name: String) -> [Double]? {
    let wanted = normalizedName(name)
    return covariates.first { normalizedName($0.name) == wanted }?.values
  }

  /// The rows of `range` alone; what is known of the future goes with the last of them.
  ///
  /// - Precondition: `range` lies within the rows.
  public func slice(_ range: Range<Int>) -> TimeSeries {
    var part = TimeSeries(
      id: id, timestamps: Array(timestamps[range]), values: Array(values[range]),
      covariates: covariates.map { Covariate(name: $0.name, values: Array($0.values[range])) })
    if range.upperBound == count { part.future = future }
    return part
  }
}

/// Rows that a table gives after the last value of a series: their times, and what is known of them.
public struct KnownFuture: Sendable, Equatable {
  /// Strictly increasing, after the last row of the series.
  public var timestamps: [Timestamp] = []
  /// The covariates of the series, one value for each time; NaN where the file has none.
  public var covariates: [Covariate] = []

  /// Creates a future of which nothing is known.
  public init() {}

  /// Whether there are no such rows.
  public var isEmpty: Bool { timestamps.isEmpty }
}

/// Series that belong together: same columns, same frequency.
public struct SeriesTable: Sendable, Equatable {
  /// The series, in the order in which the file first names them; ids are unique.
  public var series: [TimeSeries]
  /// Name of the target; empty when each series is a column of its own.
  public var targetName: String
  /// Names of the covariates that every series has, in order.
  public var covariateNames: [String]
  /// The times of the rows.
  public var cadence: Cadence
  /// The report of the reader.
  public var report: DataReport
  /// How its file is written; nil for series made elsewhere.
  public var format: TableFormat?

  /// Creates a table from series made elsewhere; the cadence is inferred from the longest.
  public init(_ series: [TimeSeries], targetName: String = "value") {
    self.series = series
    self.targetName = targetName
    covariateNames = series.first?.covariates.map(\.name) ?? []
    let longest = series.max { $0.count < $1.count }
    cadence = Cadence(inferredFrom: longest?.timestamps ?? [])
    report = DataReport(source: "memory")
    report.rowsRead = series.reduce(0) { $0 + $1.count }
    report.seriesCount = series.count
  }

  init(
    series: [TimeSeries], targetName: String, covariateNames: [String], cadence: Cadence,
    report: DataReport
  ) {
    self.series = series
    self.targetName = targetName
    self.covariateNames = covariateNames
    self.cadence = cadence
    self.report = report
  }

  /// Rows of all series together.
  public var rowCount: Int { series.reduce(0) { $0 + $1.count } }

  /// The series of that id.
  public func series(named id: String) -> TimeSeries? { series.first { $0.id == id } }
}

/// Letters and digits in lower case: `<Adj Close>`, `adj_close` and `AdjClose` are one name.
func normalizedName(_ name: String) -> String {
  String(
    decoding: name.utf8.compactMap { byte in
      lowercaseLetter(byte) ?? (digitValue(byte) != nil || byte >= 0x80 ? byte : nil)
    }, as: UTF8.self)
}
