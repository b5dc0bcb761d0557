/// One forecast: recent history, the fan of quantiles, and what came.
///
/// - Parameter all: The fans that share the vertical scale, so that neighbors compare.
package func fanChart(
  _ example: ForecastExample, fan: ForecastFan, sharing all: [ForecastFan], look: String,
  timeAxis: ComparisonTask.TimeAxis, width: Double
) -> Markup? {
  guard let origin = example.history.last, fan.levels.count > 1 else { return nil }
  let steps = zip(example.actual, fan.quantiles).filter { $0.1.count == fan.levels.count }
  guard !steps.isEmpty else { return nil }
  // The horizon gets at least a third of the width, however long the history is.
  let kept = example.history.suffix(max(steps.count * 2, 24))
  let times = kept.map(\.time) + example.actual.map(\.time)
  let outer = all.flatMap { $0.quantiles.flatMap { [$0.first, $0.last].compactMap(\.finite) } }
  let values = kept.map(\.value) + example.actual.map(\.value) + outer
  var chart = Chart(
    width: width, height: 190,
    margins: Chart.Margins(top: 10, right: 8, bottom: 24, left: 50),
    x: {
      ChartScale(timeAxis == .utcSeconds ? .time : .linear, over: times, from: $0, to: $1)
    },
    y: { ChartScale(.linear, over: values, from: $0, to: $1, padding: 0.04) })
  chart.drawYAxis("", about: 4)
  chart.drawXAxis("", about: 4)
  chart.addSegment(
    (chart.x(origin.time), chart.top), (chart.x(origin.time), chart.bottom), class: "origin")
  for pair in 0..<(fan.levels.count / 2) {
    let (low, high) = (pair, fan.levels.count - 1 - pair)
    let band = steps.map { (x: $0.0.time, low: $0.1[low], high: $0.1[high]) }
    let share = Figures.percent(fan.levels[high] - fan.levels[low], decimals: 0)
    chart.addBand(
      [(origin.time, origin.value, origin.value)] + band, class: look,
      tooltip: "\(fan.name): \(share) interval")
  }
  if fan.levels.count % 2 == 1 {
    let middle = fan.levels.count / 2
    chart.addLine(
      [(origin.time, origin.value)] + steps.map { ($0.0.time, $0.1[middle]) }, class: look,
      tooltip: "\(fan.name): median")
  }
  chart.addLine(kept.map { ($0.time, $0.value) }, class: "past")
  chart.addLine(
    ([origin] + example.actual).map { ($0.time, $0.value) }, class: "past dotted")
  for point in example.actual where example.actual.count <= 40 {
    chart.addDot(
      (point.time, point.value), radius: 2.6, class: "actual",
      tooltip: "\(position(point.time, timeAxis)): \(Figures.significant(point.value, 4))")
  }
  return chart.svg(label: "Forecast of \(fan.name) at \(position(origin.time, timeAxis))")
}

/// A position on the time axis in words.
package func position(_ time: Double, _ axis: ComparisonTask.TimeAxis) -> String {
  if axis == .utcSeconds, let civil = CivilTime(seconds: time) { return civil.text }
  return time.isFinite && abs(time) < 1e15 ? Figures.fixed(time, 0) : Figures.missing
}

/// Observed minus stated probability, by stated probability; zero is perfect.
package func calibrationChart(_ record: ComparisonRecord, cast: ChartCast, width: Double)
  -> Markup?
{
  func points(_ row: ComparisonRow) -> [(x: Double, y: Double)] {
    row.calibration.filter { $0.nominal.isFinite && $0.empirical.isFinite }
      .sorted { $0.nominal < $1.nominal }
      .map { ($0.nominal, 100 * ($0.empirical - $0.nominal)) }
  }
  let lines = cast.roles.map { ($0, points($0.row)) }.filter { !$0.1.isEmpty }
  guard !lines.isEmpty else { return nil }
  let windows = record.task.testWindows.map {
    Double($0) / Double(max(record.task.horizon ?? 1, 1))
  }
  let noise = windows.flatMap { $0 >= 1 ? 196 * (0.25 / $0).squareRoot() : nil } ?? 0
  let seen = lines.filter { !$0.0.isQuiet }.flatMap { $0.1.map { abs($0.y) } }
  let reach = max(seen.max() ?? 0, noise, 2) * 1.1
  var chart = Chart(
    width: width, height: 300, margins: Chart.Margins(right: min(130, width * 0.3), bottom: 40),
    x: { ChartScale(.linear, over: [0, 1], from: $0, to: $1) },
    y: { ChartScale(.linear, over: [-reach, reach], from: $0, to: $1) })
  chart.drawYAxis("observed − stated, percentage points") {
    $0.value > 0 ? "+" + $0.label : $0.label
  }
  chart.drawXAxis("stated probability", about: 5) { Figures.percent($0.value, decimals: 0) }
  if let windows, windows >= 1 {
    let band = stride(from: 0, through: 20, by: 1).map { index in
      let p = Double(index) / 20
      let half = 196 * (p * (1 - p) / windows).squareRoot()
      return (x: p, low: -half, high: half)
    }
    chart.addBand(band, class: "noise", tooltip: "what chance alone explains (95 %)")
  }
  chart.addSegment((chart.left, chart.y(0)), (chart.right, chart.y(0)), class: "zero")
  for (role, points) in lines.reversed() {
    chart.addLine(
      points, class: role.look + (role.look == "c1" ? " strong" : ""), tooltip: role.row.name)
    for point in points where !role.isQuiet {
      let observed = Figures.percent(point.x + point.y / 100)
      chart.addDot(
        point, radius: role.look == "c1" || role.look == "c2" ? 3.5 : 2.5,
        class: "dot \(role.look)",
        tooltip:
          "\(role.row.name): \(observed) observed below the \(Figures.percent(point.x)) quantile")
    }
  }
  chart.addEndLabels(
    lines.filter { !$0.0.isQuiet }.compactMap { role, points in
      points.last.map { (role.row.name, $0.y, role.look) }
    })
  return chart.svg(label: "Observed minus stated probability of each quantile")
}

/// The histogram of the probability integral transform of one row; flat is perfect.
package func pitChart(_ row: ComparisonRow, ceiling: Double, look: String, width: Double)
  -> Markup?
{
  guard row.pit.count > 1, row.pit.allSatisfy({ $0.isFinite && $0 >= 0 }) else { return nil }
  let bins = Double(row.pit.count)
  var chart = Chart(
    width: width, height: 132,
    margins: Chart.Margins(top: 10, right: 8, bottom: 24, left: 44),
    x: { ChartScale(.linear, over: [0, 1], from: $0, to: $1) },
    y: { ChartScale(.linear, over: [0, ceiling * 100], from: $0, to: $1) })
  chart.drawYAxis("", about: 3) { $0.label + "\u{202F}%" }
  for (index, share) in row.pit.enumerated() {
    let (from, to) = (Double(index) / bins, Double(index + 1) / bins)
    chart.addBar(
      from: (from + 0.004, 0), to: (to - 0.004, 100 * share), class: "bar \(look)",
      tooltip: "\(Figures.percent(from, decimals: 0)) to \(Figures.percent(to, decimals: 0)): "
        + Figures.percent(share))
  }
  chart.drawXAxis("", about: 5) { Figures.percent($0.value, decimals: 0) }
  let even = chart.y(100 / bins)
  chart.addSegment((chart.left, even), (chart.right, even), class: "zero")
  return chart.svg(label: "Histogram of the probability integral transform of \(row.name)")
}

/// Test loss by steps ahead (of text: by position in the context).
package func horizonChart(_ record: ComparisonRecord, cast: ChartCast, width: Double) -> Markup? {
  func points(_ row: ComparisonRow) -> [(x: Double, y: Double)] {
    row.lossBySteps.filter { $0.loss.isFinite }.sorted { $0.step < $1.step }
      .map { (Double($0.step), $0.loss) }
  }
  let lines = cast.roles.map { ($0, points($0.row)) }.filter { $0.1.count > 1 }
  guard !lines.isEmpty else { return nil }
  let loud = lines.filter { !$0.0.isQuiet }
  let values = (loud.isEmpty ? lines : loud).flatMap { $0.1.map(\.y) }
  let steps = lines.flatMap { $0.1.map(\.x) }
  let isText = record.task.kind == .text
  let isWide = (steps.max() ?? 1) / max(steps.min() ?? 1, 1) > 100
  var chart = Chart(
    width: width, height: 300,
    margins: Chart.Margins(right: min(130, width * 0.3), bottom: 40, left: 50),
    x: { ChartScale(isWide ? .logarithmic : .linear, over: steps, from: $0, to: $1) },
    y: { ChartScale(.linear, over: values, from: $0, to: $1, padding: 0.06) })
  chart.drawYAxis(record.task.lossUnit.map { "loss, \($0)" } ?? "test loss")
  let unit = isText ? "position in the context" : "\(record.task.stepName)s ahead"
  chart.drawXAxis(unit, about: 6)
  for (role, points) in lines.reversed() {
    chart.addLine(
      points, class: role.look + (role.look == "c1" ? " strong" : ""), tooltip: role.row.name)
    for point in points where !role.isQuiet && points.count <= 30 {
      chart.addDot(
        point, radius: role.look == "c1" || role.look == "c2" ? 3.2 : 2.2,
        class: "dot \(role.look)",
        tooltip:
          "\(role.row.name), \(Figures.fixed(point.x, 0)): \(Figures.significant(point.y, 4))")
    }
  }
  chart.addEndLabels(
    loud.compactMap { role, points in points.last.map { (role.row.name, $0.y, role.look) } })
  return chart.svg(label: "Test loss of each row by \(unit)")
}
