public import ApusData
import ApusTensor
import Foundation

/// Draws what was understood of a table as one HTML page that needs nothing but itself.
///
/// - Parameters:
///   - check: What was found.
///   - table: The table that it was found in.
/// - Returns: The whole document; every string of the table is escaped.
public func renderCheck(_ check: DataCheck, of table: SeriesTable) -> String {
  let page = CheckPage(check, table)
  return "<!DOCTYPE html>\n" + page.document.source + "\n"
}

/// The page of a check: sentences, drawings of series, figures.
private struct CheckPage {
  let check: DataCheck
  let table: SeriesTable
  /// Series that are drawn.
  static let drawn = 12

  init(_ check: DataCheck, _ table: SeriesTable) { (self.check, self.table) = (check, table) }

  var document: Markup {
    let name = check.report.source.split(separator: "/").last.map(String.init) ?? "table"
    return plainPage(
      "Check of \(name)",
      [
        .element("h1", [:], [.text("What was understood of \(name)")]),
        .element("ul", [:], check.sentences.map { .element("li", [:], [.text($0)]) }),
      ] + drawings + [figures])
  }

  private var drawings: [Markup] {
    let shown = table.series.prefix(Self.drawn)
    let rest = table.series.count - shown.count
    let note =
      rest > 0
      ? [Markup.element("p", [:], [.text("\(rest) more series are in the table below.")])] : []
    return shown.map { one in
      .element(
        "figure", [:],
        [
          .element("figcaption", [:], [.text(one.id)]),
          SeriesDrawing(one, cadence: table.cadence).markup,
        ])
    } + note
  }

  private var figures: Markup {
    let heads = ["series", "rows", "first", "last", "missing", "low", "median", "high", "future"]
    func number(_ value: Double?) -> String { value.map { Figures.short($0) } ?? "–" }
    let rows = check.series.prefix(1_000).map { one in
      [
        one.id, "\(one.rows)", one.first.map { "\($0)" } ?? "–", one.last.map { "\($0)" } ?? "–",
        "\(one.missing)", number(one.low), number(one.median), number(one.high), "\(one.future)",
      ]
    }
    return plainTable(heads, rows)
  }
}

/// One series in order of time: values, gaps, stretches that stand still, outliers, the known future.
private struct SeriesDrawing {
  let series: TimeSeries
  let cadence: Cadence
  private var hasClock: Bool { cadence.frequency != .steps }

  init(_ series: TimeSeries, cadence: Cadence) { (self.series, self.cadence) = (series, cadence) }

  private func time(_ stamp: Timestamp, _ row: Int) -> Double {
    hasClock ? Double(stamp.secondsSinceEpoch) + Double(stamp.nanosecond) / 1e9 : Double(row)
  }

  var markup: Markup {
    let outliers = Set(DataCheck.outliers(of: series.values))
    let rows = series.values.indices
    let times = rows.map { time(series.timestamps[$0], $0) }
    let ahead = series.future.timestamps.enumerated().map { time($1, series.count + $0) }
    let usual = rows.filter { !outliers.contains($0) }.map { series.values[$0] }
    var chart = Chart(
      width: 960, height: 170, margins: Chart.Margins(top: 14, right: 10, bottom: 26, left: 56),
      x: { ChartScale(hasClock ? .time : .linear, over: times + ahead, from: $0, to: $1) },
      y: { ChartScale(.linear, over: usual, from: $0, to: $1, padding: 0.06) })
    for hole in cadence.holes(in: series.timestamps) where !hole.isClosure {
      addZone(
        &chart, from: time(hole.after, 0), to: time(hole.before, 0), class: "gap",
        tooltip: "\(hole.missing) rows missing after \(hole.after)")
    }
    if let first = times.last, let last = ahead.last {
      addZone(&chart, from: first, to: last, class: "ahead", tooltip: "the known future")
    }
    chart.drawYAxis("", about: 4)
    chart.drawXAxis("", about: 8)
    let stride = max(1, series.count / 2_000)
    chart.addLine(
      Swift.stride(from: 0, to: series.count, by: stride).map { row in
        (times[row], outliers.contains(row) ? .nan : series.values[row])
      }, class: "")
    for run in DataCheck.constantRuns(of: series.values) {
      let (from, to) = (chart.x(times[run.lowerBound]), chart.x(times[run.upperBound - 1]))
      let at = chart.y(series.values[run.lowerBound])
      if at.isFinite { chart.addSegment((from, at), (to, at), class: "still") }
    }
    for row in outliers.sorted().prefix(200) {
      let edge = series.values[row] > (usual.first ?? 0) ? chart.top + 4 : chart.bottom - 4
      chart.add(
        .element(
          "circle",
          [
            "cx": Figures.coordinate(chart.x(times[row])), "cy": Figures.coordinate(edge),
            "r": "3.5",
            "class": "outlier",
          ],
          [.element("title", [:], [.text("\(series.values[row]) at \(series.timestamps[row])")])]))
    }
    return chart.svg(label: "The series \(series.id) in order of time")
  }

  private func addZone(
    _ chart: inout Chart, from: Double, to: Double, class name: String, tooltip: String
  ) {
    let (left, right) = (chart.x(from), chart.x(to))
    guard left.isFinite, right.isFinite else { return }
    chart.add(
      .element(
        "rect",
        [
          "x": Figures.coordinate(left), "y": Figures.coordinate(chart.top),
          "width": Figures.coordinate(max(right - left, 1)),
          "height": Figures.coordinate(chart.bottom - chart.top), "class": name,
        ], [.element("title", [:], [.text(tooltip)])]))
  }
}
