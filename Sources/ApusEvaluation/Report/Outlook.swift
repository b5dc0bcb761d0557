import Foundation

/// What is recommended and what it says about the time ahead, as the template fills it in.
struct Outlook {
  /// A step ahead of the only series.
  struct Step {
    let time: Markup
    let median: Markup
    let range: Markup
  }

  let title: Markup
  let fit: Markup
  let panels: [ReportPage.Panel]
  let hasSteps: Bool
  let share: Markup
  let steps: [Step]
  /// A link to the forecast of every series.
  let link: Markup

  /// The most steps of the table.
  private static let mostSteps = 24

  init?(_ record: ComparisonRecord, cast: ChartCast) {
    guard let recommendation = record.recommendation else { return nil }
    let task = record.task
    let count = task.horizon ?? recommendation.future.first?.times.count ?? 0
    title = .text("Next \(count == 1 ? task.stepName : "\(count) \(task.stepName)s")")
    fit = .text(recommendation.fit)
    let look = cast.pair.first { $0.row.name == recommendation.name }?.look ?? "c1"
    panels = recommendation.future.compactMap { example in
      guard let fan = example.fans.first,
        let drawing = fanChart(
          example, fan: fan, sharing: [fan], look: look, task: task,
          width: recommendation.future.count == 1 ? 780 : 370)
      else { return nil }
      let origin = task.timeAxis.text(example.history.last?.time ?? 0)
      return ReportPage.Panel(
        title: .text(example.series.flatMap { $0.isEmpty ? nil : $0 } ?? recommendation.name),
        subtitle: .text("from \(origin)"), look: .text(look), drawing: drawing)
    }
    let only = recommendation.future.count == 1 ? recommendation.future.first : nil
    (share, steps) = Self.steps(only, task)
    hasSteps = !steps.isEmpty
    let address =
      recommendation.csv.map { "data:text/csv;base64," + Data($0.utf8).base64EncodedString() }
      ?? "forecast.csv"
    link = .element("a", ["href": address, "download": "forecast.csv"], [.text("forecast.csv")])
  }

  /// The first steps with the median and the widest central interval.
  private static func steps(
    _ example: ForecastExample?, _ task: ComparisonTask
  ) -> (share: Markup, [Step]) {
    guard let example, let fan = example.fans.first, let low = fan.levels.first,
      let high = fan.levels.last,
      let middle = fan.levels.indices.min(by: {
        abs(fan.levels[$0] - 0.5) < abs(fan.levels[$1] - 0.5)
      })
    else { return (.empty, []) }
    let steps = zip(example.times, fan.quantiles).prefix(mostSteps).map { time, quantiles in
      func number(_ place: Int) -> String {
        quantiles.indices.contains(place)
          ? Figures.significant(quantiles[place], 4) : Figures.missing
      }
      return Step(
        time: .text(task.timeAxis.text(time)), median: .text(number(middle)),
        range: .text("\(number(0)) to \(number(quantiles.count - 1))"))
    }
    return (.text(Figures.percent(high - low, decimals: 0)), steps)
  }
}
