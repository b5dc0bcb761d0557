import Foundation

/// The leaderboard as cells of a table: columns without any value are left out.
struct LeaderboardTable {
  /// What one row has to say in one column.
  struct Content {
    /// The number.
    var text: String
    /// The small text below it.
    var detail: String?
    /// By what rows are sorted.
    var value: Double
  }

  /// One column.
  struct Column {
    /// The title as text, for cells that stand alone on narrow screens.
    let name: String
    /// The title, and the unit below it.
    let title: Markup
    let unit: Markup
    /// What the column means, shown on hover.
    let help: Markup
    fileprivate let content: (ComparisonRow) -> Content?

    fileprivate init(
      _ title: String, _ unit: String, help: String,
      content: @escaping (ComparisonRow) -> Content?
    ) {
      name = title
      self.title = .text(title)
      self.unit = .text(unit)
      self.help = .text(help)
      self.content = content
    }
  }

  /// One cell as the template shows it.
  struct Cell {
    let label: Markup
    let text: Markup
    let detail: Markup?
    let value: Markup?

    init(_ content: Content?, label: String) {
      self.label = .text(label)
      text = .text(content?.text ?? Figures.missing)
      detail = content?.detail.map(Markup.text)
      value = content.map { .text("\($0.value)") }
    }
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
    let columns = (Self.scoreColumns(record) + Self.costColumns()).filter { column in
      ranked.contains { $0.score != nil && column.content($0) != nil }
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
        cells: isScored ? columns.map { Cell($0.content(row), label: $0.name) } : [],
        failure: isScored ? nil : .text(row.message ?? "no message was left"),
        status: .text(row.status.label))
    }
  }

  private static func scoreColumns(_ record: ComparisonRecord) -> [Column] {
    let scored = record.ranked.filter { $0.score != nil }
    let loss = ColumnFormat(for: scored.compactMap(\.loss))
    let unit = [record.task.lossUnit, loss.unit].compactMap(\.self).joined(separator: " ")
    let confidence = Figures.percent(record.verdict.confidence, decimals: 0)
    return [
      Column(
        "skill", "\(confidence) interval",
        help: "1 − loss / loss of the best baseline, with its block-bootstrap interval"
      ) { row in
        row.skill.finite.map {
          Content(text: Figures.skill($0), detail: row.interval.map(Figures.skills), value: $0)
        }
      },
      Column(
        "loss ± sd", unit,
        help: "\(record.task.lossName) on the test split: mean and standard deviation over seeds"
      ) { row in
        row.loss.finite.map {
          let deviation = row.lossDeviation.finite.map { " ± " + loss($0) } ?? ""
          return Content(text: loss($0) + deviation, value: $0)
        }
      },
      Column(
        "p", "vs baseline",
        help: "Diebold–Mariano test with the HLN correction, Holm-adjusted over the models"
      ) { row in
        row.pValue.finite.map { Content(text: Figures.probability($0), value: $0) }
      },
      Column(
        "best set", "p of the set",
        help:
          "Model confidence set of Hansen, Lunde and Nason: rows that cannot be told from the best with 90 %; "
          + "below, the p-value"
      ) { row in
        row.setPValue.finite.map {
          let isIn = record.bestSet?.names.contains(row.name) ?? false
          return Content(text: isIn ? "yes" : "no", detail: Figures.probability($0), value: $0)
        }
      },
      Column(
        "series skill", "win rate",
        help:
          "1 − geometric mean over series of loss / loss of the naive forecast, clipped to 0.01 to 100; below, "
          + "the share of series and other rows in which it loses less"
      ) { row in
        record.seriesSkill?.row(of: row.name).map {
          let failures = $0.failures == 0 ? "" : ", \($0.failures) failed"
          return Content(
            text: Figures.skill($0.skill),
            detail: "wins \(Figures.percent($0.winRate, decimals: 0))\(failures)", value: $0.skill)
        }
      },
      Column(
        "coverage", "error, points",
        help: "Mean distance between nominal and observed coverage over the quantiles"
      ) { row in
        row.coverageError.finite.map { Content(text: Figures.fixed($0 * 100, 1), value: $0) }
      },
    ]
  }

  private static func costColumns() -> [Column] {
    [
      Column(
        "training", "wall clock",
        help:
          "Seconds of training of one seed; below, steps, and the one whose weights validated best "
          + "with the first seed"
      ) { row in
        row.seconds.finite.map {
          let best = row.bestStep.map { ", best at \(Figures.count($0))" } ?? ""
          let end = row.unfinished == nil ? best : ", unfinished"
          let steps = row.steps.map { "\(Figures.count($0)) step\($0 == 1 ? "" : "s")\(end)" }
          return Content(text: Figures.duration($0), detail: steps, value: $0)
        }
      },
      Column("speed", "tokens/s", help: "Tokens or input rows per second of training") { row in
        row.tokensPerSecond.finite.map { Content(text: Figures.short($0), value: $0) }
      },
      Column("latency", "ms, median", help: "Milliseconds of one forecast; below, 99th percentile")
      { row in
        row.millisecondsP50.finite.map { median in
          let tail = row.millisecondsP99.finite.map { "p99 " + Figures.brief($0) }
          return Content(text: Figures.brief(median), detail: tail, value: median)
        }
      },
      Column("memory", "peak", help: "Largest resident memory while training") { row in
        row.peakBytes.map { Content(text: Figures.bytes($0), value: Double($0)) }
      },
      Column("size", "parameters", help: "Trained numbers; below, bytes of the saved model") {
        row in
        let bytes = row.artifactBytes.map(Figures.bytes)
        guard let count = row.parameters else {
          return bytes.map { Content(text: $0, value: Double(row.artifactBytes ?? 0)) }
        }
        return Content(text: Figures.short(Double(count)), detail: bytes, value: Double(count))
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
    }
  }
}
