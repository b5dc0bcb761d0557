/// Observed minus nominal coverage of each quantile, by its level; zero is perfect.
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
  chart.drawYAxis("observed − nominal, percentage points") {
    $0.value > 0 ? "+" + $0.label : $0.label
  }
  chart.drawXAxis("nominal probability", about: 5) { Figures.percent($0.value, decimals: 0) }
  if let windows, windows >= 1 {
    let band = stride(from: 0, through: 40, by: 1).map { index in
      let p = Double(index) / 40
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
  return chart.svg(label: "Observed minus nominal coverage of each quantile")
}

/// The histogram of the probability integral transform of one row; flat is perfect.
package func pitChart(_ row: ComparisonRow, ceiling: Double, look: String, width: Double)
  -> Markup?
{
  guard row.pit.count > 1, row.pit.allSatisfy({ $0.isFinite && $0 >= 0 }) else { return nil }
  let bins = Double(row.pit.count)
  var chart = Chart(
    width: width, height: 146,
    margins: Chart.Margins(top: 10, right: 20, bottom: 38, left: 44),
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
  chart.drawXAxis("probability integral transform", about: 5) {
    Figures.percent($0.value, decimals: 0)
  }
  let even = chart.y(100 / bins)
  chart.addSegment((chart.left, even), (chart.right, even), class: "zero")
  return chart.svg(label: "Histogram of the probability integral transform of \(row.name)")
}
