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
  let span = (steps.max() ?? 1) - (steps.min() ?? 1)
  chart.drawXAxis(unit, about: span < 6 ? max(1, Int(span)) : 6)  // steps are whole
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
