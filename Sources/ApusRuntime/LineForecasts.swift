public import ApusData
import ApusModels
import ApusTensor

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
  /// `[P][Q]`; nil after a row from which nothing follows yet: the first price makes no return, and a
  /// series that begins warms up.
  public var quantiles: [[Double]]?
  /// Where the row lay in what had been forecast for it, in standard normal deviations within ±50; nil
  /// where nothing had been.
  public var anomaly: Double?
  /// The mean pinball loss one row ahead of about the last 50 rows over that of all rows of the stream;
  /// nil before 100 rows.
  public var drift: Double?
  /// Why there are no quantiles, where a row ahead is not known; nil otherwise.
  public var reason: String?
}

/// A forecaster that reads lines of text as they come and forecasts after each.
///
/// A series whose rows the model keeps goes on from them where its first line lies after the last of
/// them; else it begins with its first line. Where the backbone is recurrent every line costs the same,
/// and memory does not grow but for the number of series. Lines that are there at once step together; no
/// bit of a forecast depends on which those are.
public struct LineForecasts {
  /// What a line led to.
  public enum Outcome: Sendable {
    /// The forecast after its row.
    case forecast(LineForecast)
    /// Why it was passed over.
    case problem(RowError)
  }

  private let model: Model
  private let name: String
  private let composition: LiveBank.Composed?
  private let history: [String: TimeSeries]
  /// Rows that are known ahead beside those of the history, by series.
  private var future: [String: TimeSeries] = [:]
  private let warmUp: Int
  private let keepsRows: Bool
  private var reader: RowReader
  private var bank: LiveBank?
  private var numbers: [String: Int] = [:]
  /// Of each series: its name, first times, and last one.
  private var names: [String] = []
  private var paces: [Pace] = []
  private var latest: [Timestamp] = []
  private var known: [KnownRows] = []
  private var resumed: (path: String, snapshot: StreamSnapshot)?
  /// The times ahead of the last stamp: rows of many series share them.
  private var clock: Clock?

  /// Rows of a series that begins, before it is forecast: its scale rests on them. Default of `warmUp`.
  public static let usualWarmUp = 8

  private struct Clock {
    let stamp: Timestamp
    let cutoff: String
    let ahead: [Timestamp]
    let ds: [String]
  }

  /// A row that waits for its batch.
  private struct Waiting {
    let row: LiveRow
    let clock: Clock
  }

  /// Starts before the first line, with the model of a folder.
  ///
  /// - Parameters:
  ///   - folder: A forecaster, trained or classical, or a composition of trained ones.
  ///   - future: A CSV with times and the columns that the model knows ahead. Default: what the model keeps.
  ///   - options: What is known about the columns; the target is the model's where none is named.
  ///   - warmUp: Rows of a series that begins, before it is forecast. Default: ``usualWarmUp``.
  ///   - keepsRows: Whether there will be snapshots, ``save(to:)``. Default: no.
  /// - Throws: What is wrong with the folder, and ``SnapshotError/composition``.
  public init(
    _ folder: ModelFolder, futureAt future: String? = nil,
    options: SeriesOptions = SeriesOptions(), warmUp: Int = usualWarmUp, keepsRows: Bool = false
  ) throws {
    if case .composition(let composition) = folder.contents {
      guard !keepsRows else { throw SnapshotError.composition }
      try self.init(composition, options: options, warmUp: warmUp)
      if future != nil { throw ForecastError.nothingKnown(model: name) }
    } else {
      let model = try Model(folder)
      self.init(model, options: options, warmUp: warmUp, keepsRows: keepsRows)
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
  ///   - warmUp: Rows of a series that begins, before it is forecast. Default: ``usualWarmUp``.
  ///   - keepsRows: Whether there will be snapshots, ``save(to:)``. Default: no.
  public init(
    _ model: Model, options: SeriesOptions = SeriesOptions(), warmUp: Int = usualWarmUp,
    keepsRows: Bool = false
  ) {
    self.init(
      model, composed: nil, options: options, warmUp: warmUp, keepsRows: keepsRows)
  }

  /// Starts before the first line, with experts behind a router.
  ///
  /// - Parameters:
  ///   - composition: Forecasters behind a router.
  ///   - options: What is known about the columns; the target is the experts' where none is named.
  ///   - warmUp: Rows of a series that begins, before it is forecast. Default: ``usualWarmUp``.
  /// - Throws: What is wrong with an expert's folder, ``ForecastError/expertKnowsAhead``.
  public init(
    _ composition: Composition, options: SeriesOptions, warmUp: Int = usualWarmUp
  ) throws {
    try composition.require(.forecast)
    let shelf = composition.forecasters()
    let recipes = try composition.experts.indices.map {
      try composition.expert($0).forecaster().recipe
    }
    guard recipes.allSatisfy({ $0.known == nil }) else { throw ForecastError.expertKnowsAhead }
    self.init(
      Model(try shelf.model(composition.router.base), history: []),
      composed: LiveBank.Composed(composition: composition, recipes: recipes, shelf: shelf),
      options: options, warmUp: warmUp, keepsRows: false)
  }

  private init(
    _ model: Model, composed: LiveBank.Composed?, options: SeriesOptions, warmUp: Int,
    keepsRows: Bool
  ) {
    (self.model, composition, self.warmUp) = (model, composed, warmUp)
    self.keepsRows = keepsRows
    name = composed == nil ? model.name : "composition"
    history = Dictionary(model.history.map { ($0.id, $0) }, uniquingKeysWith: { one, _ in one })
    reader = Self.reader(of: model, recipes: composed?.recipes ?? [model.recipe], options: options)
  }

  /// What reads the rows of a table for a model, or for experts that read it each in a way of its own.
  static func reader(
    of model: Model, recipes: [FeatureRecipe], options: SeriesOptions
  ) -> RowReader {
    let measure = model.measure
    let wanted = Set(recipes.flatMap(\.covariates).map { $0.lowercased() })
    let isIntraday = if case .seconds = model.recipe.cadence.frequency { true } else { false }
    return RowReader(options: options.completed(by: model), isIntraday: isIntraday) { name in
      measure.needs(column: name)
        || measure.covariateName(name).map { wanted.contains($0.lowercased()) } ?? false
    }
  }

  /// Reads a line.
  ///
  /// - Parameter line: Without its end.
  /// - Returns: The forecast; nil for a header, a comment or an empty line.
  /// - Throws: `RowError` for a line that is passed over, and what ``push(_:_:)`` throws.
  public mutating func push(_ line: String) throws -> LineForecast? {
    var forecast: LineForecast?
    try push([line]) { outcome in
      switch outcome {
      case .forecast(let one): forecast = one
      case .problem(let error): throw error
      }
    }
    return forecast
  }

  /// Reads lines that are there at once.
  ///
  /// - Parameters:
  ///   - lines: Without their ends.
  ///   - body: Is given what each line led to, in their order; a header, a comment or an empty line leads
  ///     to nothing.
  /// - Throws: What makes going on pointless, after `body` was given what came before: `SeriesError`,
  ///   ``ForecastError``, ``RecipeError``, `BaselineError` and ``NotFiniteError``; and what `body` throws.
  public mutating func push(
    _ lines: some Sequence<String>, _ body: (Outcome) throws -> Void
  ) throws {
    var waiting: [Waiting] = []
    var series: Set<String> = []
    var problems: [(before: Int, RowError)] = []
    func flush(_ self: inout LineForecasts) throws {
      defer { (waiting, problems, series) = ([], [], []) }
      let (forecasts, failure) = try self.step(waiting)
      var told = problems[...]
      for place in 0...forecasts.count {
        while let problem = told.first, problem.before == place {
          try body(.problem(problem.1))
          told = told.dropFirst()
        }
        if place < forecasts.count { try body(.forecast(forecasts[place])) }
      }
      if let failure { throw failure }
    }
    var whole = WholeSeries()
    for line in lines {
      do {
        let found = try reader.line(line)
        if found.rows.count > 1, found.rows[0].series == found.rows[1].series {
          try flush(&self)
          for problem in found.problems { try body(.problem(problem)) }
          if whole.isFull(beside: found.rows[0].series) { try told(&whole, body) }
          whole.add(found.rows)
          continue
        }
        try told(&whole, body)
        for row in found.rows {
          let clock = try time(row.stamp)
          if series.contains(row.series) { try flush(&self) }
          series.insert(row.series)
          waiting.append(Waiting(row: row, clock: clock))
        }
        problems += found.problems.map { (waiting.count, $0) }
      } catch let error as RowError {
        problems.append((waiting.count, error))
      } catch {
        try flush(&self)
        throw error
      }
    }
    try told(&whole, body)
    try flush(&self)
  }

  /// Series that came whole, a line each.
  private struct WholeSeries {
    private(set) var series: [[LiveRow]] = []
    private var names: Set<String> = []
    private var count = 0
    /// Rows that wait at most, but for those of one series.
    private static let mostRows = 200_000

    /// Whether those that wait have to go before another one comes.
    func isFull(beside name: String) -> Bool { count > Self.mostRows || names.contains(name) }

    mutating func add(_ rows: [LiveRow]) {
      series.append(rows)
      names.insert(rows[0].series)
      count += rows.count
    }
  }

  /// Steps series that came whole side by side, and tells the forecast after the last row of each.
  private mutating func told(
    _ whole: inout WholeSeries, _ body: (Outcome) throws -> Void
  ) throws {
    let stacks = whole.series
    whole = WholeSeries()
    var last = [LineForecast?](repeating: nil, count: stacks.count)
    var failure: (any Error)?
    for place in 0..<(stacks.map(\.count).max() ?? 0) where failure == nil {
      let numbers = stacks.indices.filter { place < stacks[$0].count }
      let wave = try numbers.map { number in
        let row = stacks[number][place]
        return Waiting(row: row, clock: try time(row.stamp))
      }
      let (forecasts, wrong) = try step(wave)
      for (number, forecast) in zip(numbers, forecasts) where place + 1 == stacks[number].count {
        last[number] = forecast
      }
      failure = wrong
    }
    for forecast in last.compactMap(\.self) { try body(.forecast(forecast)) }
    if let failure { throw failure }
  }

  /// Steps rows of different series together, those before the first that makes going on pointless.
  private mutating func step(
    _ waiting: [Waiting]
  ) throws -> (forecasts: [LineForecast], failure: (any Error)?) {
    guard !waiting.isEmpty else { return ([], nil) }
    var bank = try self.bank ?? begun()
    self.bank = nil
    defer { self.bank = bank }
    let fresh = waiting.map(\.row).filter { numbers[$0.series] == nil }
    let added = try bank.start(fresh.map(start))
    for (row, number) in zip(fresh, added) {
      numbers[row.series] = number
      names.append(row.series)
      paces.append(Pace(model.recipe.cadence))
      known.append(try knownRows(row.series))
      latest.append(row.stamp)
    }
    var (reasons, rows, failure) = ([String?](), [LiveBank.Row](), (any Error)?.none)
    for one in waiting {
      let number = numbers[one.row.series] ?? 0
      do { try paces[number].take(one.row.stamp) } catch {
        failure = error
        break
      }
      latest[number] = one.row.stamp
      var (ahead, reason) = (RowsAhead.unknown, String?.none)
      do throws(KnownFutureError) { ahead = try known[number](at: one.clock.ahead) } catch {
        reason = "\(error)"
      }
      reasons.append(reason)
      rows.append(
        LiveBank.Row(
          series: number, value: one.row.value, covariates: one.row.covariates,
          stamp: one.row.stamp, ahead: ahead))
    }
    let forecasts = zip(zip(waiting, reasons), try bank.push(rows)).map { waiting, answer in
      let (one, reason) = waiting
      return LineForecast(
        uniqueId: one.row.series.isEmpty ? nil : one.row.series, cutoff: one.clock.cutoff,
        ds: one.clock.ds, levels: model.levels,
        quantiles: reason == nil ? answer.quantiles : nil, anomaly: answer.surprise.anomaly,
        drift: answer.surprise.drift, reason: answer.quantiles == nil ? nil : reason)
    }
    return (forecasts, failure)
  }

  /// The series of the snapshot, or none, when the columns are known.
  private mutating func begun() throws -> LiveBank {
    let columns = reader.covariateNames
    var bank = try LiveBank(
      model, composed: composition, covariates: columns, warmUp: warmUp, keepsRows: keepsRows)
    guard let (path, snapshot) = resumed else { return bank }
    guard snapshot.columns == columns else {
      throw SnapshotError.otherColumns(path: path, found: columns, expected: snapshot.columns)
    }
    let config = model.forecasters.first?.config
    let standings = snapshot.series.map { one in
      let standing = LiveBank.Standing(
        measure: one.measure, errors: one.errors, warmUp: one.warmUp, scaler: one.scaler,
        memory: config.flatMap { one.memory?.memory(inputs: $0.inputs, context: $0.context) },
        values: one.values.flatMap(PackedNumbers.numbers))
      let fitting = kept(one.name)?.withCovariates(columns)
      return (name: one.name, standing, fitting: fitting)
    }
    guard try bank.resume(standings) else {
      throw SnapshotError.damaged(path: path, reason: "it holds numbers that cannot be")
    }
    for (number, one) in snapshot.series.enumerated() {
      numbers[one.name] = number
      names.append(one.name)
      latest.append(one.latest)
      paces.append(Pace(model.recipe.cadence, one.pace))
      known.append(try knownRows(one.name))
    }
    resumed = nil
    return bank
  }

  // MARK: Snapshots

  /// Goes on from a snapshot, before the first line: rows up to those that it has seen are passed over
  /// in silence, ``passedOver`` of them.
  ///
  /// - Parameter path: A file that ``save(to:)`` wrote.
  /// - Throws: ``SnapshotError``, `FileError`.
  public mutating func resume(from path: String) throws {
    let snapshot: StreamSnapshot
    do {
      snapshot = try JSONValue.decode(
        StreamSnapshot.self, at: path, limit: StreamSnapshot.mostBytes)
    } catch let error as JSONFileError {
      throw SnapshotError.damaged(path: path, reason: "\(error)")
    }
    guard (1...StreamSnapshot.newestFormat).contains(snapshot.format) else {
      throw SnapshotError.damaged(
        path: path, reason: "its format is \(snapshot.format), which a newer version may know")
    }
    guard snapshot.model == model.identity else { throw SnapshotError.otherModel(path: path) }
    let times = snapshot.series.map { ($0.name, $0.latest) }
    let known = Dictionary(times, uniquingKeysWith: { one, _ in one })
    guard known.count == snapshot.series.count else {
      throw SnapshotError.damaged(path: path, reason: "it holds a series twice")
    }
    reader.passOver(upTo: known)
    resumed = (path, snapshot)
  }

  /// Rows that were passed over because the snapshot has seen them.
  public var passedOver: Int { reader.passedOver }

  /// Writes where the stream stands, durably and as a whole: a reader finds this snapshot or the one
  /// before. Nothing is written before the first row.
  ///
  /// - Parameter path: The file.
  /// - Throws: `ModelFolderError/cannotCreate(path:reason:)`.
  public func save(to path: String) throws {
    guard let bank else { return }
    let series = names.indices.map { number in
      let standing = bank.standing(number)
      return StreamSnapshot.Series(
        name: names[number], latest: latest[number], pace: paces[number].stamps,
        warmUp: standing.warmUp, measure: standing.measure, errors: standing.errors,
        scaler: standing.scaler, memory: standing.memory.map(StreamSnapshot.Rows.init),
        values: standing.values.map(PackedNumbers.text))
    }
    let snapshot = StreamSnapshot(
      model: model.identity, columns: reader.covariateNames, series: series)
    do {
      try Files().replace(path, with: try JSONValue(encoding: snapshot).text().utf8)
    } catch {
      throw ModelFolderError.cannotCreate(path: path, reason: "\(error)")
    }
  }

  private mutating func time(_ stamp: Timestamp) throws -> Clock {
    if let clock, clock.stamp == stamp { return clock }
    let cadence = model.recipe.cadence
    do throws(CadenceError) {
      let ahead = try cadence.stamps(after: stamp, count: model.horizon)
      let fresh = Clock(
        stamp: stamp, cutoff: cadence.text(stamp), ahead: ahead, ds: ahead.map(cadence.text))
      clock = fresh
      return fresh
    } catch {
      throw reader.problem("\(error)")
    }
  }

  private func start(_ row: LiveRow) -> LiveBank.Start {
    let known = kept(row.series)?.withCovariates(reader.covariateNames)
    let goesOn = known?.timestamps.last.map { $0 < row.stamp } ?? false
    return LiveBank.Start(series: row.series, history: goesOn ? known : nil, fitting: known)
  }

  /// What is known ahead of a series: the rows that the model keeps, and those of a file.
  private func knownRows(_ id: String) throws -> KnownRows {
    guard composition == nil else { return try KnownRows(model.recipe, series: nil, name: id) }
    let more = future[id] ?? (id.isEmpty && future.count == 1 ? future.values.first : nil)
    var rows = try KnownRows(model.recipe, series: kept(id), name: id)
    if let more { rows.know(more, measure: model.recipe.measure) }
    return rows
  }

  /// The rows that the model keeps of a series; a table without names has one.
  private func kept(_ id: String) -> TimeSeries? {
    history[id] ?? (id.isEmpty && history.count == 1 ? history.values.first : nil)
  }

  /// How forecasts are written as lines.
  public var format: LineFormat {
    LineFormat(model: name, levels: model.levels, horizon: model.horizon)
  }
}

/// The times of the first rows of a live series, by which one of another frequency is told.
private struct Pace {
  private let cadence: Cadence
  private(set) var stamps: [Timestamp] = []
  /// Fewer could be a holiday.
  private static let enough = 12

  init(_ cadence: Cadence, _ stamps: [Timestamp] = []) {
    (self.cadence, self.stamps) = (cadence, Array(stamps.prefix(Self.enough)))
  }

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
