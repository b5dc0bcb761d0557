public import ApusData
public import ApusEvaluation
import ApusModels
public import ApusRuntime
import ApusTensor

/// Whether a saved forecaster's features and forecasts at a row depend on rows after it, to the bit.
///
/// At rows spread over the longest series the forecast is made three times: with the whole table in view,
/// with the table cut off after the row, and with everything after the row multiplied by random numbers.
/// What is scaled, smoothed, decomposed or filled with later rows makes the three differ.
public struct ModelAudit {
  /// How many series are looked at, the longest.
  private static let seriesLimit = 3
  /// How many rows of each.
  private static let originLimit = 6

  private let model: Model
  private let table: SeriesTable
  private let testFrom: Timestamp?
  private let seed: UInt64

  /// Creates the audit.
  ///
  /// - Parameters:
  ///   - model: A trained model or a baseline.
  ///   - table: Rows as read, not measured.
  ///   - testFrom: The first time of rows that are judged, where it is known. Default: not known.
  ///   - seed: Seed of the numbers that rows are multiplied by. Default: 0.
  public init(_ model: Model, table: SeriesTable, testFrom: Timestamp? = nil, seed: UInt64 = 0) {
    (self.model, self.table, self.testFrom, self.seed) = (model, table, testFrom, seed)
  }

  /// The report on the model alone.
  ///
  /// - Throws: `MeasureError`, `RecipeError`, `BaselineError` where the table does not suit the model.
  public func report() throws -> AuditReport {
    AuditReport(
      source: model.name, rows: table.rowCount, target: table.targetName,
      targets: table.series.reduce(0) { $0 + $1.values.count(where: \.isFinite) },
      checks: try checks())
  }

  /// The answers: what changes with later rows in features and in forecasts, and what the weights have seen.
  ///
  /// - Throws: As ``report()``.
  public func checks() throws -> [AuditCheck] {
    var (windows, causes, compared) = ([LeakFinding](), [LeakFinding](), 0)
    var generator = PhiloxGenerator(RandomKey(seed: seed))
    let longest = table.series.sorted { $0.count > $1.count }.prefix(Self.seriesLimit)
    for series in longest {
      let whole = try view(series)
      for row in origins(series.count) {
        guard let cut = try cutOff(series, after: row) else { continue }
        let changed = try view(perturbed(series, after: row, using: &generator))
        for (other, words) in [(cut, "is cut off"), (changed, "is multiplied by random numbers")] {
          compared += 1
          let name = table.series.count > 1 ? series.id : nil
          let time = table.cadence.text(series.timestamps[row])
          if let place = try difference(whole, other, upTo: row) {
            windows.append(
              LeakFinding(
                column: model.name, series: name, time: time,
                evidence: "The scaled row \(place) changes when what follows \(time) \(words).",
                advice: "Scale each row by rows up to its own."))
          }
          if try forecast(whole, at: row, series) != forecast(other, at: row, series) {
            causes.append(
              LeakFinding(
                column: model.name, series: name, time: time,
                evidence: "The forecast made at \(time) changes when what follows it \(words).",
                advice: "Make every step of the forecast from rows up to its origin."))
          }
        }
      }
    }
    guard compared > 0 else {
      return [.windowNormalization, .causality].map {
        AuditCheck($0, .notMade, "it needs a series of at least 8 rows.")
      }
    }
    var checks = [
      AuditCheck(
        .windowNormalization, windows.isEmpty ? .passed : .leak,
        "\(model.name): scaled rows are the same to the bit, whatever comes later.",
        findings: Array(windows.prefix(3))),
      AuditCheck(
        .causality, causes.isEmpty ? .passed : .leak,
        "\(model.name): \(compared) forecasts are the same to the bit, whatever comes later.",
        findings: Array(causes.prefix(3))),
    ]
    if let check = seenCheck() { checks.append(check) }
    return checks
  }

  /// Whether the weights have seen rows that are judged.
  private func seenCheck() -> AuditCheck? {
    guard let testFrom, let seen = model.seen else { return nil }
    let time = table.cadence.text(seen)
    guard seen >= testFrom else {
      return AuditCheck(.shuffledSplit, .passed, "\(model.name) has seen rows up to \(time) alone.")
    }
    return AuditCheck(
      .shuffledSplit, .leak, "",
      findings: [
        LeakFinding(
          column: model.name, time: time,
          evidence: "The model has seen rows up to \(time), but rows from "
            + "\(table.cadence.text(testFrom)) on are judged.",
          advice: "Judge it by later rows, or train it on earlier ones.")
      ])
  }

  /// Rows that forecasts are made at: spread over the last three quarters, a horizon left out.
  private func origins(_ count: Int) -> [Int] {
    let (first, last) = (count / 4, count - 1 - model.horizon)
    guard count >= 8, first <= last else { return [] }
    let number = min(Self.originLimit, last - first + 1)
    return Array(Set((0..<number).map { first + (last - first) * $0 / max(1, number - 1) }))
      .sorted()
  }

  private func perturbed(
    _ series: TimeSeries, after row: Int, using generator: inout PhiloxGenerator
  ) -> TimeSeries {
    var changed = series
    // What is known ahead may change a forecast.
    let known = model.recipe.known?.columns ?? []
    let columns = changed.covariates.indices.filter { index in
      let name = changed.covariates[index].name
      return !known.contains(name)
        && !known.contains(model.recipe.measure.covariateName(name) ?? name)
    }
    for place in (row + 1)..<series.count {
      // Positive, so that prices stay prices.
      changed.values[place] *= Double.random(in: 0.5...2, using: &generator)
      for column in columns {
        changed.covariates[column].values[place] *= Double.random(in: 0.5...2, using: &generator)
      }
    }
    return changed
  }
}

// What a forecaster makes of a series.
extension ModelAudit {
  /// A series as the model sees it.
  private struct View {
    var measured: TimeSeries
    /// Rows that measuring takes off at the start.
    var skipped: Int
    var frame: SeriesFrame?
  }

  private func view(_ series: TimeSeries, ahead: RowsAhead = .unknown) throws -> View {
    let measured = try model.recipe.measure.apply(to: series)
    let frame = model.forecasters.isEmpty ? nil : try model.recipe.frame(measured, ahead: ahead)
    return View(measured: measured, skipped: series.count - measured.count, frame: frame)
  }

  /// The rows up to one of them, with what is known ahead of it; nil where some of that is missing.
  private func cutOff(_ series: TimeSeries, after row: Int) throws -> View? {
    var part = series.slice(0..<row + 1)
    let next = row + 1..<min(series.count, row + 1 + model.horizon)
    part.future.timestamps = Array(series.timestamps[next])
    part.future.covariates = series.covariates.map {
      Covariate(name: $0.name, values: Array($0.values[next]))
    }
    let measured = try model.recipe.measure.apply(to: part)
    guard
      let ahead = try? model.recipe.rowsAhead(of: measured, at: Array(series.timestamps[next]))
    else { return nil }
    part.future = KnownFuture()
    return try view(part, ahead: ahead)
  }

  /// The first row up to `row` of which anything differs; nil where all are the same to the bit.
  private func difference(_ one: View, _ other: View, upTo row: Int) throws -> Int? {
    guard let a = one.frame, let b = other.frame else { return nil }
    let last = min(row - one.skipped, a.count - 1, b.count - 1)
    guard last >= 0 else { return nil }
    return (0...last).first { place in
      let bits = place * a.inputs..<(place + 1) * a.inputs
      return a.features[bits].map(\.bitPattern) != b.features[bits].map(\.bitPattern)
        || a.locations[place].bitPattern != b.locations[place].bitPattern
        || a.scales[place].bitPattern != b.scales[place].bitPattern
    }
  }

  /// The bits of the forecast at a row; nil where there is none.
  private func forecast(_ view: View, at row: Int, _ series: TimeSeries) throws -> [[UInt64]]? {
    let place = row - view.skipped
    guard place >= 0, place < view.measured.count else { return nil }
    var members: [[[Double]]] = []
    if let frame = view.frame {
      guard frame.isScaled[place] else { return nil }
      members = model.forecasters.map {
        SeriesForecast($0, frame: frame, rows: place..<place + 1).quantiles[0]
      }
    }
    // A baseline is fitted to the rows before its origin, and reads on from there.
    let (values, fitted) = (model.recipe.rest(of: view.measured), max(1, place * 3 / 4))
    for (rule, task) in model.baselines {
      var rule = rule
      do {
        try rule.fit(Array(values.prefix(fitted)), task: task)
        members += try rule.forecasts(values, origins: [place + 1], task: task).map(\.quantiles)
      } catch is BaselineError {
        return nil
      }
    }
    return model.combined(members).map { $0.map(\.bitPattern) }
  }
}
