import Foundation

/// The leaderboard as cells of a table: columns nobody has a value for are left out.
struct LeaderboardTable {
  /// One column.
  struct Column {
    /// The title, and the unit below it.
    let title: Markup
    let unit: Markup
    /// What the column means, shown on hover.
    let help: Markup
    fileprivate let cell: (ComparisonRow) -> (text: String, value: Double)?

    fileprivate init(
      _ title: String, _ unit: String, help: String,
      cell: @escaping (ComparisonRow) -> (text: String, value: Double)?
    ) {
      self.title = .text(title)
      self.unit = .text(unit)
      self.help = .text(help)
      self.cell = cell
    }
  }

  /// One cell: what is shown, and by what it is sorted.
  struct Cell {
    let text: Markup
    let value: Markup?
  }

  /// One line.
  struct Line {
    let rank: Markup
    let name: Markup
    let kind: Markup
    let look: Markup
    let isChosen: Bool
    let isBar: Bool
    let skill: Markup?
    let skillValue: Markup?
    let cells: [Cell]
    /// What went wrong; the line then has no cells.
    let failure: Markup?
    let status: Markup
  }

  let columns: [Column]
  let lines: [Line]
  /// The axis above the drawn column.
  let axis: Markup
  /// How many columns a failure's message spans.
  let span: Markup

  init(_ record: ComparisonRecord, cast: ChartCast) {
    let ranked = record.ranked
    let columns = Self.columns(record).filter { column in
      ranked.contains { $0.score != nil && column.cell($0) != nil }
    }
    let bars = SkillBars(record)
    self.columns = columns
    axis = bars.header()
    span = .text("\(columns.count + 1)")
    lines = ranked.enumerated().map { index, row in
      let look = cast.look(of: row.name)
      let isScored = row.score != nil
      return Line(
        rank: .text(isScored ? "\(index + 1)" : ""), name: .text(row.name),
        kind: .text(row.kind.rawValue), look: .text(look), isChosen: row.name == record.chosen,
        isBar: row.name == cast.bar?.name, skill: isScored ? bars.cell(row, look: look) : nil,
        skillValue: row.skill.finite.map { .text("\($0)") },
        cells: isScored ? columns.map { Self.cell($0.cell(row)) } : [],
        failure: isScored ? nil : .text(row.message ?? "no message was left"),
        status: .text(row.status.label))
    }
  }

  private static func cell(_ content: (text: String, value: Double)?) -> Cell {
    Cell(
      text: .text(content?.text ?? Figures.missing), value: content.map { .text("\($0.value)") })
  }

  private static func columns(_ record: ComparisonRecord) -> [Column] {
    scoreColumns(record) + costColumns(record)
  }

  private static func scoreColumns(_ record: ComparisonRecord) -> [Column] {
    let scored = record.ranked.filter { $0.score != nil }
    let loss = ColumnFormat(for: scored.compactMap(\.loss))
    let unit = [record.task.lossUnit, loss.unit].compactMap(\.self).joined(separator: " ")
    let confidence = Figures.percent(record.task.confidence, decimals: 0)
    return [
      Column("skill", "vs best baseline", help: "1 − loss / loss of the best baseline") { row in
        row.skill.finite.map { (Figures.percent($0, signed: true), $0) }
      },
      Column("loss", unit, help: "\(record.task.lossName) on the test split; mean ± sd over seeds")
      { row in
        row.loss.finite.map { value in
          let deviation = row.lossDeviation.finite.map { " ± " + loss($0) } ?? ""
          return (loss(value) + deviation, value)
        }
      },
      Column("interval", "of the loss, \(confidence)", help: "Block bootstrap over the test split")
      { row in
        row.lossInterval.map {
          ("\(loss($0.lowerBound)) – \(loss($0.upperBound))", $0.lowerBound)
        }
      },
      Column(
        "p", "vs best baseline",
        help: "Diebold–Mariano test with the HLN correction, Holm-adjusted over the models"
      ) { row in row.pValue.finite.map { (Figures.probability($0), $0) } },
      Column(
        "coverage error", "points",
        help: "Mean distance between stated and observed probability over the quantiles"
      ) { row in row.coverageError.finite.map { (Figures.fixed($0 * 100, 1), $0) } },
    ]
  }

  private static func costColumns(_ record: ComparisonRecord) -> [Column] {
    [
      Column("training", "wall clock", help: "Seconds of training of one seed") { row in
        row.seconds.finite.map { (Figures.duration($0), $0) }
      },
      Column("speed", "tokens/s", help: "Tokens or input rows per second of training") { row in
        row.tokensPerSecond.finite.map { (Figures.short($0), $0) }
      },
      Column("latency", "ms, p50 / p99", help: "Milliseconds of one forecast") { row in
        row.millisecondsP50.finite.map { median in
          let tail = row.millisecondsP99.finite.map { " / " + Figures.significant($0, 2) } ?? ""
          return (Figures.significant(median, 2) + tail, median)
        }
      },
      Column("memory", "peak", help: "Largest resident memory while training") { row in
        row.peakBytes.map { (Figures.bytes($0), Double($0)) }
      },
      Column("parameters", "trained", help: "Trained numbers") { row in
        row.parameters.map { (Figures.short(Double($0)), Double($0)) }
      },
      Column("artifact", "on disk", help: "Size of the saved model") { row in
        row.artifactBytes.map { (Figures.bytes($0), Double($0)) }
      },
    ]
  }
}

extension ComparisonRow.Status {
  /// What the page calls it.
  var label: String {
    switch self {
    case .ok: "no score"
    case .failed: "failed"
    case .diverged: "diverged"
    case .timedOut: "timed out"
    }
  }
}
