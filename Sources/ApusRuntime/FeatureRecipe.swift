public import ApusTensor
public import ApusData

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
  /// and for other measures.
  public var season: SeasonalProfile?
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
  ///   - split: Says which rows are training.
  ///   - window: Rows whose deviation is the scale of a forecast of levels; nil for the size of the last
  ///     steps.
  /// - Throws: ``RecipeError`` when a column is not there.
  public init(
    fitting table: SeriesTable, measure: Measure, covariates: [String], split: Split,
    window: Int? = nil
  ) throws {
    self.measure = measure
    kind = ScaleKind(measure)
    self.window = kind == .level ? window : nil
    // A person names the columns of the file, not what the measure makes of them.
    self.covariates = covariates.map { name in
      guard let first = table.series.first, first.covariate(named: name) == nil else { return name }
      let wanted = measure.covariateName(name).map { $0.lowercased() }
      return table.covariateNames.first { $0.lowercased() == wanted } ?? name
    }
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
    season =
      measure == .level
      ? SeasonalProfile(
        fitting: table, rows: table.series.indices.map { split.fittingRows(series: $0) }) : nil
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
    cadence = try keys.decode(Cadence.self, forKey: .cadence)
    table = try keys.decodeIfPresent(TableFormat.self, forKey: .table)
    try keys.require(
      covariateScaler.means.count == covariates.count, .covariateScaler,
      "a mean for each of the \(covariates.count) covariates is expected")
  }

  /// Features of one row, F.
  public var inputs: Int {
    CausalScaler(kind, window: window).featureCount + covariates.count + (calendar?.count ?? 0)
  }

  /// All rows of a series as the model sees them.
  ///
  /// - Throws: ``RecipeError`` when a covariate is not there.
  public func frame(_ series: TimeSeries) throws -> SeriesFrame {
    let columns = try covariates.map { name in
      guard let column = series.covariate(named: name) else {
        throw RecipeError.missingCovariate(name, known: series.covariates.map(\.name))
      }
      return column
    }
    var stream = FeatureStream(self, series: series.id)
    var frame = SeriesFrame(inputs: inputs)
    frame.reserve(series.count)
    for row in 0..<series.count {
      frame.append(
        stream.push(
          series.values[row], covariates: columns.map { $0[row] }, at: series.timestamps[row]))
    }
    return frame
  }
}

/// An error of the data for a recipe.
public enum RecipeError: Error, Equatable {
  /// The data lacks a covariate.
  case missingCovariate(String, known: [String])
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
    }
  }
}

/// One row as a model sees it.
public struct FeatureRow: Sendable, Equatable {
  /// `[F]`.
  public var features: [Float]
  /// The measured target without its season; NaN where missing.
  public var value: Double
  /// Where in its season the row lies.
  public var season: SeasonPlace
  /// A quantile q of a forecast made here is `location + scale · q` in units of the measure, and the
  /// season on top.
  public var location: Double
  /// See ``location``; positive.
  public var scale: Double
  /// Whether the scale rests on data.
  public var isScaled: Bool
}

/// Rows to features, one at a time, for streams and batches alike, so that a stream and a batch
/// agree to the bit.
public struct FeatureStream: Sendable {
  private let recipe: FeatureRecipe
  private let season: SeriesSeason?
  private var scaler: CausalScaler

  /// Starts before the first row.
  ///
  /// - Parameters:
  ///   - recipe: How rows are seen.
  ///   - series: The name of the series, by which its season is found; nil where it has none.
  public init(_ recipe: FeatureRecipe, series: String? = nil) {
    self.recipe = recipe
    season = recipe.season?.season(of: series)
    scaler = CausalScaler(recipe.kind, window: recipe.window)
  }

  /// Appends the next row.
  ///
  /// - Parameters:
  ///   - value: The target, measured; NaN where missing.
  ///   - covariates: The covariates in the order of the recipe; NaN where missing.
  ///   - stamp: The row's time.
  /// - Returns: The row as a model sees it.
  public mutating func push(
    _ value: Double, covariates: [Double], at stamp: Timestamp
  ) -> FeatureRow {
    let place = season?.place(of: stamp) ?? .none
    let seen = value - place.offset()
    let row = scaler.push(seen)
    var features = row.features.map { Float($0) }
    for (column, value) in covariates.enumerated() {
      // Beyond eight deviations a covariate says no more than at eight.
      features.append(Float(min(max(recipe.covariateScaler.scaled(value, column: column), -8), 8)))
    }
    if let calendar = recipe.calendar { features += calendar.values(at: stamp).map { Float($0) } }
    return FeatureRow(
      features: features, value: seen, season: place, location: row.location, scale: row.scale,
      isScaled: row.isScaled)
  }
}

/// A whole series as a model sees it.
public struct SeriesFrame: Sendable {
  /// F.
  public let inputs: Int
  /// `[T, F]`.
  public private(set) var features: [Float] = []
  /// The measured target without its season, `[T]`; NaN where missing.
  public private(set) var values: [Double] = []
  /// `[T]`; see ``FeatureRow/season``.
  public private(set) var seasons: [SeasonPlace] = []
  /// `[T]`; see ``FeatureRow/location``.
  public private(set) var locations: [Double] = []
  /// `[T]`; see ``FeatureRow/scale``.
  public private(set) var scales: [Double] = []
  /// `[T]`.
  public private(set) var isScaled: [Bool] = []

  /// Creates a frame without rows.
  public init(inputs: Int) { self.inputs = inputs }

  /// T.
  public var count: Int { values.count }

  /// The measured target of a row, `[T]`; NaN where missing.
  public func measured(_ row: Int) -> Double { values[row] + seasons[row].offset() }

  mutating func reserve(_ rows: Int) {
    features.reserveCapacity(rows * inputs)
    values.reserveCapacity(rows)
  }

  /// Adds a row.
  public mutating func append(_ row: FeatureRow) {
    features += row.features
    values.append(row.value)
    seasons.append(row.season)
    locations.append(row.location)
    scales.append(row.scale)
    isScaled.append(row.isScaled)
  }

  /// The rows `range` as a forecaster reads them, which may begin before the first row or end after
  /// the last: there they are zeros.
  ///
  /// - Parameters:
  ///   - range: The rows. The window of each reaches back to the first of them at most.
  ///   - window: W, rows that each is shown with; 0 for none.
  /// - Returns: `[T, F + W]`.
  public func rows(_ range: Range<Int>, window: Int = 0) -> [Float] {
    let width = inputs + window
    var rows = [Float](repeating: 0, count: range.count * width)
    let inside = range.clamped(to: 0..<count)
    for row in inside {
      let place = (row - range.lowerBound) * width
      for feature in 0..<inputs { rows[place + feature] = features[row * inputs + feature] }
      let first = max(inside.lowerBound, row - window + 1)
      writeWindow(
        values[first..<max(first, row + 1)], location: locations[row], scale: scales[row],
        endingAt: place + width, in: &rows)
    }
    return rows
  }
}

/// Writes the window of a row: values less the row's location, over its scale, the row itself last. A
/// missing value repeats the one before it; before the first there is nothing, that is 0.
func writeWindow(
  _ values: ArraySlice<Double>, location: Double, scale: Double, endingAt end: Int,
  in rows: inout [Float]
) {
  var (last, place) = (Float(0), end - values.count)
  for value in values {
    if abs(value) <= CausalScaler.largestValue {
      last = Float(min(max((value - location) / scale, -1e6), 1e6))
    }
    rows[place] = last
    place += 1
  }
}
