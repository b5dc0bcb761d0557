/// The further measures of all rows: MAE, RMSE, coverage and the like, side by side.
struct MeasureTable {
  /// One row of the comparison.
  struct Line {
    let name: Markup
    let cells: [Cell]
  }

  /// One value, with what to compare it with as a title.
  struct Cell {
    let label: Markup
    let text: Markup
    let title: Markup
  }

  let columns: [Markup]
  let lines: [Line]

  /// Nil when no row has further measures.
  init?(_ record: ComparisonRecord) {
    var names: [String] = []
    for metric in record.ranked.flatMap(\.metrics) where !names.contains(metric.name) {
      names.append(metric.name)
    }
    guard !names.isEmpty else { return nil }
    columns = names.map { .text($0) }
    lines = record.ranked.filter { !$0.metrics.isEmpty }.map { row in
      Line(
        name: .text(row.name),
        cells: names.map { name in
          let metric = row.metrics.first { $0.name == name }
          let isShare = name == "direction" || name.hasPrefix("coverage")
          let text = metric.map {
            isShare ? Figures.percent($0.value, decimals: 1) : Figures.short($0.value)
          }
          return Cell(
            label: .text(name), text: .text(text ?? "–"), title: .text(metric?.detail ?? ""))
        })
    }
  }
}
