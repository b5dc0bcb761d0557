/// Draws a market report as one HTML page that needs nothing but itself: equity curves, a table, years.
///
/// - Parameter report: What was found.
/// - Returns: The whole document.
public func renderMarket(_ report: MarketReport) -> String {
  "<!DOCTYPE html>\n" + MarketPage(report: report).document.source + "\n"
}

private struct MarketPage {
  let report: MarketReport
  /// Forecasters whose curve and years are shown.
  private static let shown = 8

  var document: Markup {
    plainPage(
      "Market report",
      [
        .element("h1", [:], [.text("What the forecasts would have earned")]),
        .element("ul", [:], sentences.map { .element("li", [:], [.text($0)]) }),
        plainTable(Self.heads, report.rows),
        curve("The whole universe in equal weights", report.universe),
      ] + report.scores.prefix(Self.shown).flatMap(section))
  }

  private var sentences: [String] {
    let options = report.options
    let points = Figures.brief(options.cost * 10_000)
    let cost = options.cost > 0 ? "a trade costs \(points) basis points" : "a trade costs nothing"
    return [
      "\(Figures.count(report.dates)) dates, \(Figures.count(report.entities)) entities.",
      "Each date the highest of \(options.groups) groups of forecasts is bought and the lowest sold, in equal "
        + "weights; \(cost).",
      "RankIC is the rank correlation of forecasts with what came, ICIR its mean over its deviation, t over its "
        + "standard error. Clark-West p asks whether forecasts say more than 0; the best set holds those whose "
        + "squared error cannot be told from the smallest.",
      "Turnover is half the sum of absolute changes of weights a date. Returns are those of a year, not "
        + "compounded; Sharpe ratios are of a year, after costs.",
      "Deflated: the probability that the ratio is above what the best of the forecasters here would show by "
        + "chance. A year cannot tell a ratio of 0 from one of 2.",
    ]
  }

  private static let heads = MarketReport.heads

  private func section(_ score: MarketScore) -> [Markup] {
    [
      curve(score.model, score.portfolio),
      plainTable(
        ["year", "RankIC", "net return", "Sharpe", "drawdown"],
        score.years.map { year in
          [
            year.year, Figures.fixed(year.rankIC, 4), percent(year.net),
            Figures.fixed(year.sharpe, 2), percent(year.drawdown),
          ]
        }),
    ]
  }

  private func percent(_ value: Double) -> String { "\(Figures.fixed(100 * value, 1)) %" }

  private func curve(_ title: String, _ portfolio: Portfolio) -> Markup {
    let equity = portfolio.equity
    let places = equity.indices.map(Double.init)
    var chart = Chart(
      width: 960, height: 190, margins: Chart.Margins(top: 14, right: 10, bottom: 26, left: 56),
      x: { ChartScale(.linear, over: places, from: $0, to: $1) },
      y: { ChartScale(.linear, over: equity + [1], from: $0, to: $1, padding: 0.06) })
    chart.drawYAxis("", about: 4)
    chart.drawXAxis("", about: 6) { tick in
      let place = Int(tick.value)
      return portfolio.dates.indices.contains(place) ? portfolio.dates[place] : ""
    }
    let stride = max(1, equity.count / 2_000)
    chart.addLine(
      Swift.stride(from: 0, to: equity.count, by: stride).map { (places[$0], equity[$0]) },
      class: "")
    return .element(
      "figure", [:],
      [
        .element("figcaption", [:], [.text("\(title): the value of 1, after costs")]),
        chart.svg(label: "The value of 1 in \(title)"),
      ])
  }
}

extension MarketReport {
  /// The names of the columns of ``rows``.
  package static let heads = [
    "name", "RankIC", "ICIR", "t", "Clark-West p", "in best set", "turnover", "gross", "net",
    "Sharpe", "deflated", "drawdown",
  ]

  /// The forecasters, then the universe, in the cells of a table.
  package var rows: [[String]] {
    func percent(_ value: Double) -> String { "\(Figures.fixed(100 * value, 1)) %" }
    func number(_ value: Double?, _ digits: Int) -> String {
      value.map { Figures.fixed($0, digits) } ?? Figures.missing
    }
    func cells(_ portfolio: Portfolio) -> [String] {
      [
        Figures.fixed(portfolio.turnover, 2), percent(portfolio.gross), percent(portfolio.net),
        Figures.fixed(portfolio.sharpe, 2),
        portfolio.deflatedSharpe.map { Figures.fixed($0, 2) } ?? Figures.missing,
        percent(portfolio.drawdown),
      ]
    }
    return scores.map { score in
      [
        score.model, number(score.rankIC?.mean, 4), number(score.rankIC?.ratio, 3),
        number(score.rankIC?.statistic, 2),
        score.clarkWest.map(Figures.probability) ?? Figures.missing,
        score.isInBestSet ? "yes" : "no",
      ] + cells(score.portfolio)
    } + [
      ["equal weights"] + [String](repeating: Figures.missing, count: 5) + cells(universe)
    ]
  }
}
