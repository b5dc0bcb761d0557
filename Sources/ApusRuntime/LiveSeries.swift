import ApusData
import ApusModels

/// Live series of one forecaster of any kind: rows as a file has them in, quantiles of the measure out.
/// Rows of several series go through a trained model together.
struct LiveBank {
  /// A series that begins.
  struct Start {
    /// Its name, by which its season is found.
    var series: String
    /// Rows to go on from, with the columns of the bank; nil where the series begins with its first row.
    var history: TimeSeries?
    /// Rows to fit a baseline to, though the series begins; nil for those that come.
    var fitting: TimeSeries?
  }

  /// A row of one of the series.
  struct Row {
    /// The number of its series.
    var series: Int
    /// The target, not measured; NaN where missing.
    var value: Double
    /// In the order of the bank's columns; NaN where missing.
    var covariates: [Double]
    var stamp: Timestamp
    /// What is known of the rows after it.
    var ahead = RowsAhead.unknown
  }

  /// What follows from a row.
  struct Answer {
    /// `[P][Q]` in units of the measure; nil while nothing follows from the rows yet.
    var quantiles: [[Double]]?
    /// How the row itself was forecast before it.
    var surprise: Surprise
  }

  private let model: Model
  private let names: [String]
  private let composition: Composed?
  private let warmUp: Int
  /// One for each trained member.
  private var banks: [MemoryBank] = []
  private var series: [LiveSeries] = []

  /// Experts behind a router.
  struct Composed {
    let composition: Composition
    let recipes: [FeatureRecipe]
    let shelf: ExpertShelf<ModelFolder.SavedForecaster>
  }

  /// Creates a bank without series.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - composed: The experts of a composition, which the model stands for. Default: none.
  ///   - names: The columns beside the target, in the order in which rows will have them.
  ///   - warmUp: Rows of a series without history before the first forecast. Default: 0.
  ///   - keepsRows: Whether ``memory(of:)`` will be asked. Default: no.
  /// - Throws: ``RecipeError`` when a covariate is not there.
  init(
    _ model: Model, composed: Composed? = nil, covariates names: [String], warmUp: Int = 0,
    keepsRows: Bool = false
  ) throws {
    (self.model, self.names, self.warmUp, composition) = (model, names, warmUp, composed)
    if composed == nil {
      banks = model.forecasters.map { MemoryBank($0, keepsRows: keepsRows) }
    }
    _ = try LiveSeries(recipes, series: "", covariates: names, levels: model.levels)
  }

  private var recipes: [FeatureRecipe] { composition?.recipes ?? [model.recipe] }

  /// Begins series.
  ///
  /// - Returns: Their numbers.
  /// - Throws: ``RecipeError``, ``NotFiniteError``, `BaselineError`.
  @discardableResult
  mutating func start(_ starts: [Start]) throws -> Range<Int> {
    var histories: [[FeatureRow]] = []
    let first = series.count
    for start in starts {
      var live = try LiveSeries(
        recipes, series: start.series, covariates: names, levels: model.levels)
      live.take(start.history)
      let measured = try start.history.map { try model.recipe.measure.apply(to: $0) }
      live.remaining = start.history == nil ? warmUp : 0
      if let composition {
        live.kind = .composed(
          try ComposedStream(
            composition.composition, recipes: composition.recipes, shelf: composition.shelf,
            series: start.series))
      } else {
        var features = banks.isEmpty ? nil : FeatureStream(model.recipe, series: start.series)
        histories.append(try measured.map { try features?.push($0, model.recipe) ?? [] } ?? [])
        let known = try measured ?? start.fitting.map { try model.recipe.measure.apply(to: $0) }
        let taken = measured.map(model.recipe.rest) ?? []
        let baselines = try model.baselines.map {
          try LiveBaseline($0.rule, task: $0.task, fitting: known.map(model.recipe.rest), taken)
        }
        if banks.isEmpty, baselines.allSatisfy(\.isFixed) { live.remaining = 0 }
        live.kind = .own(features, baselines)
      }
      series.append(live)
    }
    try warm(histories, from: first)
    return first..<series.count
  }

  /// Puts series into the bank, with the rows that they go on from.
  private mutating func warm(_ histories: [[FeatureRow]], from first: Int) throws {
    guard !banks.isEmpty, let lookBack = model.forecasters.first?.config.context else { return }
    let borders = histories.map { $0.count / lookBack * lookBack }
    for index in banks.indices {
      banks[index].add(after: zip(histories, borders).map { $0[max(0, $1 - lookBack)..<$1] })
    }
    let longest = zip(histories, borders).map { $0.count - $1 }.max() ?? 0
    for row in 0..<longest {
      let rows = histories.indices.compactMap { number -> (series: Int, row: FeatureRow)? in
        let place = borders[number] + row
        guard place < histories[number].count else { return nil }
        return (first + number, histories[number][place])
      }
      for index in banks.indices { _ = try banks[index].push(rows) }
    }
  }

  /// Appends a row to some of the series and forecasts the rows after each.
  ///
  /// - Parameter rows: At most one for each series.
  /// - Returns: One answer for each row.
  /// - Throws: ``NotFiniteError``, `BaselineError`, and what loading an expert throws.
  mutating func push(_ rows: [Row]) throws -> [Answer] {
    var found = [[[[Double]]?]](repeating: [], count: rows.count)
    var besides = [[[[Double]]?]](repeating: [], count: rows.count)
    var batch: [(series: Int, row: FeatureRow)] = []
    var numbers: [Int] = []
    for (number, row) in rows.enumerated() {
      guard let step = try series[row.series].push(row) else { continue }
      switch step {
      case .own(let features, let baselines):
        besides[number] = baselines
        guard let features else { continue }
        batch.append((row.series, features))
        numbers.append(number)
      case .composed(let quantiles): found[number] = [quantiles]
      }
    }
    for index in banks.indices {
      for (number, quantiles) in zip(numbers, try banks[index].push(batch)) {
        found[number].append(quantiles)
      }
    }
    return rows.indices.map { number in
      series[rows[number].series].answer(combined(found[number] + besides[number]))
    }
  }

  /// What the members' quantiles come to; nil where one has none yet. Experts of a composition have their
  /// correction in them already.
  private func combined(_ members: [[[Double]]?]) -> [[Double]]? {
    let known = members.compactMap(\.self)
    guard composition == nil else { return known.first }
    return known.count == model.parts.count ? model.combined(known) : nil
  }
}

// MARK: Snapshots

extension LiveBank {
  /// Where a series stands, without its name and times.
  func standing(_ number: Int) -> Standing {
    var standing = series[number].standing
    // Members of one look-back rest on the same rows.
    standing.memory = banks.first?.memory(of: number)
    return standing
  }

  /// Begins series where others stood.
  ///
  /// - Parameter standings: Where they stood, by name, with rows to fit a baseline to.
  /// - Returns: False, and nothing is begun, where the model cannot go on from one of them.
  /// - Throws: As ``start(_:)``.
  mutating func resume(_ standings: [(name: String, Standing, fitting: TimeSeries?)]) throws -> Bool
  {
    var memories: [MemoryBank.Memory] = []
    var begun: [LiveSeries] = []
    for (name, standing, fitting) in standings {
      var live = try LiveSeries(
        recipes, series: name, covariates: names, levels: model.levels)
      var features = banks.isEmpty ? nil : FeatureStream(model.recipe, series: name)
      if features != nil {
        guard let scaler = standing.scaler, features?.resume(scaler) == true,
          let memory = standing.memory
        else { return false }
        memories.append(memory)
      }
      let asked = model.baselines
      guard asked.isEmpty || standing.values != nil else { return false }
      let known = try fitting.map { try model.recipe.measure.apply(to: $0) }
      let baselines = try asked.map {
        try LiveBaseline(
          $0.rule, task: $0.task, fitting: known.map(model.recipe.rest), standing.values ?? [])
      }
      live.kind = .own(features, baselines)
      live.resume(standing)
      begun.append(live)
    }
    series += begun
    for index in banks.indices { try banks[index].add(memories) }
    return true
  }

  /// Where a series stands.
  struct Standing {
    var measure: MeasureStream.Memory
    var errors: ErrorWatch.Memory
    var warmUp: Int
    var scaler: CausalScaler.Memory?
    var memory: MemoryBank.Memory?
    var values: [Double]?
  }
}

/// One of the series of a ``LiveBank``.
struct LiveSeries {
  enum Kind {
    /// Rows as trained members see them, nil where there are none, and the members that are baselines.
    case own(FeatureStream?, [LiveBaseline])
    case composed(ComposedStream)
    case none
  }

  /// What a row leads to: a row for the banks with the quantiles of baselines, or those of an expert.
  enum Step {
    case own(FeatureRow?, [[[Double]]?])
    case composed([[Double]]?)
  }

  var kind = Kind.none
  /// Rows to come before the first forecast.
  var remaining = 0
  private var measure: MeasureStream
  private let quantity: Measure
  /// Where the covariates of each recipe stand among the measured ones.
  private let places: [[Int]]
  /// How a baseline knows rows ahead; trained models do it themselves.
  private let known: KnownView
  private var watch: ErrorWatch
  private var surprise = Surprise()

  init(
    _ recipes: [FeatureRecipe], series: String, covariates names: [String], levels: [Double]
  ) throws {
    known = KnownView(recipes[0], series: series)
    watch = ErrorWatch(levels: levels)
    measure = MeasureStream(recipes.first?.measure ?? .level, covariates: names)
    quantity = measure.measure
    let found = measure.covariateNames
    let known = found.map { $0.lowercased() }
    places = try recipes.map { recipe in
      try recipe.covariates.map { name in
        guard let place = known.firstIndex(of: name.lowercased()) else {
          throw RecipeError.missingCovariate(name, known: found)
        }
        return place
      }
    }
  }

  /// Takes in rows that were before.
  mutating func take(_ history: TimeSeries?) {
    guard let history else { return }
    for row in 0..<history.count {
      _ = measure.push(history.values[row], covariates: history.covariates.map { $0.values[row] })
    }
  }

  /// Appends a row; nil where nothing follows from it.
  mutating func push(_ row: LiveBank.Row) throws -> Step? {
    surprise = Surprise()
    guard let measured = measure.push(row.value, covariates: row.covariates) else { return nil }
    surprise = watch.take(measured.value)
    let own = places.map { $0.map { measured.covariates[$0] } }
    switch kind {
    case .own(var features, var baselines):
      kind = .none
      defer { kind = .own(features, baselines) }
      let view = features?.push(
        measured.value, covariates: own.first ?? [], at: row.stamp, ahead: row.ahead)
      guard !baselines.isEmpty else { return .own(view, []) }
      let shift = known.row(own.first ?? [], at: row.stamp).shift
      let rest = shift.removed(from: measured.value)
      let shifts = known.rows(row.ahead).map(\.shift)
      var forecasts: [[[Double]]?] = []
      for index in baselines.indices {
        try baselines[index].take(rest)
        forecasts.append(try baselines[index].forecast()?.shifted(by: shifts).quantiles)
      }
      return .own(view, forecasts)
    case .composed(var stream):
      kind = .none
      defer { kind = .composed(stream) }
      return .composed(try stream.push(measured.value, covariates: own, at: row.stamp))
    case .none: return nil
    }
  }

  /// Where the series stands, without the memory of the bank.
  var standing: LiveBank.Standing {
    var standing = LiveBank.Standing(
      measure: measure.memory, errors: watch.remembered, warmUp: remaining)
    if case .own(let features, let baselines) = kind {
      (standing.scaler, standing.values) = (features?.memory, baselines.first?.recent)
    }
    return standing
  }

  /// Goes on from where another one stood.
  mutating func resume(_ standing: LiveBank.Standing) {
    measure.memory = standing.measure
    remaining = max(0, standing.warmUp)
    watch = watch.resumed(standing.errors)
  }

  /// What is said after a row: nothing before the series is warm.
  mutating func answer(_ quantiles: [[Double]]?) -> LiveBank.Answer {
    let isWarm = remaining == 0
    remaining = max(0, remaining - 1)
    guard isWarm, let quantiles else { return LiveBank.Answer(surprise: surprise) }
    let possible = quantity.possible(quantiles)
    watch.expect(possible.first)
    return LiveBank.Answer(quantiles: possible, surprise: surprise)
  }
}

extension FeatureStream {
  /// Appends the rows of a measured series.
  ///
  /// - Throws: ``RecipeError`` when a covariate is not there.
  fileprivate mutating func push(
    _ series: TimeSeries, _ recipe: FeatureRecipe
  ) throws -> [FeatureRow] {
    let columns = try recipe.covariates.map { name in
      guard let column = series.covariate(named: name) else {
        throw RecipeError.missingCovariate(name, known: series.covariates.map(\.name))
      }
      return column
    }
    return (0..<series.count).map { row in
      push(series.values[row], covariates: columns.map { $0[row] }, at: series.timestamps[row])
    }
  }
}
