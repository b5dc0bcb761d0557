import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Holidays and several seasons", .steadyMachine)
struct SeveralSeasonsTests {
  private static func error(
    _ table: SeriesTable, _ name: String, holidays: [String] = [], horizon: Int
  ) async throws -> Double {
    var options = BacktestOptions()
    (options.training.horizon, options.training.measure) = (horizon, .level)
    (options.training.context, options.training.width, options.training.layers) = (24, 16, 1)
    options.training.budget = .steps(40)
    options.training.holidays = holidays.isEmpty ? nil : try Holidays(holidays)
    options.windows = 8
    let result = try await Backtest(
      table, choices: [try ForecasterChoice(name)], options: options
    ).run()
    let metrics = try #require(result.summaries.first?.metrics)
    return try #require(metrics.first { $0.name == "MAE" || $0.name == "MASE" }?.value)
  }

  /// Hours with a season of a day and one of a week.
  private static func hours(longer: [Int]) throws -> SeriesTable {
    var generator = SplitMix(state: 4)
    let start = Date(timeIntervalSince1970: 1_672_531_200)
    let values = (0..<1_344).map { row -> Double in
      let week = 8 * sin(2 * Double.pi * Double(row) / 168)
      let half = 4 * cos(6 * Double.pi * Double(row) / 168)
      return 50 + 5 * sin(2 * Double.pi * Double(row) / 24) + week + half + generator.normal()
    }
    var table = SeriesTable([
      try TimeSeries(
        "load", dates: values.indices.map { start + Double($0) * 3_600 }, values: values)
    ])
    table.cadence.season = 24
    table.cadence.longerSeasons = longer
    return table
  }

  @Test(
    "a season of a week beside that of a day is seen by all",
    arguments: ["seasonal-naive", "ets", "theta", "lstm"])
  func weeks(name: String) async throws {
    let one = try await Self.error(Self.hours(longer: []), name, horizon: 24)
    let both = try await Self.error(Self.hours(longer: [168]), name, horizon: 24)
    // The noise alone has a mean absolute deviation of 0.8.
    #expect(both < 0.75 * one && both < 1.7, "\(name): \(both) against \(one)")
  }

  @Test("what reads seven seasons back without being told is none the worse for it")
  func ridge() async throws {
    let one = try await Self.error(Self.hours(longer: []), "seasonal-ridge", horizon: 24)
    let both = try await Self.error(Self.hours(longer: [168]), "seasonal-ridge", horizon: 24)
    #expect(both < 1.02 * one, "\(both) against \(one)")
  }

  @Test("rows without a place in it are refused with a sentence")
  func irregular() throws {
    var table = try Self.hours(longer: [168])
    table.cadence = Cadence(.irregular)
    table.cadence.longerSeasons = [168]
    let error = try #require(throws: RecipeError.self) {
      try FeatureRecipe(
        fitting: table, measure: .level, covariates: [],
        split: Split(training: table, horizon: 2))
    }
    #expect(error.description.contains("do not tell the place"), "\(error)")
  }

  /// Days of a shop that is closed on German holidays, and busy the day before.
  private static func shop() throws -> SeriesTable {
    var generator = SplitMix(state: 9)
    let holidays = try Holidays(["DE"])
    let start = Date(timeIntervalSince1970: 1_546_300_800)
    let dates = (0..<1_460).map { start + Double($0) * 86_400 }
    let values = dates.map { date -> Double in
      let (today, tomorrow) = (Timestamp(date), Timestamp(date + 86_400))
      let week = 1 + 0.3 * sin(2 * Double.pi * Double(today.weekday) / 7)
      let usual = 100 * week * exp(0.05 * generator.normal())
      return holidays.contains(today)
        ? 0.3 * usual : holidays.contains(tomorrow) ? 1.5 * usual : usual
    }
    return SeriesTable([try TimeSeries("shop", dates: dates, values: values)])
  }

  @Test("the day and the eve of a holiday are forecast", arguments: ["ets", "theta", "lstm"])
  func closed(name: String) async throws {
    let table = try Self.shop()
    var days = table
    // The last rows are Christmas and the days before it.
    days.series[0] = table.series[0].slice(0..<1_456)
    let without = try await Self.error(days, name, horizon: 7)
    let with = try await Self.error(days, name, holidays: ["DE"], horizon: 7)
    #expect(with < 0.8 * without, "\(name): \(with) against \(without)")
  }
}
