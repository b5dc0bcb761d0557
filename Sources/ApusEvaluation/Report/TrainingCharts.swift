/// Validation loss against wall-clock seconds, one line per trained model.
package func learningCurveChart(_ record: ComparisonRecord, cast: ChartCast, width: Double)
  -> Markup?
{
  func points(_ row: ComparisonRow) -> [(x: Double, y: Double)] {
    row.curve.compactMap { point in
      guard let loss = point.validationLoss.finite, point.seconds.isFinite else { return nil }
      return (point.seconds, loss)
    }
  }
  let lines = cast.roles.filter { $0.row.kind == .model }.map { ($0, points($0.row)) }
    .filter { $0.1.count > 1 }
  let finals = lines.compactMap { $0.1.last?.y }
  guard let best = finals.min(), let worst = finals.max() else { return nil }
  let barLoss = (cast.bar?.validationLoss).finite
  let training = (cast.lead?.curve ?? []).compactMap { point in
    point.trainLoss.finite.map { (x: point.seconds, y: $0) }
  }
  let floor = min(lines.flatMap { $0.1.map(\.y) }.min() ?? best, barLoss ?? best)
  // The first steps are far above everything; the plot starts where the models differ.
  let reach = max(1.5 * (worst - floor), 0.02 * abs(worst))
  let starts = lines.compactMap { $0.1.first?.y }
  let ceiling = min(starts.max() ?? worst, max(worst, barLoss ?? worst) + reach)
  // Of a training loss far below, only the beginning of the fall is shown.
  let lowest = min(floor, max(training.map(\.y).min() ?? floor, floor - reach / 2))
  let seconds = lines.flatMap { $0.1.map(\.x) }
  let margins = Chart.Margins(right: min(130, width * 0.3), bottom: 40, left: 50)
  var chart = Chart(
    width: width, height: 300, margins: margins,
    x: { ChartScale(.linear, over: [0] + seconds, from: $0, to: $1) },
    y: { ChartScale(.linear, over: [lowest, ceiling], from: $0, to: $1, padding: 0.04) })
  chart.drawYAxis("validation loss")
  chart.drawXAxis("seconds of training", about: width < 400 ? 4 : 6)
  for (role, points) in lines.reversed() {
    let last = points.last.map { Figures.significant($0.y, 4) } ?? ""
    chart.addLine(
      points, class: role.look + (role.look == "c1" ? " strong" : ""),
      tooltip: "\(role.row.name): \(last) after \(Figures.duration(points.last?.x ?? 0))")
  }
  chart.addLine(
    training, class: "c1 dotted", tooltip: "\(cast.lead?.name ?? ""): training loss")
  var ends = lines.compactMap { role, points in
    points.last.map { (name: role.row.name, y: $0.y, class: role.look) }
  }
  if let barLoss, let bar = cast.bar {
    let span = [chart.x.domain.lowerBound, chart.x.domain.upperBound]
    chart.addLine(
      span.map { ($0, barLoss) }, class: "c2 dashed",
      tooltip: "\(bar.name), the best baseline: \(Figures.significant(barLoss, 4))")
    ends.insert((bar.name, barLoss, "c2"), at: min(1, ends.count))
  }
  chart.addEndLabels(ends)
  return chart.svg(label: "Validation loss of each model against seconds of training")
}

/// Loss against latency, memory as area: what each point of quality costs.
package func tradeoffChart(_ record: ComparisonRecord, cast: ChartCast, width: Double) -> Markup? {
  let shown = cast.roles.filter {
    ($0.row.millisecondsP50.finite ?? 0) > 0 && $0.row.score != nil
  }
  guard shown.count > 1 else { return nil }
  let losses = shown.compactMap(\.row.score).sorted()
  // Rows far worse than the middle would press all others into one line; they rest at the edge.
  let middle = losses[losses.count / 2]
  let ceiling = min(losses[losses.count - 1], middle + 2 * max(middle - losses[0], middle * 0.02))
  let largest = Double(shown.compactMap(\.row.peakBytes).max() ?? 0)
  func radius(_ row: ComparisonRow) -> Double {
    guard largest > 0, let bytes = row.peakBytes else { return 5 }
    return max(3.5, 17 * (Double(bytes) / largest).squareRoot())
  }
  let format = ColumnFormat(for: losses)
  var chart = Chart(
    width: width, height: 300, margins: Chart.Margins(right: 18, bottom: 40, left: 50),
    x: {
      ChartScale(
        .logarithmic, over: shown.compactMap(\.row.millisecondsP50), from: $0, to: $1,
        padding: 0.12)
    },
    y: { ChartScale(.linear, over: [losses[0], ceiling], from: $0, to: $1, padding: 0.12) })
  chart.drawYAxis("test loss")
  chart.drawXAxis("ms per forecast (median, log scale)", about: width < 400 ? 4 : 6)
  var discs: [LabelPlacement.Disc] = []
  for role in shown.reversed() {
    guard let loss = role.row.score, let latency = role.row.millisecondsP50 else { continue }
    let point = (x: latency, y: min(loss, ceiling))
    let memory = role.row.peakBytes.map { ", \(Figures.bytes($0)) peak memory" } ?? ""
    let beyond = loss > ceiling ? " (beyond the scale)" : ""
    let tooltip =
      "\(role.row.name): loss \(format(loss))\(format.unit ?? "")\(beyond), "
      + "\(Figures.significant(latency)) ms\(memory)"
    chart.addDot(
      point, radius: radius(role.row), class: "bubble \(role.look)", tooltip: tooltip)
  }
  for role in shown {
    guard let loss = role.row.score, let latency = role.row.millisecondsP50 else { continue }
    let beyond = loss > ceiling ? " ↑\(format(loss))" : ""
    discs.append(
      LabelPlacement.Disc(
        x: chart.x(latency), y: chart.y(min(loss, ceiling)), radius: radius(role.row),
        label: Chart.shortened(role.row.name, to: 130) + beyond))
  }
  let bounds = LabelPlacement.Box(
    x: chart.left, y: chart.top - 6, width: chart.right - chart.left + 14,
    height: chart.bottom - chart.top + 6)
  for (role, (disc, box)) in zip(shown, zip(discs, LabelPlacement.around(discs, in: bounds))) {
    guard let box else { continue }
    // The anchor is the end that touches the disc, as the width is only estimated.
    let (x, anchor) =
      box.x + box.width <= disc.x
      ? (box.x + box.width, "end")
      : box.x >= disc.x ? (box.x, "") : (box.x + box.width / 2, "middle")
    chart.addText(
      disc.label, at: (x, box.y + 11), class: "name \(anchor) \(role.look)",
      tooltip: role.row.name)
  }
  return chart.svg(label: "Test loss against latency; the area of a disc is its peak memory")
}
