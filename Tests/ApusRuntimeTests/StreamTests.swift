import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import Foundation
import Testing

@Suite("Forecasts row by row")
struct StreamTests {
  /// Business-day prices that wander, with one covariate.
  static func prices(_ count: Int, seed: UInt64 = 5) throws -> TimeSeries {
    var generator = PhiloxGenerator(RandomKey(seed: seed))
    var price = 100.0
    var values: [Double] = []
    for _ in 0..<count {
      price *= 1 + Double.random(in: -0.02...0.02, using: &generator)
      values.append(price)
    }
    let start = Timestamp(year: 2018, month: 1, day: 1) ?? Timestamp(secondsSinceEpoch: 0)
    return TimeSeries(
      id: "s",
      timestamps: try [start] + Cadence(.businessDays).stamps(after: start, count: count - 1),
      values: values,
      covariates: [Covariate(name: "volume", values: values.map { ($0 * 1000).rounded() })])
  }

  /// A model of random weights, large enough that every input shows.
  static func model(
    _ architecture: String, measure: Measure = .returns, context: Int = 8, window: Int = 5
  ) throws -> ModelFolder.SavedForecaster {
    let table = SeriesTable([try prices(120)], targetName: "close")
    let measured = try table.measured(as: measure)
    let recipe = try FeatureRecipe(
      fitting: measured, measure: measure, covariates: ["volume"],
      split: try Split(measured, horizon: 3), window: window > 0 ? window : nil)
    let config = try ForecasterConfig(
      .named(architecture), size: BackboneSize(width: 16, layers: 2, context: context),
      inputs: recipe.inputs, horizon: 3, levels: [0.1, 0.5, 0.9], window: window)
    let forecaster = try Forecaster(config, key: RandomKey(seed: 3))
    for parameter in forecaster.parameters
    where ["head.weight", "direct.weight"].contains(parameter.name) {
      parameter.set(Tensor(normal: parameter.shape, deviation: 0.5, key: RandomKey(seed: 4)))
    }
    return ModelFolder.SavedForecaster(forecaster: forecaster, recipe: recipe, target: "close")
  }

  static func frame(
    _ model: ModelFolder.SavedForecaster, _ series: TimeSeries
  ) throws -> SeriesFrame {
    try model.recipe.frame(model.recipe.measure.apply(to: series))
  }

  @Test(
    "equal those of a whole series", arguments: ["transformer", "mamba", "lstm"],
    [(8, 0), (8, 8), (13, 5)])
  func equalsBatch(architecture: String, form: (context: Int, window: Int)) throws {
    let model = try Self.model(architecture, context: form.context, window: form.window)
    var measured = try Measure.returns.apply(to: try Self.prices(60))
    measured.values[31] = .nan
    let frame = try model.recipe.frame(measured)
    let batch = SeriesForecast(model.forecaster, frame: frame, rows: 0..<frame.count)
    var stream = ForecastStream(model.forecaster, recipe: model.recipe)
    var worst = 0.0
    for row in 0..<frame.count {
      let forecast = try stream.push(
        measured.values[row], covariates: measured.covariates.map { $0.values[row] },
        at: measured.timestamps[row])
      for (one, other) in zip(forecast.joined(), batch.quantiles[row].joined()) {
        worst = max(worst, abs(one - other) / frame.scales[row])
      }
    }
    #expect(worst < 1e-5)
  }

  @Test(
    "of many series in one pass are those of each alone",
    arguments: ["transformer", "mamba", "lstm", "s5"], [(8, 0, 1), (13, 5, 1), (12, 4, 3)])
  func ofMany(architecture: String, form: (context: Int, window: Int, patch: Int)) throws {
    var model = try Self.model(architecture, context: form.context, window: form.window)
    if form.patch > 1 {
      var config = model.forecaster.config
      config.patch = form.patch
      model = ModelFolder.SavedForecaster(
        forecaster: try Forecaster(config, key: RandomKey(seed: 3)), recipe: model.recipe,
        target: "close")
    }
    let frames = try [40, 3, 200, 97].map { count in
      try Self.frame(model, try Self.prices(count, seed: UInt64(count)))
    }
    // Origins of every kind: each row, some rows, one, none.
    let rows = [Array(0..<39), [], stride(from: 11, to: 199, by: 4).map(\.self), [95]]
    let found = try SeriesForecast.quantiles(of: model.forecaster, frames: frames, after: rows)
    #expect(found.map(\.count) == rows.map(\.count))
    var worst = 0.0
    for (frame, (rows, found)) in zip(frames, zip(rows, found)) where !rows.isEmpty {
      let alone = SeriesForecast(model.forecaster, frame: frame, rows: 0..<frame.count).quantiles
      for (row, quantiles) in zip(rows, found) {
        for (one, other) in zip(quantiles.joined(), alone[row].joined()) {
          worst = max(worst, abs(one - other) / frame.scales[row])
        }
      }
    }
    #expect(worst < 1e-5)
  }

  @Test(
    "do not see what follows, to the bit", arguments: ["transformer", "mamba", "lstm"],
    Measure.allCases)
  func isCausal(architecture: String, measure: Measure) throws {
    let model = try Self.model(architecture, measure: measure)
    let series = try Self.prices(50)
    let frame = try Self.frame(model, series)
    let cut = 29  // a row of the measure; its own row of the series is one further for returns
    let all = SeriesForecast(model.forecaster, frame: frame, rows: 0..<cut + 1).quantiles
    let rows = measure == .level ? cut + 1 : cut + 2
    var changed = series
    for row in rows..<series.count {
      changed.values[row] = 1e6
      changed.covariates[0].values[row] = 0
    }
    let mutated = try Self.frame(model, changed)
    #expect(SeriesForecast(model.forecaster, frame: mutated, rows: 0..<cut + 1).quantiles == all)
    let short = try Self.frame(model, series.slice(0..<rows))
    #expect(SeriesForecast(model.forecaster, frame: short, rows: 0..<cut + 1).quantiles == all)
    #expect(all[cut - 1] != all[cut])
  }

  @Test("a season is taken off what the model sees, and put back on what it forecasts")
  func season() throws {
    let week: [Double] = [4, 1, 0, -2, 3, -7, 1]
    let monday = try #require(Timestamp(year: 2024, month: 1, day: 1))
    let stamps = (0..<90).map { row in
      Timestamp(secondsSinceEpoch: monday.secondsSinceEpoch + Int64(row) * 86_400)
    }
    let values = (0..<90).map { row -> Double in
      50 + week[row % 7] + (row % 2 == 0 ? 1e-3 : 0)
    }
    let series = TimeSeries(id: "s", timestamps: stamps, values: values)
    let table = SeriesTable([series])
    let recipe = try FeatureRecipe(
      fitting: table, measure: .level, covariates: [], split: try Split(table, horizon: 3))
    let config = try ForecasterConfig(
      .named("lstm"), size: BackboneSize(width: 8, layers: 1, context: 4), inputs: recipe.inputs,
      horizon: 3, levels: [0.5], window: 4)
    let forecaster = try Forecaster(config, key: RandomKey(seed: 1))
    for parameter in forecaster.parameters where parameter.name == "head.weight" {
      parameter.set(Tensor(zeros: parameter.shape))
    }
    let frame = try recipe.frame(series)
    #expect(frame.values.allSatisfy { abs($0 - 50) < 0.01 })
    let batch = SeriesForecast(forecaster, frame: frame, rows: 0..<90)
    var stream = ForecastStream(forecaster, recipe: recipe, series: "s")
    for row in 0..<90 {
      #expect(abs(frame.measured(row) - series.values[row]) < 1e-12)
      let live = try stream.push(series.values[row], at: series.timestamps[row])
      for step in 0..<3 {
        let expected = 50 + week[(row + 1 + step) % 7]
        #expect(abs(batch.quantiles[row][step][0] - expected) < 0.02)
        #expect(abs(live[step][0] - batch.quantiles[row][step][0]) < 1e-5)
      }
    }
  }

  @Test("read lines as a file is read", arguments: Measure.allCases)
  func lines(measure: Measure) throws {
    let model = try Self.model("mamba", measure: measure)
    let series = try Self.prices(40)
    var text = ["date,close,volume"]
    for row in 0..<series.count {
      text.append(
        "\(series.timestamps[row]),\(series.values[row]),\(series.covariates[0].values[row])")
    }
    var lines = LineForecasts(Model(model, history: []), options: SeriesOptions(), warmUp: 0)
    let forecasts = try text.compactMap { try lines.push($0) }
    #expect(forecasts.count == 40)
    #expect((forecasts[0].quantiles == nil) == (measure != .level))
    let table = try SeriesTable(
      parsingCSV: Array(text.joined(separator: "\n").utf8),
      options: SeriesOptions().completed(by: Model(model, history: [])))
    let batch = try FutureForecast(Model(model, history: []), table: table)
    #expect(batch.series[0].ds == forecasts[39].ds && batch.series[0].ds.count == 3)
    #expect(batch.series[0].cutoff == forecasts[39].cutoff)
    let quantiles = try #require(forecasts[39].quantiles)
    for (one, other) in zip(quantiles.joined(), batch.series[0].quantiles.joined()) {
      #expect(abs(one - other) < 1e-5 * max(1, abs(other)))
    }
    #expect(batch.csv().hasPrefix("unique_id,ds,mamba,mamba-lo-80,mamba-hi-80\ninput,2018-02-26,"))
    #expect(Self.text(lines.format.csv(forecasts[39])).split(separator: ",").count == 2 + 3 * 3)
    #expect(
      lines.format.csvHeader.hasPrefix(
        "unique_id,cutoff,anomaly,drift,mamba-1,mamba-1-lo-80,mamba-1-hi-80,mamba-2"))
  }

  private static func text(_ line: [UInt8]) -> String { String(decoding: line, as: UTF8.self) }

  /// Daily values with a week, as `ds,y`.
  private static func shop(_ count: Int) throws -> TimeSeries {
    let noise = Tensor(normal: [count], key: RandomKey(seed: 8)).values
    let start = Timestamp(year: 2022, month: 1, day: 3) ?? Timestamp(secondsSinceEpoch: 0)
    return TimeSeries(
      id: "shop",
      timestamps: try [start] + Cadence(.days(1)).stamps(after: start, count: count - 1),
      values: noise.enumerated().map { day, step in
        50 + 10 * Double(day % 7) + Double(step)
      })
  }

  @Test("of a baseline are those of its rule: anew, on from the rows it keeps, and without any")
  func baseline() throws {
    let series = try Self.shop(120)
    let table = SeriesTable([series], targetName: "y")
    let recipe = try FeatureRecipe(
      fitting: table, measure: .level, covariates: [], split: Split(table, horizon: 2))
    let task = ForecastTask(horizon: 2, levels: [0.1, 0.5, 0.9], seasonLength: 7, measure: .level)
    func model(_ name: String, history: [TimeSeries]) throws -> Model {
      Model(
        try Baseline.named(name, lookback: 14), task: task, lookback: 14, recipe: recipe,
        target: "y", history: history)
    }
    func text(_ series: TimeSeries) -> [String] {
      ["ds,y"] + zip(series.timestamps, series.values).map { "\($0),\($1)" }
    }
    var fitted = try Baseline.named("theta", lookback: 14)
    try fitted.fit(series.slice(0..<100).values, task: task)
    let known = try fitted.forecasts(series.values, origins: Array(30...120), task: task)
    let kept = try model("theta", history: [series.slice(0..<100)])
    // The rows that it keeps once more: it begins anew, with the parameters of all of them.
    var lines = LineForecasts(kept, warmUp: 0)
    let replayed = try text(series).compactMap { try lines.push($0) }
    #expect(replayed.count == 120)
    for (forecast, expected) in zip(replayed[29...], known) {
      #expect(forecast.quantiles == expected.quantiles)
    }
    // Rows after them: it goes on.
    lines = LineForecasts(kept, warmUp: 0)
    let after = try (["ds,y"] + text(series)[101...]).compactMap { try lines.push($0) }
    #expect(after.map(\.quantiles) == known.suffix(20).map(\.quantiles))
    // No rows kept: it is fitted to those that come, as soon as they are enough.
    lines = LineForecasts(try model("theta", history: []), warmUp: 0)
    let fresh = try text(series).compactMap { try lines.push($0)?.quantiles }
    var needed = 0
    do { try fitted.fit([1], task: task) } catch BaselineError.historyTooShort(_, _, let rows) {
      needed = rows
    }
    #expect(needed > 1 && fresh.count == 120 - needed + 1)
    var own = try Baseline.named("theta", lookback: 14)
    let count = 120 - fresh.count + 1
    try own.fit(Array(series.values.prefix(count)), task: task)
    #expect(
      try fresh[0] == own.forecasts(series.values, origins: [count], task: task)[0].quantiles)
  }

  @Test("of a panel reach every series: too short gets the naive forecast, empty is skipped")
  func panel() throws {
    let long = try Self.shop(60)
    let table = SeriesTable([long], targetName: "y")
    let recipe = try FeatureRecipe(
      fitting: table, measure: .level, covariates: [], split: Split(table, horizon: 2))
    let model = Model(
      .linear(lookback: 14),
      task: ForecastTask(horizon: 2, seasonLength: 7, measure: .level), lookback: 14,
      recipe: recipe, target: "y", history: [])
    var (short, empty) = (long.slice(50..<60), long.slice(0..<30))
    (short.id, empty.id) = ("short", "empty")
    empty.values = [Double](repeating: .nan, count: 30)
    var panel = SeriesTable([long, short, empty], targetName: "y")
    panel.cadence = table.cadence
    let forecast = try FutureForecast(model, table: panel)
    #expect(forecast.series.map(\.uniqueId) == ["shop", "short"])
    #expect(forecast.series[0].fallback == nil)
    #expect(forecast.series[1].fallback?.contains("needs at least") == true)
    let median = forecast.series[1].quantiles[0][4]
    #expect(abs(median - short.values[9]) < 30)
    #expect(forecast.skipped.map(\.uniqueId) == ["empty"] && forecast.notes.count == 2)
    #expect(throws: BaselineError.self) {
      try FutureForecast(model, table: SeriesTable([short], targetName: "y"))
    }
  }

  @Test("go on after a bad row, and need the model's columns")
  func badLines() throws {
    let model = try Self.model("lstm")
    var lines = LineForecasts(Model(model, history: []), options: SeriesOptions(), warmUp: 0)
    #expect(try lines.push("date,close,volume") == nil)
    #expect(try lines.push("2018-01-01,100,5") != nil)
    #expect(throws: RowError.self) { try lines.push("2018-01-02,oops,5") }
    #expect(try lines.push("2018-01-03,101,5")?.quantiles != nil)
    var missing = LineForecasts(Model(model, history: []), options: SeriesOptions(), warmUp: 0)
    _ = try missing.push("date,close")
    #expect(throws: RecipeError.missingCovariate("ln(1+volume)", known: [])) {
      try missing.push("2018-01-01,100")
    }
  }

  @Test("keep the series of a long table apart")
  func manySeries() throws {
    let model = try Self.model("mamba")
    var options = SeriesOptions()
    options.id = ["unique_id"]
    var both = LineForecasts(Model(model, history: []), options: options, warmUp: 0)
    var alone = LineForecasts(Model(model, history: []), options: SeriesOptions(), warmUp: 0)
    _ = try both.push("unique_id,date,close,volume")
    _ = try alone.push("date,close,volume")
    for row in 0..<12 {
      let (a, b) = (try Self.prices(12), try Self.prices(12, seed: 9))
      let line = "\(a.timestamps[row]),\(a.values[row]),7"
      let first = try both.push("a,\(line)")
      _ = try both.push("b,\(b.timestamps[row]),\(b.values[row]),9")
      #expect(try alone.push(line)?.quantiles == first?.quantiles)
      #expect(first?.uniqueId == "a")
    }
  }

  @Test("name the model and the weight when they are not finite", arguments: Measure.allCases)
  func notFinite(measure: Measure) throws {
    let model = try Self.model("lstm", measure: measure)
    let head = try #require(model.forecaster.parameters.last { $0.shape.count > 1 })
    head.set(Tensor(repeating: .nan, head.shape))
    let table = SeriesTable([try Self.prices(20)], targetName: "close")
    let batch = #expect(throws: NotFiniteError.self) {
      try FutureForecast(Model(model, history: []), table: table)
    }
    #expect(batch?.model == "lstm" && batch?.tensor == head.name)
    #expect(batch?.description.contains("series 's'") == true)
    var lines = LineForecasts(Model(model, history: []), options: SeriesOptions(), warmUp: 0)
    _ = try lines.push("date,close,volume")
    _ = measure == .level ? nil : try lines.push("2018-01-01,100,5")
    let live = #expect(throws: NotFiniteError.self) { try lines.push("2018-01-02,101,5") }
    #expect(live?.tensor == head.name)
  }

  @Test("pass over a row from whose time nothing can follow")
  func beyondTime() throws {
    let model = try Self.model("lstm")
    var lines = LineForecasts(Model(model, history: []), options: SeriesOptions(), warmUp: 0)
    _ = try lines.push("step,close,volume")
    #expect(try lines.push("1,100,5") != nil)
    #expect(throws: RowError.self) { try lines.push("9223372036854774784,101,5") }
    #expect(try lines.push("999999999999999,101,5")?.ds.count == 3)
  }

  @Test(
    "quote names, and guard those that begin a formula",
    arguments: [
      ("=1+1", "'=1+1", "=1+1"), ("@x", "'@x", "@x"), ("-x", "'-x", "-x"), ("-1.5", "-1.5", "-1.5"),
      ("+1", "+1", "+1"), ("\tx", "'\tx", "\tx"), ("a\r\nb", "\"a\r\nb\"", "\"a\r\nb\""),
      ("a\"\u{301}b", "\"a\"\"\u{301}b\"", "\"a\"\"\u{301}b\""), ("=a,b", "\"'=a,b\"", "\"=a,b\""),
      ("\r=1", "\"'\r=1\"", "\"\r=1\""), ("plain", "plain", "plain"),
    ])
  func names(name: String, guarded: String, bare: String) throws {
    let model = try Self.model("lstm")
    var one = try Self.prices(20)
    one.id = name
    let forecast = try FutureForecast(
      Model(model, history: []), table: SeriesTable([one], targetName: "close"))
    #expect(forecast.csv().utf8.starts(with: try header(forecast) + guarded.utf8 + ",".utf8))
    let plain = forecast.csv(guardsFormulas: false)
    #expect(plain.utf8.starts(with: try header(forecast) + bare.utf8 + ",".utf8))
    var lines = LineForecasts(Model(model, history: []), options: SeriesOptions(), warmUp: 0)
    _ = try lines.push("date,close,volume")
    var live = try #require(try lines.push("2018-01-01,100,5"))
    live.uniqueId = name
    #expect(lines.format.csv(live).starts(with: Array(guarded.utf8) + ",".utf8))
    #expect(lines.format.csv(live, guardsFormulas: false).starts(with: Array(bare.utf8) + ",".utf8))
  }

  private func header(_ forecast: FutureForecast) throws -> [UInt8] {
    let line = try #require(forecast.csv().split(separator: "\n").first)
    return Array(line.utf8) + [10]
  }

  @Test("scale covariates by training rows alone")
  func fitsOnTraining() throws {
    var table = SeriesTable([try Self.prices(40)], targetName: "close")
    func recipe() throws -> FeatureRecipe {
      try FeatureRecipe(
        fitting: table, measure: .level, covariates: ["volume"], split: Split(table, horizon: 1))
    }
    let fitted = try recipe()
    for row in 28..<40 { table.series[0].covariates[0].values[row] = 1e9 }
    #expect(try recipe() == fitted)
    table.series[0].covariates[0].values[27] = 1e9
    #expect(try recipe() != fitted)
  }

  @Test("say so when a series never moves")
  func noHistory() throws {
    let model = try Self.model("mamba")
    var flat = try Self.prices(10)
    for row in flat.values.indices { flat.values[row] = 5 }
    #expect(throws: ForecastError.noHistory(series: "s", rows: 9)) {
      try FutureForecast(Model(model, history: []), table: SeriesTable([flat], targetName: "close"))
    }
  }
}
