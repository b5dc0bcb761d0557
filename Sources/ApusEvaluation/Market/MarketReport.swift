import ApusTensor
import Foundation

/// How forecasts of returns become portfolios.
public struct MarketOptions: Codable, Sendable, Hashable {
  /// Groups that entities are parted into by their forecasts, the first sold and the last bought. Default: 10.
  public var groups = 10
  /// What a trade costs, as a share of what is bought or sold. Default: 5 basis points.
  public var cost = 0.0005
  /// Periods of a year. Default: 252.
  public var periodsPerYear = 252.0
  /// Whether what came are logarithmic returns, as `apus backtest` writes them; else simple ones. Default: yes.
  public var isLogarithmic = true

  /// Creates the default options.
  public init() {}
}

/// A portfolio from date to date.
public struct Portfolio: Codable, Sendable, Hashable {
  /// The dates at whose ends returns were made, as the forecasts have them.
  public var dates: [String]
  /// Returns after costs, simple, one for each date.
  public var returns: [Double]
  /// Mean return of a year before and after costs.
  public var gross, net: Double
  /// Mean over deviation of the returns after costs, times the root of the periods of a year; 0 without deviation.
  public var sharpe: Double
  /// The probability that the Sharpe ratio is above what the best of all forecasters tried would have by chance;
  /// nil where it is not defined.
  public var deflatedSharpe: Double?
  /// The mean of half the sum of absolute changes of weights, at each date but the first.
  public var turnover: Double
  /// The deepest fall of the compounded returns from their highest, 0...1.
  public var drawdown: Double

  /// The compounded value of 1 after each date.
  public var equity: [Double] {
    var value = 1.0
    return returns.map { change in
      value *= max(0, 1 + change)
      return value
    }
  }
}

/// One forecaster on a market.
public struct MarketScore: Codable, Sendable, Hashable {
  /// One year.
  public struct Year: Codable, Sendable, Hashable {
    /// The year, by the first four signs of its dates.
    public var year: String
    /// Mean rank correlation of its dates.
    public var rankIC: Double
    /// The sum of returns after costs.
    public var net: Double
    /// See ``Portfolio/sharpe``.
    public var sharpe: Double
    /// See ``Portfolio/drawdown``.
    public var drawdown: Double
  }

  /// The forecaster.
  public var model: String
  /// Its rank correlations; nil where its forecasts order nothing.
  public var rankIC: RankIC?
  /// The portfolio that buys the last group and sells the first.
  public var portfolio: Portfolio
  /// Clark and West's p-value that forecasts are no better than 0, by the mean of each date; nil where it is not
  /// defined.
  public var clarkWest: Double?
  /// Whether it belongs to the set that holds the smallest squared error with a probability of 90 %.
  public var isInBestSet: Bool
  /// Year by year.
  public var years: [Year]
}

/// What forecasts of returns of many entities are worth.
///
/// At each date entities are ordered by their forecasts; the rank correlation with what came, and the returns
/// of the portfolio that buys the last group and sells the first, equal weights in each, that sum to 1 and
/// -1. Costs are paid on the change from the weights that the returns left: `r_p = Σ w r - c Σ|w - w⁺|`. Of
/// forecasts of several steps the first counts. The same universe, held in equal weights, is beside it.
public struct MarketReport: Codable, Sendable {
  /// How portfolios were made.
  public var options: MarketOptions
  /// Dates with at least two entities for each group.
  public var dates: Int
  /// Entities.
  public var entities: Int
  /// The whole universe in equal weights, rebalanced at each date.
  public var universe: Portfolio
  /// The forecasters, by their net return, best first.
  public var scores: [MarketScore]

  /// Judges forecasts.
  ///
  /// - Parameters:
  ///   - table: Forecasts of returns with what came.
  ///   - options: Groups, costs.
  /// - Throws: ``MetricError`` where fewer than three dates have two entities for each group.
  public init(_ table: ForecastTable, options: MarketOptions = MarketOptions()) throws {
    let panel = Panel(table, options)
    guard panel.dates.count >= 3 else {
      throw MetricError.tooFew(
        metric: "A market report, which needs dates with \(2 * options.groups) entities",
        found: panel.dates.count, needed: 3)
    }
    (self.options, dates, entities) = (options, panel.dates.count, panel.entities)
    universe = Self.held(panel, options, trials: 1, variance: 0) { row in
      let count = Double(row.count)
      return row.mapValues { _ in 1 / count }
    }
    let books = table.models.indices.map { model in panel.weights(model, groups: options.groups) }
    let plain = books.map { Self.traded(panel, options, $0) }
    let ratios = plain.map { Self.ratio($0.map(\.net)) }
    let variance =
      AuditStatistics.variance(ratios) * Double(ratios.count)
      / Double(max(1, ratios.count - 1))
    let set = Self.bestSet(panel)
    var scores: [MarketScore] = []
    for (index, model) in table.models.enumerated() {
      let portfolio = Self.portfolio(
        panel, options, plain[index], trials: books.count, variance: variance)
      let coefficients = try? RankIC(scores: panel.forecasts[index], outcomes: panel.outcomes)
      scores.append(
        MarketScore(
          model: model.name, rankIC: coefficients, portfolio: portfolio,
          clarkWest: panel.clarkWest(index), isInBestSet: set.contains(index),
          years: Self.years(panel, options, index, portfolio)))
    }
    self.scores = scores.sorted { $0.portfolio.net > $1.portfolio.net }
  }

  private static func ratio(_ returns: [Double]) -> Double {
    let deviation = AuditStatistics.variance(returns).squareRoot()
    return deviation > 0 ? AuditStatistics.mean(returns) / deviation : 0
  }

  /// Forecasters whose squared errors cannot be told from the smallest.
  private static func bestSet(_ panel: Panel) -> [Int] {
    var generator = PhiloxGenerator(RandomKey(seed: 0))
    let set = try? ModelConfidenceSet(
      losses: panel.squaredErrors(), bootstrap: BlockBootstrap(resamples: 500), using: &generator)
    return set?.members() ?? []
  }

  private static func years(
    _ panel: Panel, _ options: MarketOptions, _ model: Int, _ portfolio: Portfolio
  ) -> [MarketScore.Year] {
    var order: [String] = []
    var places: [String: [Int]] = [:]
    for (place, date) in panel.dates.enumerated() {
      let year = String(date.prefix(4))
      if places[year] == nil { order.append(year) }
      places[year, default: []].append(place)
    }
    return order.map { year in
      let rows = places[year] ?? []
      let returns = rows.map { portfolio.returns[$0] }
      let coefficients = rows.compactMap {
        spearman(panel.forecasts[model][$0], panel.outcomes[$0])
      }
      return MarketScore.Year(
        year: year, rankIC: AuditStatistics.mean(coefficients), net: returns.reduce(0, +),
        sharpe: ratio(returns) * options.periodsPerYear.squareRoot(), drawdown: drawdown(returns))
    }
  }
}

// Portfolios.
extension MarketReport {
  private struct Period {
    var gross, net, turnover: Double
  }

  private static func held(
    _ panel: Panel, _ options: MarketOptions, trials: Int, variance: Double,
    _ weights: ([Int: Double]) -> [Int: Double]
  ) -> Portfolio {
    let books = panel.returns.map(weights)
    return portfolio(
      panel, options, traded(panel, options, books), trials: trials, variance: variance)
  }

  /// The returns of a book of weights, date by date.
  private static func traded(
    _ panel: Panel, _ options: MarketOptions, _ books: [[Int: Double]]
  ) -> [Period] {
    var held: [Int: Double] = [:]
    return zip(books, panel.returns).map { weights, returns in
      var (gross, change) = (0.0, 0.0)
      for entity in Set(held.keys).union(weights.keys).sorted() {
        change += abs((weights[entity] ?? 0) - (held[entity] ?? 0))
      }
      held = [:]
      for entity in weights.keys.sorted() {
        let (weight, earned) = (weights[entity] ?? 0, returns[entity] ?? 0)
        gross += weight * earned
        held[entity] = weight * (1 + earned)
      }
      return Period(gross: gross, net: gross - options.cost * change, turnover: change / 2)
    }
  }

  private static func portfolio(
    _ panel: Panel, _ options: MarketOptions, _ periods: [Period], trials: Int, variance: Double
  ) -> Portfolio {
    let net = periods.map(\.net)
    let sharpe = try? DeflatedSharpe(returns: net, trials: trials, trialVariance: variance)
    return Portfolio(
      dates: panel.dates, returns: net,
      gross: AuditStatistics.mean(periods.map(\.gross)) * options.periodsPerYear,
      net: AuditStatistics.mean(net) * options.periodsPerYear,
      sharpe: ratio(net) * options.periodsPerYear.squareRoot(), deflatedSharpe: sharpe?.probability,
      turnover: AuditStatistics.mean(periods.dropFirst().map(\.turnover)), drawdown: drawdown(net))
  }

  private static func drawdown(_ returns: [Double]) -> Double {
    var (value, highest, deepest) = (1.0, 1.0, 0.0)
    for change in returns {
      value *= max(0, 1 + change)
      highest = max(highest, value)
      deepest = max(deepest, 1 - value / highest)
    }
    return deepest
  }
}

/// Forecasts and outcomes by date and entity.
private struct Panel {
  var dates: [String] = []
  var entities = 0
  /// `[models][dates][entities of the date]`.
  var forecasts: [[[Double]]] = []
  /// `[dates][entities of the date]`, as they were forecast.
  var outcomes: [[Double]] = []
  /// Simple returns by entity, date by date.
  var returns: [[Int: Double]] = []
  /// The entities of each date, in the order of ``outcomes``.
  private var places: [[Int]] = []

  init(_ table: ForecastTable, _ options: MarketOptions) {
    var names: [String: Int] = [:]
    var byDate: [String: [(entity: Int, row: ForecastTable.Row)]] = [:]
    for row in table.rows where row.step == 1 && row.actual.isFinite {
      guard row.quantiles.allSatisfy({ !$0.isEmpty }) else { continue }
      let entity = names[row.series] ?? names.count
      names[row.series] = entity
      byDate[row.ds, default: []].append((entity, row))
    }
    entities = names.count
    let middles = table.models.map { model in
      model.levels.indices.min { abs(model.levels[$0] - 0.5) < abs(model.levels[$1] - 0.5) } ?? 0
    }
    forecasts = table.models.map { _ in [] }
    for date in byDate.keys.sorted() {
      let rows = (byDate[date] ?? []).sorted { $0.entity < $1.entity }
      guard rows.count >= 2 * options.groups else { continue }
      dates.append(date)
      places.append(rows.map(\.entity))
      outcomes.append(rows.map(\.row.actual))
      for model in middles.indices {
        forecasts[model].append(rows.map { $0.row.quantiles[model][middles[model]] })
      }
      var earned: [Int: Double] = [:]
      for (entity, row) in rows {
        earned[entity] = options.isLogarithmic ? exp(row.actual) - 1 : row.actual
      }
      returns.append(earned)
    }
  }

  /// The weights of a forecaster at each date: the last group bought, the first sold.
  func weights(_ model: Int, groups: Int) -> [[Int: Double]] {
    dates.indices.map { date in
      let scores = forecasts[model][date]
      let order = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
      // Forecasts that are all the same order nothing.
      guard let low = order.first, let high = order.last, scores[low] < scores[high] else {
        return [:]
      }
      let size = order.count / groups
      var weights: [Int: Double] = [:]
      for place in order.prefix(size) { weights[places[date][place]] = -1 / Double(size) }
      for place in order.suffix(size) { weights[places[date][place]] = 1 / Double(size) }
      return weights
    }
  }

  /// `[models][dates]`: the mean squared error of each date.
  func squaredErrors() -> [[Double]] {
    forecasts.map { model in
      zip(model, outcomes).map { forecasts, outcomes in
        AuditStatistics.mean(zip(forecasts, outcomes).map { ($1 - $0) * ($1 - $0) })
      }
    }
  }

  /// Whether a forecaster says more than 0.
  func clarkWest(_ model: Int) -> Double? {
    let differences = zip(forecasts[model], outcomes).map { forecasts, outcomes in
      AuditStatistics.mean(
        zip(forecasts, outcomes).map { ClarkWest.difference($1, nested: 0, larger: $0) })
    }
    guard differences.contains(where: { $0 != 0 }) else { return nil }
    return (try? ClarkWest(differences: differences))?.pValue
  }
}
