public import ApusData
package import ApusModels
public import ApusTensor

/// How rows of a series become rows of a model: everything fitted, and nothing that looks ahead.
///
/// Stored with the model, so that a forecast is made exactly as the training rows were.
public struct FeatureRecipe: Codable, Sendable, Equatable {
  /// The quantity that is forecast of the series.
  public var measure: Measure
  /// How the target is seen by its causal scaler.
  public var kind: ScaleKind
  /// Rows whose deviation is the scale of a forecast of levels; nil where it is that of the last steps, as in
  /// recipes saved before there were windows, and for other measures.
  public var window: Int?
  /// The past covariates that the model reads, by name, after ``measure`` has made them stationary.
  public var covariates: [String]
  /// Means and deviations of the covariates over the training part.
  public var covariateScaler: StandardScaler
  /// Cyclic features of the time of a row; nil when rows have no clock.
  public var calendar: CalendarFeatures?
  /// What seasons add to levels, taken off before anything else is made of them; nil where there is none,
  /// for counts and for other measures.
  public var season: SeasonalProfile?
  /// What is known of rows before they come; nil where nothing is.
  public var known: KnownInputs?
  /// What that does to a value, taken off before anything else is made of it, but for models of counts; nil where
  /// nothing is known, or it does nothing.
  package var effect: CovariateEffect?
  /// How rows follow each other.
  public var cadence: Cadence
  /// How the file was written; nil for series made elsewhere.
  public var table: TableFormat?

  /// Fits a recipe on the training part of a table.
  ///
  /// - Parameters:
  ///   - table: The table, already measured.
  ///   - measure: What it was measured as.
  ///   - covariates: Columns to read; others are left out.
  ///   - future: Columns to read that are known ahead.
  ///   - holidays: Holidays, which are known ahead too.
  ///   - split: Says which rows are training.
  ///   - window: Rows whose deviation is the scale of a forecast of levels; nil for the size of the last
  ///     steps.
  ///   - kind: How the target is seen. Default: as suits the measure. Counts are seen as they are, with what
  ///     seasons and known inputs do to them.
  /// - Throws: ``RecipeError`` when a column is not there, or times do not tell the place in a longer season.
  public init(
    fitting table: SeriesTable, measure: Measure, covariates: [String], future: [String] = [],
    holidays: Holidays? = nil, split: Split, window: Int? = nil, kind: ScaleKind? = nil
  ) throws {
    self.measure = measure
    self.kind = kind ?? ScaleKind(measure)
    self.window = self.kind == .level ? window : nil
    let longer = table.cadence.longerSeasons
    guard longer.isEmpty || table.cadence.ordinal(of: Timestamp(secondsSinceEpoch: 0)) != nil else {
      throw RecipeError.noPlace(seasons: longer, frequency: table.cadence.frequency.name)
    }
    let ahead = future.flatMap { Self.measured($0, measure, table) }
    self.covariates =
      covariates.flatMap { Self.measured($0, measure, table) }.filter { !ahead.contains($0) }
      + ahead
    (cadence, self.table) = (table.cadence, table.format)
    let columns = try self.covariates.map { name in
      try table.series.enumerated().flatMap { index, series in
        guard let column = series.covariate(named: name) else {
          throw RecipeError.missingCovariate(name, known: table.covariateNames)
        }
        return Array(column[split.fittingRows(series: index)])
      }
    }
    covariateScaler = StandardScaler(fitting: columns)
    let features = CalendarFeatures(table.cadence)
    calendar = features.count > 0 ? features : nil
    let rows = table.series.indices.map { split.fittingRows(series: $0) }
    known = KnownInputs(fitting: table, columns: ahead, holidays: holidays, rows: rows)
    effect = known.flatMap { Self.effect(of: $0, on: table, rows: rows) }
    var rest = table
    if effect != nil {
      for (index, series) in table.series.enumerated() {
        rest.series[index].values = self.rest(of: series)
      }
    }
    season = self.kind == .level ? SeasonalProfile(fitting: rest, rows: rows) : nil
  }

  /// A person names the columns of the file, not what the measure, or classes, make of them.
  private static func measured(
    _ name: String, _ measure: Measure, _ table: SeriesTable
  ) -> [String] {
    guard let first = table.series.first, first.covariate(named: name) == nil else { return [name] }
    let classes = table.covariateNames.filter {
      $0.lowercased().hasPrefix(name.lowercased() + "=")
    }
    guard classes.isEmpty else { return classes }
    let wanted = measure.covariateName(name).map { $0.lowercased() }
    return [table.covariateNames.first { $0.lowercased() == wanted } ?? name]
  }

  /// Reads a stored recipe; rejects one whose scaler is not that of its covariates.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    measure = try keys.decode(Measure.self, forKey: .measure)
    kind = try keys.decode(ScaleKind.self, forKey: .kind)
    window = try keys.decodeIfPresent(Int.self, forKey: .window)
    try keys.require(
      window.map { (1...1_048_576).contains($0) } ?? true, .window, "1 to 1048576 rows are expected"
    )
    covariates = try keys.decode([String].self, forKey: .covariates)
    covariateScaler = try keys.decode(StandardScaler.self, forKey: .covariateScaler)
    calendar = try keys.decodeIfPresent(CalendarFeatures.self, forKey: .calendar)
    season = try keys.decodeIfPresent(SeasonalProfile.self, forKey: .season)
    known = try keys.decodeIfPresent(KnownInputs.self, forKey: .known)
    effect = try keys.decodeIfPresent(CovariateEffect.self, forKey: .effect)
    cadence = try keys.decode(Cadence.self, forKey: .cadence)
    table = try keys.decodeIfPresent(TableFormat.self, forKey: .table)
    try keys.require(
      covariateScaler.means.count == covariates.count, .covariateScaler,
      "a mean for each of the \(covariates.count) covariates is expected")
    let (read, inputs) = (covariates, known?.count ?? 0)
    try keys.require(
      known?.columns.allSatisfy(read.contains) ?? true, .known,
      "columns known ahead must be among the covariates")
    try keys.require(
      effect?.isFinite(inputs: inputs) ?? true, .effect,
      "\(inputs) finite weights of each series are expected")
  }

  /// Features of one row, F.
  public var inputs: Int {
    CausalScaler(kind, window: window).featureCount + covariates.count + (calendar?.count ?? 0)
  }

  /// All rows of a series as the model sees them.
  ///
  /// - Parameters:
  ///   - series: The series, measured.
  ///   - ahead: What is known of the rows after the last one. Default: nothing; such inputs are then 0.
  /// - Returns: A row for each of the series.
  /// - Throws: ``RecipeError`` when a covariate is not there.
  public func frame(_ series: TimeSeries, ahead: RowsAhead = .unknown) throws -> SeriesFrame {
    let columns = try covariates.map { name in
      guard let column = series.covariate(named: name) else {
        throw RecipeError.missingCovariate(name, known: series.covariates.map(\.name))
      }
      return column
    }
    var stream = FeatureStream(self, series: series.id)
    var frame = SeriesFrame(inputs: inputs, known: known?.count ?? 0)
    frame.reserve(series.count)
    var own = [Double](repeating: 0, count: columns.count)
    for row in 0..<series.count {
      for (place, column) in columns.enumerated() { own[place] = column[row] }
      frame.append(
        series.values[row], covariates: own, at: series.timestamps[row], through: &stream)
    }
    for row in stream.rows(ahead) { frame.append(ahead: row) }
    return frame
  }
}

extension FeatureRecipe {
  /// All rows of many series as the model sees them, on all cores: no series depends on another.
  ///
  /// - Parameter series: The series, measured.
  /// - Returns: A frame for each.
  /// - Throws: ``RecipeError`` of the first series that lacks a covariate.
  public func frames(_ series: [TimeSeries]) throws -> [SeriesFrame] {
    try sideBySide(series.count) { try frame(series[$0]) }
  }
}

/// An error of the data for a recipe.
public enum RecipeError: Error, Equatable {
  /// The data lacks a covariate.
  case missingCovariate(String, known: [String])
  /// The times of rows do not tell their place in a longer season.
  case noPlace(seasons: [Int], frequency: String)
}

extension RecipeError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .missingCovariate(let name, let known):
      """
      The data has no column '\(name)', which the model reads beside the target.\
      \(suggestion(for: name, among: known)) \
      Columns found: \(known.isEmpty ? "none" : known.joined(separator: ", ")).
      """
    case .noPlace(let seasons, let frequency):
      """
      A season of \(seasons.map(String.init).joined(separator: " and ")) rows was named beside the first, but \
      the times of rows that come \(frequency) do not tell the place in it. Name one season, or count rows \
      with --time none.
      """
    }
  }
}
