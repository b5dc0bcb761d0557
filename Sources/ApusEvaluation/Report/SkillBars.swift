/// The column of the leaderboard that draws skill against the best baseline: a dot for the
/// estimate, a whisker for its interval, one line down the table for the bar itself.
package struct SkillBars {
  /// Width of the column in pixels.
  package static let width = 200.0
  /// Height of a line of the table in pixels; lines touch, so that the bar is one line.
  package static let height = 42.0

  /// Skills to coordinates, the same for all lines.
  package let scale: ChartScale
  private let confidence: String

  /// A scale around zero that shows the interesting rows at full size; rows far worse than the
  /// others are drawn at the edge as arrows.
  package init(_ record: ComparisonRecord) {
    confidence = Figures.percent(record.verdict.confidence, decimals: 0)
    let rows = record.ranked.filter { $0.score != nil }
    let ends = rows.flatMap { row in
      [row.skill, row.interval?.lowerBound, row.interval?.upperBound].compactMap(\.finite)
    }
    let high = max(ends.max() ?? 0, 0)
    // Half of the rows, but never fewer than six, decide how far down the scale goes.
    let upper = rows.prefix(max(6, (rows.count * 2 + 2) / 3))
    let lows = upper.map { min($0.skill.finite ?? 0, ($0.interval?.lowerBound).finite ?? 0) }
    let low = max(lows.min() ?? 0, -3 * max(high, 0.1))
    scale = ChartScale(
      .linear, over: [min(low, -high * 0.3, -0.01), max(high, -low * 0.15, 0.01)], from: 8,
      to: Self.width - 8, padding: 0.03)
  }

  /// The axis above the column.
  package func header() -> Markup {
    var marks: [Markup] = []
    var lastEnd = -Double.infinity
    for tick in scale.ticks(about: 4) {
      let at = scale(tick.value)
      let text =
        tick.value == 0 ? "0" : Figures.percent(tick.value, decimals: decimals, signed: true)
      let half = LabelPlacement.textWidth(text) / 2
      guard at - half > max(lastEnd + 5, -2), at + half < Self.width + 2 else { continue }
      lastEnd = at + half
      let c = Figures.coordinate(at)
      marks.append(.element("text", ["x": c, "y": "11", "class": "tick middle"], [.text(text)]))
      marks.append(
        .element("line", ["x1": c, "x2": c, "y1": "15", "y2": "20", "class": "rule"]))
    }
    return svg(marks, height: 20, label: "Skill axis")
  }

  /// The drawing of one row.
  package func cell(_ row: ComparisonRow, look: String) -> Markup {
    let middle = Self.height / 2
    var marks = scale.ticks(about: 4).filter { $0.value != 0 }.map {
      vertical(at: scale($0.value), class: "grid")
    }
    marks.append(vertical(at: scale(0), class: "zero"))
    guard let skill = row.skill.finite else { return svg(marks, height: Self.height, label: "") }
    let text = Self.describe(row, skill: skill, confidence: confidence)
    let title = Markup.element("title", [:], [.text(text)])
    let (start, end) = (scale.start, scale.end)
    func inside(_ value: Double) -> Double { min(max(scale(value), start), end) }
    let y = Figures.coordinate(middle)
    if let interval = row.interval, scale(interval.upperBound) > start {
      let (a, b) = (inside(interval.lowerBound), inside(interval.upperBound))
      marks.append(
        .element(
          "line",
          [
            "x1": Figures.coordinate(a), "x2": Figures.coordinate(b), "y1": y, "y2": y,
            "class": "whisker \(look)",
          ], [title]))
    }
    if scale(skill) < start {
      let d = "M\(Figures.coordinate(start - 6)) \(y)l8 -5v10Z"
      marks.append(.element("path", ["d": d, "class": "dot \(look)"], [title]))
    } else {
      marks.append(
        .element(
          "circle",
          ["cx": Figures.coordinate(scale(skill)), "cy": y, "r": "5", "class": "dot \(look)"],
          [title]))
    }
    return svg(marks, height: Self.height, label: text)
  }

  private var decimals: Int {
    ChartScale.step(scale.domain.upperBound - scale.domain.lowerBound, about: 4) < 0.0099 ? 1 : 0
  }

  private static func describe(_ row: ComparisonRow, skill: Double, confidence: String) -> String {
    let estimate = "\(row.name): skill \(Figures.skill(skill))"
    return row.interval.map { "\(estimate), \(confidence) interval \(Figures.skills($0))" }
      ?? estimate
  }

  private func vertical(at x: Double, class name: String) -> Markup {
    let (c, h) = (Figures.coordinate(x), Figures.coordinate(Self.height))
    return .element("line", ["x1": c, "x2": c, "y1": "0", "y2": h, "class": name])
  }

  private func svg(_ marks: [Markup], height: Double, label: String) -> Markup {
    let (w, h) = (Figures.coordinate(Self.width), Figures.coordinate(height))
    return .element(
      "svg",
      [
        "viewBox": "0 0 \(w) \(h)", "width": w, "height": h, "role": "img", "aria-label": label,
        "class": "skill",
      ], marks)
  }
}
