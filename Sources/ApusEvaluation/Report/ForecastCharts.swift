/// One forecast: recent history, the fan of quantiles, and what came where it is known.
///
/// The fans in `all` share the vertical scale, so that neighbors compare.
package func fanChart(
  _ example: ForecastExample, fan: ForecastFan, sharing all: [ForecastFan], look: String,
  task: ComparisonTask, width: Double
) -> Markup? {
  let steps = zip(example.times, fan.quantiles).filter { $0.1.count == fan.levels.count }
    .map { (time: $0.0, quantiles: $0.1) }
  guard let origin = example.history.last, fan.levels.count > 1, let last = steps.last else {
    return nil
  }
  // The horizon gets at least a third of the width, however long the history is.
  let kept = example.history.suffix(max(steps.count * 2, 24))
  let half = abs(last.time - origin.time) / Double(steps.count) / 2
  let times = kept.map(\.time) + example.times + [last.time + half]
  let outer = all.flatMap { $0.quantiles.flatMap { [$0.first, $0.last].compactMap(\.finite) } }
  let values = kept.map(\.value) + example.actual.map(\.value) + outer
  let isTime = task.timeAxis == .utcSeconds
  var chart = Chart(
    width: width, height: 200,
    margins: Chart.Margins(top: 24, right: 8, bottom: 24, left: 46),
    x: { ChartScale(isTime ? .time : .linear, over: times, from: $0, to: $1) },
    y: { ChartScale(.linear, over: values, from: $0, to: $1, padding: 0.04) })
  chart.drawYAxis(task.measure ?? task.target, about: 4)
  chart.drawXAxis("", about: 4)
  chart.addSegment(
    (chart.x(origin.time), chart.top), (chart.x(origin.time), chart.bottom), class: "origin")
  chart.addFan(fan, steps: steps, from: task.measure == "level" ? origin : nil, half: half, look)
  chart.addLine(kept.map { ($0.time, $0.value) }, class: "past")
  chart.addLine(([origin] + example.actual).map { ($0.time, $0.value) }, class: "past dotted")
  for point in example.actual where example.actual.count <= 40 {
    chart.addDot(
      (point.time, point.value), radius: 2.8, class: "actual",
      tooltip: "\(task.timeAxis.text(point.time)): \(Figures.significant(point.value, 4))")
  }
  return chart.svg(label: "Forecast of \(fan.name) at \(task.timeAxis.text(origin.time))")
}

extension Chart {
  /// The central intervals as nested bands, and the median.
  ///
  /// A level continues from its last value, so the fan opens at `origin`. A return does not;
  /// without an origin the bands begin `half` a step before the first quantiles.
  fileprivate mutating func addFan(
    _ fan: ForecastFan, steps: [(time: Double, quantiles: [Double])], from origin: SeriesPoint?,
    half: Double, _ look: String
  ) {
    guard let first = steps.first, let last = steps.last else { return }
    func points(_ level: Int) -> [(x: Double, y: Double)] {
      let inner = steps.map { (x: $0.time, y: $0.quantiles[level]) }
      if let origin { return [(origin.time, origin.value)] + inner }
      let start = (first.time - half, first.quantiles[level])
      return [start] + inner + [(last.time + half, last.quantiles[level])]
    }
    for low in 0..<(fan.levels.count / 2) {
      let high = fan.levels.count - 1 - low
      let share = Figures.percent(fan.levels[high] - fan.levels[low], decimals: 0)
      addBand(
        zip(points(low), points(high)).map { (x: $0.x, low: $0.y, high: $1.y) }, class: look,
        tooltip: "\(fan.name): \(share) interval")
    }
    if fan.levels.count % 2 == 1 {
      addLine(points(fan.levels.count / 2), class: look, tooltip: "\(fan.name): median")
    }
  }
}

extension ComparisonTask.TimeAxis {
  /// A position on this axis in words.
  package func text(_ time: Double) -> String {
    if self == .utcSeconds, let civil = ChartDate(seconds: time) { return civil.text }
    return abs(time) < 1e15 ? Figures.fixed(time, 0) : Figures.missing
  }
}
