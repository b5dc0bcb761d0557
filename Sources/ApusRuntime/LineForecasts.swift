public import ApusData
import ApusModels

/// The forecast made after one row of a live table.
///
/// Quantiles are in units of the model's measure, as in ``FutureForecast``.
public struct LineForecast: Sendable, Equatable {
  /// The name of the series; nil where the table has no column of names.
  public var uniqueId: String?
  /// The row that the forecast has read last.
  public var cutoff: String
  /// The times of the P steps ahead.
  public var ds: [String]
  /// The quantile levels, Q.
  public var levels: [Double]
  /// `[P][Q]`; nil after a row from which nothing follows yet: the first price makes no return.
  public var quantiles: [[Double]]?
}

extension LineForecast: Encodable {
  private enum CodingKeys: String, CodingKey { case uniqueId, cutoff, ds, levels, quantiles }

  /// Encodes all keys but that of a series without a name; `quantiles` is null where there are none.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeIfPresent(uniqueId, forKey: .uniqueId)
    try container.encode(cutoff, forKey: .cutoff)
    try container.encode(ds, forKey: .ds)
    try container.encode(levels, forKey: .levels)
    try container.encode(quantiles, forKey: .quantiles)
  }
}

/// A forecaster that reads lines of text as they come and forecasts after each.
///
/// Where the backbone is recurrent every line costs the same, and memory does not grow but for the number
/// of series.
public struct LineForecasts {
  private let saved: ModelFolder.SavedForecaster
  private let name: String
  private let composition: Composed?
  private var reader: RowReader
  private var streams: [String: One] = [:]

  /// Experts behind a router.
  private struct Composed {
    let composition: Composition
    let recipes: [FeatureRecipe]
    let shelf: ExpertShelf<ModelFolder.SavedForecaster>
  }

  /// One series at work.
  private struct One {
    var measure: MeasureStream
    var forecast: Stream
    var pace: Pace
    /// Where each recipe's covariates stand among the measured ones.
    let covariates: [[Int]]
  }

  fileprivate enum Stream {
    case single(ForecastStream)
    case composed(ComposedStream)
  }

  /// Starts before the first line, with the model of a folder.
  ///
  /// - Parameters:
  ///   - folder: A forecaster, or a composition of them.
  ///   - options: What is known about the columns; the target is the model's where none is named.
  /// - Throws: What is wrong with the folder.
  public init(_ folder: ModelFolder, options: SeriesOptions = SeriesOptions()) throws {
    if case .composition(let composition) = folder.contents {
      try self.init(composition, options: options)
    } else {
      self.init(try folder.forecaster().load(), options: options)
    }
  }

  /// Starts before the first line.
  ///
  /// - Parameters:
  ///   - saved: The model with its recipe.
  ///   - options: What is known about the columns; the target is the model's where none is named.
  public init(_ saved: ModelFolder.SavedForecaster, options: SeriesOptions) {
    self.init(saved, composed: nil, options: options)
  }

  /// Starts before the first line, with experts behind a router.
  ///
  /// - Parameters:
  ///   - composition: Forecasters behind a router.
  ///   - options: What is known about the columns; the target is the experts' where none is named.
  /// - Throws: What is wrong with an expert's folder.
  public init(_ composition: Composition, options: SeriesOptions) throws {
    try composition.require(.forecast)
    let shelf = composition.forecasters()
    let recipes = try composition.experts.indices.map {
      try composition.expert($0).forecaster().recipe
    }
    self.init(
      try shelf.model(composition.router.base),
      composed: Composed(composition: composition, recipes: recipes, shelf: shelf),
      options: options)
  }

  private init(
    _ saved: ModelFolder.SavedForecaster, composed: Composed?, options: SeriesOptions
  ) {
    self.saved = saved
    composition = composed
    name = composed == nil ? saved.forecaster.config.backbone.architecture.name : "composition"
    let recipes = composed?.recipes ?? [saved.recipe]
    let options = options.completed(by: saved)
    let measure = saved.recipe.measure
    let wanted = Set(recipes.flatMap(\.covariates).map { $0.lowercased() })
    let isIntraday = if case .seconds = saved.recipe.cadence.frequency { true } else { false }
    reader = RowReader(options: options, isIntraday: isIntraday) { name in
      measure.needs(column: name)
        || measure.covariateName(name).map { wanted.contains($0.lowercased()) } ?? false
    }
  }

  /// Reads a line.
  ///
  /// - Parameter line: Without its end.
  /// - Returns: The forecast; nil for a header, a comment or an empty line.
  /// - Throws: `RowError` for a line that is passed over, and what makes going on pointless: `SeriesError`,
  ///   ``RecipeError`` and ``NotFiniteError``.
  public mutating func push(_ line: String) throws -> LineForecast? {
    guard let row = try reader.row(line) else { return nil }
    let (recipe, config) = (saved.recipe, saved.forecaster.config)
    let ahead: [Timestamp]
    do throws(CadenceError) {
      ahead = try recipe.cadence.stamps(after: row.stamp, count: config.horizon)
    } catch {
      throw reader.problem("\(error)")
    }
    var one = try streams.removeValue(forKey: row.series) ?? makeStream()
    defer { streams[row.series] = one }
    try one.pace.take(row.stamp)
    var result = LineForecast(
      uniqueId: row.series.isEmpty ? nil : row.series, cutoff: recipe.cadence.text(row.stamp),
      ds: ahead.map(recipe.cadence.text), levels: config.levels, quantiles: nil)
    if let measured = one.measure.push(row.value, covariates: row.covariates) {
      let covariates = one.covariates.map { $0.map { measured.covariates[$0] } }
      result.quantiles = recipe.measure.possible(
        try one.forecast.push(measured.value, covariates: covariates, at: row.stamp))
    }
    return result
  }

  private func makeStream() throws -> One {
    let measure = MeasureStream(saved.recipe.measure, covariates: reader.covariateNames)
    let names = measure.covariateNames.map { $0.lowercased() }
    let places = try (composition?.recipes ?? [saved.recipe]).map { recipe in
      try recipe.covariates.map { name in
        guard let place = names.firstIndex(of: name.lowercased()) else {
          throw RecipeError.missingCovariate(name, known: measure.covariateNames)
        }
        return place
      }
    }
    let forecast: Stream =
      try composition.map {
        .composed(try ComposedStream($0.composition, recipes: $0.recipes, shelf: $0.shelf))
      } ?? .single(ForecastStream(saved.forecaster, recipe: saved.recipe))
    return One(
      measure: measure, forecast: forecast, pace: Pace(saved.recipe.cadence), covariates: places)
  }

  // MARK: CSV

  /// The header of `csv(_:)`: `unique_id`, `cutoff`, then for each step ahead the columns of
  /// ``FutureForecast/csv(guardsFormulas:)`` with the step in their name, as `mamba-1`, `mamba-1-lo-90`.
  public var csvHeader: String {
    let config = saved.forecaster.config
    let steps = (1...config.horizon).flatMap { step in
      ForecastColumns(model: "\(name)-\(step)", levels: config.levels).all
        .map(\.name)
    }
    return (["unique_id", "cutoff"] + steps).joined(separator: ",")
  }

  /// A forecast as one line; cells are empty where there is none yet. Names are guarded as by
  /// ``FutureForecast/csv(guardsFormulas:)``.
  public func csv(_ forecast: LineForecast, guardsFormulas: Bool = true) -> String {
    let config = saved.forecaster.config
    let columns = ForecastColumns(model: name, levels: config.levels)
    let cells =
      forecast.quantiles?.flatMap(columns.cells)
      ?? Array(repeating: "", count: config.horizon * columns.all.count)
    let name = csvField(forecast.uniqueId ?? "", guardsFormulas: guardsFormulas)
    return ([name, forecast.cutoff] + cells).joined(separator: ",")
  }
}

/// The times of the first rows of a live series, by which one of another frequency is told.
private struct Pace {
  private let cadence: Cadence
  private var stamps: [Timestamp] = []
  /// Fewer could be a holiday.
  private static let enough = 12

  init(_ cadence: Cadence) { self.cadence = cadence }

  mutating func take(_ stamp: Timestamp) throws {
    guard stamps.count < Self.enough else { return }
    func other(_ found: String) -> ForecastError {
      .otherFrequency(found: found, expected: cadence.frequency.name)
    }
    if let last = stamps.last, cadence.isTooEarly(stamp, after: last) {
      throw other("\(stamp.secondsSinceEpoch - last.secondsSinceEpoch) seconds after each other")
    }
    stamps.append(stamp)
    guard stamps.count == Self.enough else { return }
    let found = Cadence(inferredFrom: stamps)
    guard cadence.frequency == .steps || cadence.admits(found, stamps: stamps) else {
      throw other(found.frequency.name)
    }
  }
}

extension LineForecasts.Stream {
  fileprivate mutating func push(
    _ value: Double, covariates: [[Double]], at stamp: Timestamp
  ) throws -> [[Double]] {
    switch self {
    case .single(var stream):
      defer { self = .single(stream) }
      return try stream.push(value, covariates: covariates.first ?? [], at: stamp)
    case .composed(var stream):
      defer { self = .composed(stream) }
      return try stream.push(value, covariates: covariates, at: stamp)
    }
  }
}
