public import ApusTensor

/// The quantity that is forecast of a series.
public enum Measure: String, Codable, Sendable, CaseIterable {
  /// Logarithmic returns `r_t = ln(P_t / P_{t-1})` of a positive series.
  case returns
  /// A proxy of the variance of one step, in squared logarithmic units: the range of Parkinson (1980, *The
  /// Extreme Value Method for Estimating the Variance of the Rate of Return*) where a bar has one,
  /// `(ln H_t/L_t)² / (4 ln 2)`, and the squared return `r_t²` elsewhere.
  case volatility
  /// The values as they are.
  case level
}

/// Why a measure does not fit a series.
public enum MeasureError: Error, Equatable, Sendable {
  /// Logarithms need positive values, and too few are.
  case notPositive(series: String, measure: Measure, found: Int, rows: Int)
  /// Fewer than two values.
  case tooShort(series: String, rows: Int)
}

extension MeasureError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  public var description: String {
    switch self {
    case .notPositive(let series, let measure, let found, let rows):
      """
      Series '\(series)': found \(found) of \(rows) values at or below zero, expected prices above \
      zero for the measure '\(measure.rawValue)'; use the measure 'level'.
      """
    case .tooShort(let series, let rows):
      "Series '\(series)': found \(rows) usable rows, expected at least 2."
    }
  }
}

extension Measure {
  /// The measure that suits a table, and why: returns for prices, the level for anything else.
  public static func inferred(for table: SeriesTable) -> (measure: Measure, reason: String) {
    guard !table.series.isEmpty, table.series.allSatisfy(\.isPositive) else {
      return (.level, "the target is not positive throughout")
    }
    if PriceColumn.isTargetOfPrice(table.targetName) {
      return (.returns, "the target '\(table.targetName)' is a price by its name")
    }
    let prices = table.series.count { $0.looksLikePrice }
    let isClocked = table.cadence.frequency == .businessDays
    return isClocked && prices * 2 > table.series.count
      ? (.returns, "the target is positive and moves in small steps on business days")
      : (.level, "the target does not look like a price")
  }

  /// Turns a series of levels into the measure.
  ///
  /// - ``level`` leaves the series as it is.
  /// - ``returns`` and ``volatility`` drop the first row, which has no row before it. A value that is missing
  ///   or not positive makes its row missing; the next return spans the hole. Covariates become stationary
  ///   where their meaning is known, all from numbers known at the end of row `t`: prices of the bar turn into
  ///   `ln(X_t / C_t)` with `C` the close, volume into `ln(1 + V_t)`; the others stay.
  ///
  /// - Throws: ``MeasureError`` when more than one value in a hundred is not positive, or fewer than two are
  ///   usable.
  public func apply(to series: TimeSeries) throws(MeasureError) -> TimeSeries {
    guard self != .level else { return series }
    let present = series.values.count { !$0.isNaN }
    let positive = series.values.count { $0 > 0 }
    guard (present - positive) * 100 <= present else {
      throw .notPositive(
        series: series.id, measure: self, found: present - positive, rows: present)
    }
    guard positive >= 2 else { throw .tooShort(series: series.id, rows: positive) }
    var stream = MeasureStream(self, covariates: series.covariates.map(\.name))
    var values: [Double] = []
    var columns = stream.covariateNames.map { Covariate(name: $0, values: []) }
    values.reserveCapacity(series.count)
    for row in 0..<series.count {
      let covariates = series.covariates.map { $0.values[row] }
      guard let measured = stream.push(series.values[row], covariates: covariates) else { continue }
      values.append(measured.value)
      for (index, value) in measured.covariates.enumerated() { columns[index].values.append(value) }
    }
    return TimeSeries(
      id: series.id, timestamps: Array(series.timestamps.dropFirst()), values: values,
      covariates: columns)
  }
}

extension TimeSeries {
  /// At most one value in a hundred is zero or negative, and there is a value.
  var isPositive: Bool {
    let present = values.count { !$0.isNaN }
    return present > 0 && values.count(where: { $0 <= 0 }) * 100 <= present
  }
}

extension SeriesTable {
  /// The table with every series turned into `measure`; see ``Measure/apply(to:)``.
  ///
  /// - Throws: ``MeasureError`` of the first series that does not fit.
  public func measured(as measure: Measure) throws(MeasureError) -> SeriesTable {
    guard measure != .level else { return self }
    var result = self
    result.series = []
    for one in series { result.series.append(try measure.apply(to: one)) }
    result.covariateNames = result.series.first?.covariates.map(\.name) ?? []
    return result
  }
}
