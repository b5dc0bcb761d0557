/// What the errors of the recommended forecaster still hold, as the template fills it in.
struct ResidualSection {
  let title: Markup
  let sentences: [Markup]
  let errors: ReportPage.Drawing?
  let correlations: ReportPage.Drawing?

  init?(_ record: ComparisonRecord, cast: ChartCast) {
    guard let checks = record.residuals else { return nil }
    let isPanel = (record.series?.count ?? 1) > 1
    title = .text("Errors of \(checks.name)")
    sentences = checks.sentences(ofMany: isPanel).map { .text(ReportPage.unbroken($0)) }
    let look = cast.look(of: checks.name)
    errors = ReportPage.Drawing {
      errorChart(checks, look: look, task: record.task, width: $0)
    }
    correlations = ReportPage.Drawing { correlationChart(checks, look: look, width: $0) }
  }
}

extension ResidualChecks {
  /// What was found, in sentences.
  ///
  /// - Parameter ofMany: Whether the error of a date is the mean over several series.
  /// - Returns: What the errors are, then bias, dependence and spread.
  public func sentences(ofMany: Bool) -> [String] {
    let what =
      "What came less the median forecast one step ahead, at \(Figures.count(count)) dates of the test part"
      + (ofMany ? ", the mean over the series, in the unit of the loss." : ".")
    return [what, biasSentence, dependenceSentence, spreadSentence].compactMap(\.self)
  }

  private var biasSentence: String {
    let range =
      "95 % interval: \(number(bias.interval.lowerBound)) to \(number(bias.interval.upperBound)), "
      + words(bias.pValue)
    guard bias.pValue < 0.05 else {
      return "No bias is seen: errors are \(number(bias.mean)) on average (\(range))."
    }
    let side = bias.mean > 0 ? "low" : "high"
    let share = Figures.percent(abs(bias.mean) / meanAbsolute, decimals: 0)
    return """
      Forecasts are too \(side): errors are \(number(bias.mean)) on average (\(range)), \(share) of their mean \
      size.
      """
  }

  private var dependenceSentence: String? {
    guard let autocorrelation else { return nil }
    let lags = autocorrelation.correlations.count
    let test =
      "Ljung and Box's Q is \(Figures.significant(autocorrelation.statistic, 3)) over \(lags) "
      + "lag\(lags == 1 ? "" : "s"), \(words(autocorrelation.pValue))"
    return autocorrelation.pValue < 0.05
      ? "Errors depend on those before them (\(test)): something is left to learn."
      : "Errors are not seen to depend on those before them (\(test))."
  }

  private var spreadSentence: String {
    let sizes =
      "\(number(spread.first)) in the first third of the test part and \(number(spread.last)) in the last "
      + "(\(words(spread.pValue)))"
    guard spread.pValue < 0.05 else {
      return "The mean size of errors was \(sizes): no change is seen."
    }
    let change = spread.last > spread.first ? "grow" : "shrink"
    return "Errors \(change): their mean size was \(sizes)."
  }

  private func number(_ value: Double) -> String { Figures.significant(value, 3) }

  private func words(_ p: Double) -> String {
    p < 0.001 ? "p < 0.001" : "p = \(Figures.probability(p))"
  }
}

/// Errors in order of time.
func errorChart(
  _ checks: ResidualChecks, look: String, task: ComparisonTask, width: Double
) -> Markup? {
  let points = checks.errors.filter { $0.time.isFinite && $0.value.isFinite }
  let reach = points.map { abs($0.value) }.max() ?? 0
  guard points.count > 1, reach > 0 else { return nil }
  let isTime = task.timeAxis == .utcSeconds
  var chart = Chart(
    width: width, height: 220, margins: Chart.Margins(right: 10, bottom: 24, left: 50),
    x: { ChartScale(isTime ? .time : .linear, over: points.map(\.time), from: $0, to: $1) },
    y: { ChartScale(.linear, over: [-reach, reach], from: $0, to: $1, padding: 0.04) })
  chart.drawYAxis("error one step ahead", about: 4)
  chart.drawXAxis("", about: width < 400 ? 4 : 6)
  chart.addSegment((chart.left, chart.y(0)), (chart.right, chart.y(0)), class: "zero")
  for point in points {
    chart.addDot(
      (point.time, point.value), radius: 3, class: "dot \(look)",
      tooltip: "\(task.timeAxis.text(point.time)): \(Figures.significant(point.value, 3))")
  }
  return chart.svg(label: "Errors of \(checks.name) in order of time")
}

/// Correlations of errors with those before them, and what chance alone explains.
func correlationChart(_ checks: ResidualChecks, look: String, width: Double) -> Markup? {
  guard let found = checks.autocorrelation?.correlations, !found.isEmpty,
    found.allSatisfy(\.isFinite)
  else { return nil }
  let noise = 1.96 / Double(max(1, checks.count)).squareRoot()
  let reach = max(found.map(abs).max() ?? 0, noise) * 1.15
  let last = Double(found.count)
  var chart = Chart(
    width: width, height: 220, margins: Chart.Margins(right: 10, bottom: 40, left: 50),
    x: { ChartScale(.linear, over: [0.5, last + 0.5], from: $0, to: $1) },
    y: { ChartScale(.linear, over: [-reach, reach], from: $0, to: $1) })
  chart.drawYAxis("correlation with the error so many steps before", about: 4)
  chart.addBand(
    [(0.5, -noise, noise), (last + 0.5, -noise, noise)].map { (x: $0.0, low: $0.1, high: $0.2) },
    class: "noise", tooltip: "what chance alone explains (95 %)")
  let half = min(0.35, 90 / width)
  for (index, value) in found.enumerated() {
    let lag = Double(index + 1)
    chart.addBar(
      from: (lag - half, min(0, value)), to: (lag + half, max(0, value)), class: "bar \(look)",
      tooltip: "\(index + 1): \(Figures.significant(value, 3))")
  }
  chart.addSegment((chart.left, chart.y(0)), (chart.right, chart.y(0)), class: "zero")
  chart.drawXAxis("steps before", about: min(10, found.count))
  return chart.svg(label: "Autocorrelation of the errors of \(checks.name)")
}
