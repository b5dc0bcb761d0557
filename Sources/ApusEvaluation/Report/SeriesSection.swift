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
  let lines: [Line]

  init?(_ record: ComparisonRecord) {
    guard let series = record.series, series.count > 1 else { return nil }
    let judged = series.filter { !$0.losses.isEmpty }
    guard let own = record.verdict.recommended ?? record.verdict.baseline else { return nil }
    // A baseline is compared with the naive forecast, or with that of the season.
    let bars = record.verdict.recommended == nil ? ["seasonal-naive", "naive"] : []
    let other =
      (record.verdict.recommended == nil ? nil : record.verdict.baseline)
      ?? bars.first { bar in bar != own && judged.contains { $0.losses[bar] != nil } }
    wins = .text(Self.wins(judged))
    self.own = .text(own)
    self.other = .text(other ?? "")
    let compared = judged.compactMap { one -> (SeriesOutcome, Double, Double)? in
      guard let other, let loss = one.losses[own], let bar = one.losses[other] else { return nil }
      return (one, loss, bar)
    }.sorted { $0.1 * $1.2 < $1.1 * $0.2 }
    let last = compared.count - 1
    var places: [(String, Int)] = []
    if last >= 0 { places.append(("best", 0)) }
    if last >= 2 { places.append(("middle", last / 2)) }
    if last >= 1 { places.append(("worst", last)) }
    lines = places.map { place, index in
      let (one, loss, bar) = compared[index]
      return Line(
        place: .text(place), name: .text(one.series), rows: .text(Figures.count(one.rows)),
        loss: .text(Figures.significant(loss, 4)), bar: .text(Figures.significant(bar, 4)),
        ratio: .text(bar > 0 ? Figures.significant(loss / bar, 3) : Figures.missing),
        best: .text(one.best ?? ""))
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
