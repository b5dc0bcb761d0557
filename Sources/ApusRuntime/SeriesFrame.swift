public import ApusData
package import ApusModels

/// One row as a model sees it.
public struct FeatureRow: Sendable, Equatable {
  /// `[F]`.
  public var features: [Float]
  /// The measured target without its season and what known inputs do to it; NaN where missing.
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
  /// What was known of the row before it came.
  package var known = KnownRow.nothing
  /// What is known of the rows after it, the next one first.
  package var ahead: [KnownRow] = []
}

/// Rows to features, one at a time, for streams and batches alike, so that a stream and a batch
/// agree to the bit.
public struct FeatureStream: Sendable {
  private let recipe: FeatureRecipe
  private let season: SeriesSeason?
  private let known: KnownView
  private var scaler: CausalScaler
  /// Features of the row at hand, in double precision.
  private var numbers: [Double] = []

  /// Starts before the first row.
  ///
  /// - Parameters:
  ///   - recipe: How rows are seen.
  ///   - series: The name of the series, by which its season is found; nil where it has none.
  public init(_ recipe: FeatureRecipe, series: String? = nil) {
    self.recipe = recipe
    season = recipe.season?.season(of: series)
    // A count less an effect would be none.
    known = KnownView(recipe, series: series, hasEffect: recipe.kind != .count)
    scaler = CausalScaler(recipe.kind, window: recipe.window)
  }

  /// What the scaler remembers.
  var memory: CausalScaler.Memory { scaler.memory }

  /// Goes on from what another stream of the recipe remembered; false where that cannot be.
  mutating func resume(_ memory: CausalScaler.Memory) -> Bool { scaler.resume(memory) }

  /// Appends the next row.
  ///
  /// - Parameters:
  ///   - value: The target, measured; NaN where missing.
  ///   - covariates: The covariates in the order of the recipe; NaN where missing.
  ///   - stamp: The row's time.
  ///   - ahead: What is known of the rows after it. Default: nothing.
  /// - Returns: The row as a model sees it.
  public mutating func push(
    _ value: Double, covariates: [Double], at stamp: Timestamp, ahead: RowsAhead = .unknown
  ) -> FeatureRow {
    var features: [Float] = []
    features.reserveCapacity(recipe.inputs)
    let seen = push(value, covariates: covariates, at: stamp, into: &features)
    return FeatureRow(
      features: features, value: seen.value, season: seen.season, location: seen.location,
      scale: seen.scale, isScaled: seen.isScaled, known: seen.known, ahead: known.rows(ahead))
  }

  /// What a row is beside its features; see ``FeatureRow``.
  fileprivate struct Seen {
    var value: Double
    var season: SeasonPlace
    var location, scale: Double
    var isScaled: Bool
    var known: KnownRow
  }

  /// Appends the next row, and its features to an array.
  fileprivate mutating func push(
    _ value: Double, covariates: [Double], at stamp: Timestamp, into features: inout [Float]
  ) -> Seen {
    let place = season?.place(of: stamp) ?? .none
    let own = known.row(covariates, at: stamp)
    let seen = own.shift.removed(from: value) - place.offset()
    numbers.removeAll(keepingCapacity: true)
    let (location, scale, isScaled) = scaler.push(seen, into: &numbers)
    for (column, value) in covariates.enumerated() {
      // Beyond eight deviations a covariate says no more than at eight.
      numbers.append(min(max(recipe.covariateScaler.scaled(value, column: column), -8), 8))
    }
    recipe.calendar?.append(at: stamp, to: &numbers)
    for number in numbers { features.append(Float(number)) }
    return Seen(
      value: seen, season: place, location: location, scale: scale, isScaled: isScaled, known: own)
  }

  /// What is known of rows ahead, as a model sees it.
  func rows(_ ahead: RowsAhead) -> [KnownRow] { known.rows(ahead) }
}

/// A whole series as a model sees it.
public struct SeriesFrame: Sendable {
  /// F.
  public let inputs: Int
  /// `[T, F]`.
  public private(set) var features: [Float] = []
  /// Numbers that are known of a row ahead, K.
  public let known: Int
  /// The measured target without its season and what known inputs do to it, `[T]`; NaN where missing.
  public private(set) var values: [Double] = []
  /// `[T]`; see ``FeatureRow/season``.
  public private(set) var seasons: [SeasonPlace] = []
  /// `[T]`; see ``FeatureRow/location``.
  public private(set) var locations: [Double] = []
  /// `[T]`; see ``FeatureRow/scale``.
  public private(set) var scales: [Double] = []
  /// `[T]`.
  public private(set) var isScaled: [Bool] = []

  /// What known inputs do to each row, and to those ahead of the last; empty where nothing is known.
  private var shifts: [Shift] = []
  /// What is known of each row, and of those ahead of the last: `[T + P, K]`.
  private var knownInputs: [Float] = []

  /// Creates a frame without rows.
  ///
  /// - Parameters:
  ///   - inputs: F.
  ///   - known: K. Default: nothing is known ahead.
  public init(inputs: Int, known: Int = 0) { (self.inputs, self.known) = (inputs, known) }

  /// T.
  public var count: Int { values.count }

  /// The measured target of a row, `[T]`; NaN where missing.
  public func measured(_ row: Int) -> Double {
    shift(row).applied(to: values[row] + seasons[row].offset())
  }

  /// What known inputs do to a row, which may lie ahead of the last one.
  package func shift(_ row: Int) -> Shift { row < shifts.count ? shifts[row] : .none }

  mutating func reserve(_ rows: Int) {
    features.reserveCapacity(rows * inputs)
    values.reserveCapacity(rows)
    seasons.reserveCapacity(rows)
    locations.reserveCapacity(rows)
    scales.reserveCapacity(rows)
    isScaled.reserveCapacity(rows)
  }

  /// Adds a row.
  public mutating func append(_ row: FeatureRow) {
    features += row.features
    append(
      FeatureStream.Seen(
        value: row.value, season: row.season, location: row.location, scale: row.scale,
        isScaled: row.isScaled, known: row.known))
  }

  /// Adds the next row of a stream.
  mutating func append(
    _ value: Double, covariates: [Double], at stamp: Timestamp, through stream: inout FeatureStream
  ) {
    append(stream.push(value, covariates: covariates, at: stamp, into: &features))
  }

  private mutating func append(_ seen: FeatureStream.Seen) {
    values.append(seen.value)
    seasons.append(seen.season)
    locations.append(seen.location)
    scales.append(seen.scale)
    isScaled.append(seen.isScaled)
    append(ahead: seen.known)
  }

  /// Adds what is known of a row ahead of the last one.
  mutating func append(ahead row: KnownRow) {
    guard known > 0 else { return }
    shifts.append(row.shift)
    knownInputs += row.inputs
  }

  /// The rows `range` as a forecaster of this configuration reads them.
  func rows(_ range: Range<Int>, for config: ForecasterConfig) -> [Float] {
    rows(
      range, window: config.window, horizon: config.horizon, hasScale: config.head.isOfCounts)
  }

  /// The rows `range` as a forecaster reads them, which may begin before the first row or end after
  /// the last: there they are zeros.
  ///
  /// - Parameters:
  ///   - range: The rows. The window of each reaches back to the first of them at most.
  ///   - window: W, rows that each is shown with; 0 for none.
  ///   - horizon: P, rows ahead of which each is shown what is known; 0 where there is no forecast.
  ///   - hasScale: Whether the scale of each row ends it, as of counts. Default: no.
  /// - Returns: `[T, F + W + P · K]`, and the scale.
  public func rows(
    _ range: Range<Int>, window: Int = 0, horizon: Int = 0, hasScale: Bool = false
  ) -> [Float] {
    let width = inputs + window + horizon * known + (hasScale ? 1 : 0)
    var rows = [Float](repeating: 0, count: range.count * width)
    let inside = range.clamped(to: 0..<count)
    for row in inside {
      let place = (row - range.lowerBound) * width
      for feature in 0..<inputs { rows[place + feature] = features[row * inputs + feature] }
      let first = max(inside.lowerBound, row - window + 1)
      writeWindow(
        values[first..<max(first, row + 1)], location: locations[row], scale: scales[row],
        endingAt: place + inputs + window, in: &rows)
      if hasScale { rows[place + width - 1] = Float(scales[row]) }
      guard horizon * known > 0 else { continue }
      let ahead = (row + 1) * known..<min((row + 1 + horizon) * known, knownInputs.count)
      let start = place + inputs + window
      rows.replaceSubrange(start..<start + ahead.count, with: knownInputs[ahead])
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
