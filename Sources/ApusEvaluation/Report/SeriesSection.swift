/// What came out for single series, where there are several, as the template fills it in.
struct SeriesSection {
  /// One series.
  struct Line {
    let place: Markup
    let name: Markup
    let rows: Markup
    let loss: Markup
    let bar: Markup
    let ratio: Markup
    let best: Markup
  }

  /// Who wins how often, in words.
  let wins: Markup
  /// The recommended forecaster, and what it is compared with.
  let own: Markup
  let other: Markup
  /// What the table shows.
  let title: Markup
  let lines: [Line]

  /// A drawing of each, where one was made.
  let panels: [ReportPage.Panel]

  init?(_ record: ComparisonRecord, cast: ChartCast) {
    guard let series = record.series, let found = record.seriesPlaces else { return nil }
    (own, other) = (.text(found.own), .text(found.other ?? "nothing else"))
    title = .text(
      "Loss of \(found.own)\(found.other.map { " beside that of \($0)" } ?? ""), by series.")
    wins = .text(Self.wins(series.filter { !$0.losses.isEmpty }))
    lines = found.places.map { place in
      let one = series[place.series]
      let (loss, bar) = (one.losses[found.own] ?? .nan, one.losses[found.other ?? ""] ?? .nan)
      return Line(
        place: .text(place.name), name: .text(one.series), rows: .text(Figures.count(one.rows)),
        loss: .text(Figures.significant(loss, 4)), bar: .text(Figures.significant(bar, 4)),
        ratio: .text(bar > 0 ? Figures.significant(loss / bar, 3) : Figures.missing),
        best: .text(one.best ?? ""))
    }
    panels = found.places.compactMap { place in
      let one = series[place.series]
      guard let example = one.example,
        let fan = example.fans.first(where: { $0.name == found.own }) ?? example.fans.first
      else { return nil }
      let look = cast.look(of: fan.name)
      return fanChart(
        example, fan: fan, sharing: [fan], look: look, task: record.task, width: 370
      ).map {
        let origin = record.task.timeAxis.text(example.history.last?.time ?? 0)
        return ReportPage.Panel(
          title: .text("\(place.name): \(one.series)"),
          subtitle: .text("\(fan.name) from \(origin)"), look: .text(look), drawing: $0)
      }
    }
  }

  /// "Of 414 series ets is best on 120, theta on 80 and mamba on 41."
  private static func wins(_ series: [SeriesOutcome]) -> String {
    let counts = Dictionary(grouping: series.compactMap(\.best)) { $0 }.mapValues(\.count)
    let ranked = counts.sorted { ($0.value, $1.key) > ($1.value, $0.key) }
    guard let first = ranked.first else { return "No series was judged." }
    var parts = ["\(first.key) is best on \(first.value)"]
    parts += ranked.dropFirst().prefix(4).map { "\($0.key) on \($0.value)" }
    let rest = ranked.dropFirst(5).reduce(0) { $0 + $1.value }
    if rest > 0 { parts.append("others on \(rest)") }
    let text =
      parts.count == 1
      ? parts[0] : parts.dropLast().joined(separator: ", ") + " and " + parts[parts.count - 1]
    return "Of \(series.count) series \(text)."
  }
}

extension ComparisonRecord {
  /// The best, the middle and the worst series of what is recommended, beside its rival.
  package struct SeriesPlaces {
    /// What is recommended.
    package let own: String
    /// What it is compared with; nil where there is nothing.
    package let other: String?
    /// "best", "middle", "worst", and the number of the series in ``ComparisonRecord/series``.
    package let places: [(name: String, series: Int)]
  }

  /// Nil with fewer than two series, and where nothing is recommended.
  ///
  /// A model is compared with the best baseline, a baseline with the naive forecast of the season or the
  /// naive one, and that with the best model. Series stand by the ratio of the two losses; by the loss where
  /// there is nothing to compare with.
  package var seriesPlaces: SeriesPlaces? {
    guard let series, series.count > 1, let own = verdict.use else {
      return nil
    }
    let bars =
      (verdict.recommended == nil
      ? ["seasonal-naive", "naive", verdict.model] : [verdict.baseline]).compactMap(\.self)
    let other = bars.first { bar in bar != own && series.contains { $0.losses[bar] != nil } }
    let compared = series.enumerated().compactMap {
      number, one -> (series: Int, loss: Double, bar: Double)? in
      guard let loss = one.losses[own] else { return nil }
      guard let other else { return (series: number, loss: loss, bar: 1) }
      return one.losses[other].map { (series: number, loss: loss, bar: $0) }
    }.sorted { (one: (series: Int, loss: Double, bar: Double), two) in
      one.loss * two.bar < two.loss * one.bar
    }
    let last = compared.count - 1
    var places: [(name: String, series: Int)] = []
    if last >= 0 { places.append(("best", compared[0].series)) }
    if last >= 2 { places.append(("middle", compared[last / 2].series)) }
    if last >= 1 { places.append(("worst", compared[last].series)) }
    return SeriesPlaces(own: own, other: other, places: places)
  }
}
