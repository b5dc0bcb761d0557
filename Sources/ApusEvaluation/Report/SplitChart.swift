/// The data in order of time and what each stretch was used for; gaps are hatched.
package func splitChart(_ record: ComparisonRecord, width: Double) -> Markup? {
  guard !record.split.isEmpty else { return nil }
  let series = record.overview.filter { $0.time.isFinite && $0.value.isFinite }
  let times = record.split.flatMap { [$0.times.lowerBound, $0.times.upperBound] }
  let isTime = record.task.timeAxis == .utcSeconds
  let hasSeries = series.count > 1
  var chart = Chart(
    width: width, height: hasSeries ? 210 : 90,
    margins: Chart.Margins(top: 40, right: 10, bottom: 26, left: hasSeries ? 50 : 4),
    x: { ChartScale(isTime ? .time : .linear, over: times, from: $0, to: $1) },
    y: { ChartScale(.linear, over: series.map(\.value), from: $0, to: $1, padding: 0.04) })
  for part in record.split {
    let (from, to) = (chart.x(part.times.lowerBound), chart.x(part.times.upperBound))
    let name = part.use == .gap ? "gap" : "zone \(part.use.rawValue)" + (hasSeries ? "" : " strong")
    let rows = Figures.count(part.rowCount)
    chart.add(
      .element(
        "rect",
        [
          "x": Figures.coordinate(from), "y": Figures.coordinate(chart.top),
          "width": Figures.coordinate(max(to - from, 1)),
          "height": Figures.coordinate(chart.bottom - chart.top), "class": name,
        ],
        [.element("title", [:], [.text("\(part.use.label): \(rows) rows")])]))
  }
  if hasSeries { chart.drawYAxis(record.task.measure ?? record.task.target, about: 4) }
  chart.drawXAxis("", about: width < 500 ? 4 : 8)
  for part in record.split where part.use != .gap {
    let inside = series.filter { part.times.contains($0.time) }
    chart.addLine(inside.map { ($0.time, $0.value) }, class: "thin \(part.use.rawValue)")
  }
  drawNames(of: record.split.filter { $0.use != .gap }, in: &chart)
  return chart.svg(label: "The data in order of time: training, validation and test")
}

/// The name of each part above its middle, apart from its neighbors, with its number of rows.
private func drawNames(of parts: [SplitPart], in chart: inout Chart) {
  let middles = parts.map { (chart.x($0.times.lowerBound) + chart.x($0.times.upperBound)) / 2 }
  let half = 34.0
  let range = (chart.left + half)...max(chart.left + half, chart.right - half)
  let places = LabelPlacement.spread(middles, gap: 2 * half, in: range)
  for (part, at) in zip(parts, places) {
    chart.addText(part.use.label, at: (at, 15), class: "part middle \(part.use.rawValue)")
    chart.addText(
      "\(Figures.count(part.rowCount))", at: (at, 31), class: "tick middle")
  }
}

extension SplitPart {
  /// How many rows it holds.
  package var rowCount: Int {
    let (span, overflow) = rows.upperBound.subtractingReportingOverflow(rows.lowerBound)
    return overflow || span == .max ? .max : span + 1
  }
}

extension SplitPart.Use {
  /// What the page calls it.
  package var label: String {
    switch self {
    case .train: "training"
    case .validation: "validation"
    case .test: "test"
    case .gap: "left out"
    }
  }
}
