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
  /// The measure in words.
  public var words: String {
    switch self {
    case .returns: "logarithmic returns"
    case .volatility: "volatility"
    case .level: "level"
    }
  }

  /// The measure that suits a table, and why: returns where series behave like prices, the level for anything
  /// else.
  ///
  /// A name alone never makes returns: a column called price, or rows on working days, ask the question, and
  /// the numbers answer it; see `PriceBehavior`.
  public static func inferred(for table: SeriesTable) -> (measure: Measure, reason: String) {
    let series = table.series.filter { $0.values.contains { !$0.isNaN } }
    guard !series.isEmpty else { return (.level, "there are no values") }
    let isNamed = PriceColumn.isTargetOfPrice(table.targetName)
    let isMarket = table.cadence.frequency == .businessDays
    let isBar = series[0].covariates.count { PriceColumn(columnName: $0.name) != nil } >= 2
    guard isNamed || isMarket || isBar else {
      return (.level, "neither names nor times are those of prices")
    }
    let season = table.cadence.seasonLength
    // Ten series tell what the table is.
    let sample = stride(from: 0, to: series.count, by: max(1, series.count / 10)).map { series[$0] }
    let behaviors = sample.map {
      PriceBehavior($0.values, seasons: [season, season * 7, 7, 5], mayCount: !isBar)
    }
    let objections = behaviors.compactMap(\.objection)
    guard objections.count * 2 < behaviors.count else {
      let reason = objections.first ?? ""
      return (.level, isNamed ? "the target '\(table.targetName)' is no price: \(reason)" : reason)
    }
    let isShown = behaviors.contains { $0.steps >= PriceBehavior.fewest }
    guard isNamed || isBar || isShown && sample.allSatisfy(\.looksLikePrice) else {
      return (.level, "the target does not look like a price")
    }
    return (
      .returns,
      isNamed || isBar
        ? "the target '\(table.targetName)' behaves like a price"
        : "the target behaves like a price on business days"
    )
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
    var result = TimeSeries(
      id: series.id, timestamps: Array(series.timestamps.dropFirst()), values: values,
      covariates: columns)
    result.future = measured(series.future, stream, columns: series.covariates.map(\.name))
    return result
  }

  /// What is known of the future, in the units of the covariates.
  private func measured(
    _ future: KnownFuture, _ stream: MeasureStream, columns: [String]
  ) -> KnownFuture {
    guard !future.isEmpty, !future.covariates.isEmpty else { return future }
    var result = future
    var stream = stream
    result.covariates = stream.covariateNames.map { Covariate(name: $0, values: []) }
    let numbers = columns.map { future.covariate(named: $0) }
    for row in future.timestamps.indices {
      let covariates = numbers.map { $0?[row] ?? .nan }
      guard let measured = stream.push(.nan, covariates: covariates) else { continue }
      for (index, value) in measured.covariates.enumerated() {
        result.covariates[index].values.append(value)
      }
    }
    return result
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
