import ApusData
import ApusEvaluation
import ApusModels
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Protocol of a comparison", .steadyMachine)
struct ProtocolTests {
  private static func options(_ models: [String] = ["lstm"]) -> ComparisonOptions {
    var options = ComparisonOptions()
    (options.models, options.seeds, options.measure) = (models, [3, 4], .level)
    (options.context, options.width, options.layers) = (12, 8, 1)
    (options.horizon, options.budget) = (2, .steps(4))
    return options
  }

  private static func walk(_ id: String, _ seed: UInt64, rows: Int = 160) -> TimeSeries {
    var level = 50.0
    return TimeSeries(
      id: id,
      values: Tensor(normal: [rows], key: RandomKey(seed: seed)).values.map { step in
        level += Double(step)
        return level
      })
  }

  /// The lines of a log that are trials.
  private static func lines(_ folder: String) throws -> [Trial] {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try String(contentsOfFile: folder + "/trials.jsonl", encoding: .utf8)
      .split(separator: "\n").map { try decoder.decode(Trial.self, from: Data($0.utf8)) }
  }

  /// A comparison of two models with two seeds that is interrupted in the third run.
  private static func cutShort(
    _ file: DataFile, _ options: ComparisonOptions, _ output: String
  ) async {
    let work = Task {
      try await file.compare(options, output: output) { state in
        if state.phase == "mamba, seed 1 of 2" { withUnsafeCurrentTask { $0?.cancel() } }
      }
    }
    _ = await work.result
  }

  @Test("every training run is a line with its losses, a resumed or repeated one no second line")
  func trials() async throws {
    try await withTemporaryFolder { try await Self.checkTrials($0) }
  }

  private static func checkTrials(_ folder: String) async throws {
    let file = DataFile(SeriesTable([walk("a", 1)]))
    let options = options(["lstm", "mamba"])
    await cutShort(file, options, folder)
    let cut = try lines(folder)
    #expect(cut.map(\.model) == ["lstm", "lstm"])
    #expect(cut.allSatisfy { $0.testLoss == nil && $0.validationLoss != nil })
    let record = try await file.compare(options, output: folder, resume: true)
    #expect(record.trials == TrialCount(here: 4, logged: 4))
    let all = try lines(folder)
    #expect(all.count == 4 && Set(all.map(\.key)).count == 4)
    #expect(all.prefix(2).map(\.key) == cut.map(\.key))
    for row in record.rows where row.kind == .model {
      let own = all.filter { $0.model == row.name }
      #expect(own.map(\.seed) == [3, 4] && own.map(\.steps) == [4, 4])
      #expect(own.compactMap(\.testLoss) == row.lossBySeed)
      #expect(own[0].settings["budget_steps"] == "4" && own[0].settings["width"] == "8")
    }
    // The same again counts nothing twice; another learning rate is something else that was tried. A line
    // that nobody can read stays.
    let path = folder + "/trials.jsonl"
    let damaged = try String(contentsOfFile: path, encoding: .utf8) + "{\"key\": 1}\n"
    try Data(damaged.utf8).write(to: URL(filePath: path))
    let again = try await file.compare(options, output: folder)
    #expect(again.trials == TrialCount(here: 4, logged: 4))
    var other = options
    (other.models, other.learningRate) = (["lstm"], 0.01)
    let more = try await file.compare(other, output: folder)
    #expect(more.trials == TrialCount(here: 2, logged: 6))
    #expect(
      more.trials?.sentence == """
        This comparison made 2 training runs; with 4 of earlier ones in this folder 6 are logged in \
        trials.jsonl.
        """)
    #expect(try String(contentsOfFile: path, encoding: .utf8).contains("{\"key\": 1}\n"))
  }

  @Test("a model that cannot be made was tried too")
  func failures() async throws {
    var options = Self.options(["transformer", "lstm"])
    options.width = 3  // no head of rotary positions has an odd size
    let record = try await compare(
      SeriesTable([Self.walk("a", 2)]), horizon: 2, budget: .steps(2), options: options
    ).record
    #expect(record.rows.first { $0.name == "transformer" }?.status == .failed)
    #expect(record.trials == TrialCount(here: 3, logged: 3))
  }

  @Test("windows, seeds and the set of the best are in the record, and said")
  func record() async throws {
    let record = try await compare(
      Self.walk("a", 5, rows: 200), horizon: 2, budget: .steps(3), options: Self.options()
    ).record
    let verdict = record.verdict
    #expect(verdict.independentWindows == verdict.windows / 2)
    let row = try #require(record.rows.first { $0.name == "lstm" })
    let losses = try #require(row.lossBySeed)
    #expect(losses.count == 2)
    let mean = (losses[0] + losses[1]) / 2
    #expect(row.loss == mean)
    // Of two numbers the deviation is half their distance, times the root of two.
    let deviation = abs(losses[0] - losses[1]) / 2.0.squareRoot()
    #expect(abs((row.lossDeviation ?? 0) - deviation) < 1e-12)
    let set = try #require(record.bestSet)
    let scored = record.ranked.filter { $0.setPValue != nil }
    #expect(scored.count == record.rows.filter { $0.status == .ok }.count)
    #expect(set.confidence == 0.9 && set.names.first == record.ranked.first?.name)
    #expect(
      Set(set.names) == Set(scored.filter { ($0.setPValue ?? 0) >= 0.1 }.map(\.name)))
    #expect(record.ranked.first?.setPValue == 1)
    let said = record.protocolSentences.joined(separator: " ")
    #expect(said.contains("of which \(verdict.windows / 2) share no target (the effective number)"))
    #expect(said.contains("at least 10 are needed before a model can be recommended"))
    #expect(said.contains("These cannot be told apart from the best (90\u{202F}% model"))
    #expect(said.contains("This comparison made 2 training runs; each is a line of trials.jsonl."))
    let page = try renderReport(record)
    #expect(page.contains("(the effective number)") && page.contains("Errors of "))
    #expect(try ComparisonRecord(json: record.json()) == record)
  }

  @Test("Clark and West's test is made where the baseline is a linear map of what the model sees")
  func nested() async throws {
    let record = try await compare(
      Self.walk("a", 7, rows: 240), horizon: 1, budget: .steps(3), options: Self.options()
    ).record
    let bar = try #require(record.verdict.baseline)
    let isNested = Baseline.isLinearMap(bar, lookback: 12, season: 1)
    #expect((record.nestedTest != nil) == isNested, "\(bar)")
    for (name, lookback, expected) in [
      ("naive", 1, true), ("ols", 5, true), ("nlinear", 5, true), ("ets", 50, false),
      ("seasonal-naive", 6, false), ("seasonal-naive", 7, true), ("window-mean-22", 21, false),
      ("window-mean-22", 22, true), ("window-mean-x", 22, false), ("boosted-trees", 9, false),
    ] {
      #expect(Baseline.isLinearMap(name, lookback: lookback, season: 7) == expected, "\(name)")
    }
  }

  @Test("of a panel, skill and win rate are fev's over series, failures imputed and counted")
  func panel() async throws {
    var short = Self.walk("short", 8)
    for row in 0..<62 { short.values[row] = .nan }
    let table = SeriesTable([Self.walk("a", 1), Self.walk("b", 2), short, Self.walk("c", 4)])
    let record = try await compare(
      table, horizon: 2, budget: .steps(3), options: Self.options()
    ).record
    let skill = try #require(record.seriesSkill)
    let outcomes = try #require(record.series)
    #expect(skill.baseline == "naive" && skill.series == 4 && skill.rows.count == record.rows.count)
    #expect(skill.row(of: "naive")?.skill == 0)
    for name in ["lstm", "drift"] {
      // No loss is a hundredth or a hundredfold of another here.
      let logs = outcomes.map { log(($0.losses[name] ?? .nan) / ($0.losses["naive"] ?? .nan)) }
      let expected = 1 - exp(logs.reduce(0, +) / 4)
      let found = try #require(skill.row(of: name))
      #expect(found.failures == 0 && abs(found.skill - expected) < 1e-9, "\(name)")
      let wins = outcomes.flatMap { one in
        record.rows.filter { $0.name != name }.map { other -> Double in
          let failed = record.rows.first { $0.name == other.name }?.message?.contains(
            "Series \(one.series) is")
          let (own, its) = (
            one.losses[name] ?? .nan,
            failed == true ? one.losses["naive"] ?? .nan : one.losses[other.name] ?? .nan
          )
          return own < its ? 1 : own == its ? 0.5 : 0
        }
      }
      #expect(abs(found.winRate - wins.reduce(0, +) / Double(wins.count)) < 1e-9, "\(name)")
    }
    // What could not be fitted to the short series has the naive loss there, and one failure.
    let failed = record.rows.filter { $0.message?.contains("Series short is too short") == true }
    for row in failed { #expect(skill.row(of: row.name)?.failures == 1, "\(row.name)") }
    let places = try #require(record.seriesPlaces)
    #expect(places.places.map(\.name) == ["best", "middle", "worst"])
    for place in places.places {
      #expect(outcomes[place.series].example?.series == outcomes[place.series].series)
    }
    #expect(outcomes.count { $0.example != nil } == 3)
    let page = try renderReport(record)
    #expect(
      page.contains("series skill")
        && page.contains("best: \(outcomes[places.places[0].series].series)"))
  }

  @Test("a model that still improves at its end is called unfinished, one that has learned is not")
  func unfinished() async throws {
    // The input of a row is the value of the next: much to learn, and a small rate to learn it at.
    let draws = Tensor(normal: [400], key: RandomKey(seed: 9)).values.map(Double.init)
    var series = TimeSeries(id: "f", values: [0] + draws.dropLast())
    series.covariates = [Covariate(name: "x", values: draws)]
    var options = Self.options()
    (options.covariates, options.seeds) = (["x"], [0])
    let slow = try await compare(
      series, horizon: 1, budget: .steps(60), options: options
    ).record
    let found = try #require(slow.rows.first { $0.name == "lstm" }?.unfinished)
    #expect(found.gain >= 0.01 && (0...1).contains(found.lastQuarter) && found.seconds > 0)
    #expect(slow.protocolSentences.contains { $0.hasPrefix("lstm is unfinished: ") })
    #expect(slow.advice.contains { $0.contains("--budget") })
    let none = try await compare(
      Self.walk("a", 3), horizon: 1, budget: .steps(60), options: Self.options()
    ).record
    #expect(none.rows.allSatisfy { $0.unfinished == nil })
  }

  @Test("what the direction of returns was worth is deflated by every run that is logged")
  func direction() async throws {
    let noise = Tensor(normal: [240], key: RandomKey(seed: 5)).values
    var price = 100.0
    let values = noise.enumerated().map { row, noise in
      price *= exp((row % 2 == 0 ? 0.01 : -0.01) + 0.002 * Double(noise))
      return price
    }
    var options = Self.options()
    (options.measure, options.horizon) = (.returns, 1)
    let report = try await compare(
      TimeSeries(id: "a", values: values), horizon: 1, budget: .steps(4), options: options)
    let found = try #require(report.record.directionSharpe)
    #expect(found.name == "lstm" && found.trials == 2)
    #expect(found.ratio > 1 && found.probability > 0.99)
    #expect(found.rows == report.record.verdict.windows)
    #expect(report.record.protocolSentences.contains(found.sentence))
    options.measure = .level
    let level = try await compare(
      TimeSeries(id: "a", values: values), horizon: 1, budget: .steps(4), options: options)
    #expect(level.record.directionSharpe == nil)
  }
}
