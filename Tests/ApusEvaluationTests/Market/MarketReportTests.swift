import ApusTestSupport
import Foundation
import Testing

import ApusEvaluation

@Suite("Market report")
struct MarketReportTests {
  /// Forecasts of returns, `[models][dates][entities]`, and what came.
  private static func table(_ forecasts: [[[Double]]], _ outcomes: [[Double]]) -> ForecastTable {
    let models = forecasts.indices.map { ForecastTable.Model(name: "m\($0)", levels: [0.5]) }
    var rows: [ForecastTable.Row] = []
    for (date, values) in outcomes.enumerated() {
      for (entity, value) in values.enumerated() {
        rows.append(
          ForecastTable.Row(
            series: "e\(entity)", cutoff: "", ds: "\(2000 + date / 4)-01-0\(date % 4 + 1)", step: 1,
            date: date, actual: value, quantiles: forecasts.map { [$0[date][entity]] }))
      }
    }
    return ForecastTable(models: models, rows: rows)
  }

  @Test("portfolio, costs, turnover and drawdown are as by hand")
  func byHand() throws {
    // Four entities in two groups: the best two of each date are bought, the worst two sold.
    let outcomes = [
      [0.10, 0.00, 0.00, -0.10], [0.10, 0.00, 0.00, -0.10], [-0.10, 0.00, 0.00, 0.10],
    ]
    let scores = [[4.0, 3, 2, 1], [4.0, 3, 2, 1], [1.0, 2, 3, 4]]
    var options = MarketOptions()
    (options.groups, options.cost, options.isLogarithmic) = (2, 0.01, false)
    options.periodsPerYear = 1
    let report = try MarketReport(Self.table([scores], outcomes), options: options)
    let score = report.scores[0]
    // Each date earns (0.1 + 0 - 0 + 0.1) / 2.
    #expect(abs(score.portfolio.gross - 0.1) < 1e-12)
    // At first all is bought: 2. Then the drifted weights 0.55, 0.5, -0.5, -0.45 go back: 0.1. Then they
    // turn: from 0.55, 0.5, -0.5, -0.45 to -0.5, -0.5, 0.5, 0.5, which is 4.
    let changes = [2.0, 0.1, 4.0]
    let net = changes.map { 0.1 - 0.01 * $0 }
    for (found, wanted) in zip(score.portfolio.returns, net) {
      #expect(abs(found - wanted) < 1e-12)
    }
    #expect(abs(score.portfolio.turnover - (0.1 + 4.0) / 4) < 1e-12)
    #expect(score.portfolio.drawdown == 0)
    #expect(abs(score.portfolio.equity[2] - 1.08 * 1.099 * 1.06) < 1e-12)
    #expect(abs((score.rankIC?.mean ?? 0) - 0.948683) < 1e-6)
    // All four in equal weights earn nothing and pay for the first purchase and the drift.
    #expect(abs(report.universe.gross) < 1e-12)
    #expect(abs(report.universe.returns[0] + 0.01) < 1e-12 && report.universe.drawdown > 0.01)
  }

  @Test("a forecaster that knows earns, one that guesses does not; both count as trials")
  func skill() throws {
    var generator = SplitMix(state: 4)
    let outcomes = (0..<240).map { _ in (0..<40).map { _ in 0.01 * generator.normal() } }
    let knows = outcomes.map { $0.map { 0.1 * $0 + 0.002 * generator.normal() } }
    let guesses = outcomes.map { $0.map { _ in 0.001 * generator.normal() } }
    let report = try MarketReport(Self.table([guesses, knows], outcomes))
    #expect(report.dates == 240 && report.entities == 40)
    let (best, worst) = (report.scores[0], report.scores[1])
    #expect(
      best.model == "m1" && (best.rankIC?.statistic ?? 0) > 10 && (best.rankIC?.mean ?? 0) > 0.3)
    #expect(best.portfolio.sharpe > 5 && (best.portfolio.deflatedSharpe ?? 0) > 0.99)
    #expect((best.clarkWest ?? 1) < 0.001 && best.isInBestSet)
    #expect(abs(worst.rankIC?.mean ?? 1) < 0.05 && worst.portfolio.net < 0)
    #expect((worst.clarkWest ?? 0) > 0.01 && !worst.isInBestSet)
    #expect(best.years.count == 60 && best.years[0].year == "2000")
    let sum = best.years.map(\.net).reduce(0, +)
    #expect(abs(sum - best.portfolio.returns.reduce(0, +)) < 1e-9)
  }

  @Test("forecasts that are all the same buy nothing; too few entities are told")
  func degenerate() throws {
    let outcomes = (0..<5).map { _ in (0..<8).map { 0.01 * Double($0) } }
    let flat = outcomes.map { $0.map { _ in 0.0 } }
    var options = MarketOptions()
    options.groups = 4
    let report = try MarketReport(
      Self.table([flat, outcomes], outcomes), options: options)
    let score = try #require(report.scores.first { $0.model == "m0" })
    #expect(score.portfolio.gross == 0 && score.portfolio.turnover == 0)
    #expect(score.rankIC == nil && score.clarkWest == nil)
    #expect(throws: MetricError.self) { try MarketReport(Self.table([flat], outcomes)) }
  }

  @Test("the page shows every forecaster, and escapes names")
  func page() throws {
    let outcomes = (0..<12).map { date in (0..<8).map { sin(Double(date * 8 + $0)) / 100 } }
    var table = Self.table([outcomes], outcomes)
    table.models[0].name = "<b>"
    var options = MarketOptions()
    options.groups = 4
    let html = renderMarket(try MarketReport(table, options: options))
    #expect(html.contains("&lt;b&gt;") && !html.contains("<b>"))
    #expect(html.contains("<svg") && html.contains("equal weights") && html.contains("2002"))
  }
}
