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
  /// Why there are none, where a row ahead is not known; nil otherwise.
  public var reason: String?
}

extension LineForecast: Encodable {
  private enum CodingKeys: String, CodingKey {
    case uniqueId, cutoff, ds, levels, quantiles, reason
  }

  /// Encodes all keys but the name of a series without one and the reason where there is none; `quantiles`
  /// is null where there are none.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeIfPresent(uniqueId, forKey: .uniqueId)
    try container.encode(cutoff, forKey: .cutoff)
    try container.encode(ds, forKey: .ds)
    try container.encode(levels, forKey: .levels)
    try container.encode(quantiles, forKey: .quantiles)
    try container.encodeIfPresent(reason, forKey: .reason)
  }
}

/// A forecaster that reads lines of text as they come and forecasts after each.
///
/// A series whose rows the model keeps goes on from them where its first line lies after the last of
/// them; else it begins with its first line. Where the backbone is recurrent every line costs the same,
/// and memory does not grow but for the number of series.
public struct LineForecasts {
  private let model: Model
  private let name: String
  private let composition: Composed?
  private let history: [String: TimeSeries]
  /// Rows that are known ahead beside those of the history, by series.
  private var future: [String: TimeSeries] = [:]
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
    var live: LiveSeries
    var pace: Pace
    let known: KnownRows
  }

  /// Starts before the first line, with the model of a folder.
  ///
  /// - Parameters:
  ///   - folder: A forecaster, trained or classical, or a composition of trained ones.
  ///   - future: A CSV with times and the columns that the model knows ahead. Default: what the model keeps.
  ///   - options: What is known about the columns; the target is the model's where none is named.
  /// - Throws: What is wrong with the folder.
  public init(
    _ folder: ModelFolder, futureAt future: String? = nil,
    options: SeriesOptions = SeriesOptions()
  ) throws {
    if case .composition(let composition) = folder.contents {
      try self.init(composition, options: options)
      if future != nil { throw ForecastError.nothingKnown(model: name) }
    } else {
      let model = try Model(folder)
      self.init(model, options: options)
      guard let future else { return }
      for series in try model.knownTable(readingCSVAt: future, options: options).series {
        self.future[series.id] = series
      }
    }
  }

  /// Starts before the first line.
  ///
  /// - Parameters:
  ///   - model: The forecaster.
  ///   - options: What is known about the columns; the target is the model's where none is named.
  public init(_ model: Model, options: SeriesOptions = SeriesOptions()) {
    self.init(model, composed: nil, options: options)
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
      Model(try shelf.model(composition.router.base), history: []),
      composed: Composed(composition: composition, recipes: recipes, shelf: shelf),
      options: options)
  }

  private init(_ model: Model, composed: Composed?, options: SeriesOptions) {
    (self.model, composition) = (model, composed)
    name = composed == nil ? model.name : "composition"
    history = Dictionary(model.history.map { ($0.id, $0) }, uniquingKeysWith: { one, _ in one })
    let recipes = composed?.recipes ?? [model.recipe]
    let options = options.completed(by: model)
    let measure = model.measure
    let wanted = Set(recipes.flatMap(\.covariates).map { $0.lowercased() })
    let isIntraday = if case .seconds = model.recipe.cadence.frequency { true } else { false }
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
  ///   ``RecipeError``, `BaselineError` and ``NotFiniteError``.
  public mutating func push(_ line: String) throws -> LineForecast? {
    guard let row = try reader.row(line) else { return nil }
    let cadence = model.recipe.cadence
    let ahead: [Timestamp]
    do throws(CadenceError) {
      ahead = try cadence.stamps(after: row.stamp, count: model.horizon)
    } catch {
      throw reader.problem("\(error)")
    }
    var one = try streams.removeValue(forKey: row.series) ?? started(row)
    defer { streams[row.series] = one }
    try one.pace.take(row.stamp)
    var (known, reason) = (RowsAhead.unknown, String?.none)
    do throws(KnownFutureError) { known = try one.known(at: ahead) } catch { reason = "\(error)" }
    let quantiles = try one.live.push(
      row.value, covariates: row.covariates, at: row.stamp, ahead: known)
    return LineForecast(
      uniqueId: row.series.isEmpty ? nil : row.series, cutoff: cadence.text(row.stamp),
      ds: ahead.map(cadence.text), levels: model.levels,
      quantiles: reason == nil ? quantiles : nil, reason: quantiles == nil ? nil : reason)
  }

  private func started(_ row: LiveRow) throws -> One {
    let names = reader.covariateNames
    let pace = Pace(model.recipe.cadence)
    if let composition {
      return One(
        live: try LiveSeries(
          composition.composition, recipes: composition.recipes, shelf: composition.shelf,
          series: row.series, covariates: names), pace: pace,
        known: try KnownRows(model.recipe, series: nil, name: row.series))
    }
    let known = kept(row.series)?.withCovariates(names)
    let goesOn = known?.timestamps.last.map { $0 < row.stamp } ?? false
    return One(
      live: try LiveSeries(
        model, series: row.series, covariates: names, after: goesOn ? known : nil, fitting: known),
      pace: pace, known: try knownRows(row.series))
  }

  /// What is known ahead of a series: the rows that the model keeps, and those of a file.
  private func knownRows(_ id: String) throws -> KnownRows {
    let more = future[id] ?? (id.isEmpty && future.count == 1 ? future.values.first : nil)
    var rows = try KnownRows(model.recipe, series: kept(id), name: id)
    if let more { rows.know(more, measure: model.recipe.measure) }
    return rows
  }

  /// The rows that the model keeps of a series; a table without names has one.
  private func kept(_ id: String) -> TimeSeries? {
    history[id] ?? (id.isEmpty && history.count == 1 ? history.values.first : nil)
  }

  // MARK: CSV

  /// The header of `csv(_:)`: `unique_id`, `cutoff`, then for each step ahead the columns of
  /// ``FutureForecast/csv(guardsFormulas:)`` with the step in their name, as `mamba-1`, `mamba-1-lo-90`.
  public var csvHeader: String {
    let steps = (1...model.horizon).flatMap { step in
      ForecastColumns(model: "\(name)-\(step)", levels: model.levels).all.map(\.name)
    }
    return (["unique_id", "cutoff"] + steps).joined(separator: ",")
  }

  /// A forecast as one line; cells are empty where there is none yet. Names are guarded as by
  /// ``FutureForecast/csv(guardsFormulas:)``.
  public func csv(_ forecast: LineForecast, guardsFormulas: Bool = true) -> String {
    let columns = ForecastColumns(model: name, levels: model.levels)
    let cells =
      forecast.quantiles?.flatMap(columns.cells)
      ?? Array(repeating: "", count: model.horizon * columns.all.count)
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

extension TimeSeries {
  /// The same rows with columns of such names beside the target; those that are not there are missing.
  fileprivate func withCovariates(_ names: [String]) -> TimeSeries {
    var series = self
    series.covariates = names.map { name in
      covariates.first { $0.name.lowercased() == name.lowercased() }
        ?? Covariate(name: name, values: [Double](repeating: .nan, count: count))
    }
    return series
  }
}
