import ApusData

// Questions about columns: copies of the target, its later values, windows that end after their row.
extension LeakAudit {
  /// The answers about copies, shifts and windows.
  ///
  /// - Throws: `SeriesError/noSuchColumn(file:name:names:)`.
  func columnChecks() throws -> [AuditCheck] {
    guard let target = table.column(named: table.target), !features.isEmpty else {
      return [.copiedTarget, .shiftedTarget, .lookAhead].map {
        AuditCheck($0, .notMade, "it needs columns beside the target.")
      }
    }
    var found = Found()
    for feature in features {
      look(at: feature, target: target, into: &found)
    }
    if features.count <= 24, let range = longest(1).first {
      let sources = features.map { ($0, stretch($0, range)) }.filter { !isLag($0.0, range) }
      for feature in features where !found.named.contains(feature.name) {
        lookAround(feature, sources, range, into: &found)
      }
    }
    let looked = counted(features.count, "column")
    let ends =
      options.usesSameRow
      ? "Columns are used for the target of the same row" : "Columns are used for the rows after"
    return [
      AuditCheck(
        .copiedTarget, findings: found.copies, doubts: found.twins,
        passed: "\(looked) compared with the target\(found.same)."),
      AuditCheck(
        .shiftedTarget, findings: found.shifts,
        passed: "\(looked) compared with the target's later rows."),
      AuditCheck(
        .lookAhead, findings: found.windows, doubts: found.doubts, passed: "\(ends)\(found.few)."),
    ]
  }

  /// What was found so far.
  private struct Found {
    var copies: [LeakFinding] = []
    var twins: [LeakFinding] = []
    var shifts: [LeakFinding] = []
    var windows: [LeakFinding] = []
    var doubts: [LeakFinding] = []
    var named: Set<String> = []
    var bars: [String] = []
    var untold: [String] = []

    var same: String {
      bars.isEmpty
        ? ""
        : "; \(bars.joined(separator: ", ")) of the same price bar \(bars.count == 1 ? "is" : "are") known "
          + "with it, for the rows after"
    }

    var few: String {
      untold.isEmpty
        ? ""
        : "; \(untold.prefix(4).joined(separator: ", ")) \(untold.count == 1 ? "has" : "have") too few values "
          + "in a row to tell"
    }
  }

  /// The first row of a series that has the column, in a stretch.
  private func firstRow(_ range: Range<Int>, _ values: [Double]) -> Int? {
    range.first { values[$0].isFinite }
  }

  private func look(at feature: Covariate, target: [Double], into found: inout Found) {
    let bar = PriceColumn(columnName: feature.name)
    let words = feature.name.lowercased()
    let isBar = bar != nil || words.contains("adj") && words.contains("close")
    for range in longest(3) {
      let (x, y) = (range.map { feature.values[$0] }, range.map { target[$0] })
      let row = firstRow(range, feature.values)
      let pairs = x.indices.filter { x[$0].isFinite && y[$0].isFinite }.suffix(2_000)
      let forms = ExactForms(
        column: pairs.map { x[$0] }, series: pairs.map { y[$0] }, first: 1)
      if pairs.count >= 12, forms.canTell, forms.matches(shift: 0) {
        found.named.insert(feature.name)
        addCopy(feature, of: y, at: row, isBar: isBar, into: &found)
        return
      }
      if options.usesSameRow, isBar, bar != .open {
        found.named.insert(feature.name)
        found.copies.append(
          finding(
            row, column: feature.name,
            "The \(feature.name) of a bar is known when the bar closes, not before.",
            advice: "Take the bar before."))
        return
      }
      let answer = LookAhead(
        x, of: y, first: options.usesSameRow ? 0 : 1, season: table.cadence.seasonLength
      ).answer()
      if add(answer, feature, of: table.target, at: row, into: &found) { return }
    }
  }

  private func addCopy(
    _ feature: Covariate, of target: [Double], at row: Int?, isBar: Bool, into found: inout Found
  ) {
    if isBar, !options.usesSameRow {
      found.bars.append(feature.name)
      return
    }
    // A scaled target is judged by its scaler.
    if isScaled(feature) { return }
    let same = row.map { "\(Figures.significant(feature.values[$0], 6))" } ?? ""
    found.copies.append(
      finding(
        row, column: feature.name,
        "Every value is the target of its row, but for a factor and a constant\(same.isEmpty ? "" : " (\(same) here)").",
        advice: "Leave the column out, or use its value of an earlier row."))
  }

  /// Adds what an answer means; false where it means nothing.
  private func add(
    _ answer: LookAhead.Answer, _ feature: Covariate, of source: String, at row: Int?,
    into found: inout Found
  ) -> Bool {
    switch answer {
    case .honest: return false
    case .untold:
      if !found.untold.contains(feature.name) { found.untold.append(feature.name) }
      return false
    case .shift(let rows):
      found.shifts.append(
        finding(
          row, column: feature.name,
          "Every value is \(source) \(counted(rows, "row")) later, but for a factor and a constant.",
          advice: "Shift the column the other way: a row may hold earlier values."))
    case .window(let statistic, let before, let after):
      let span =
        before < 0
        ? "\(counted(before + after + 1, "row")), \(-before) to \(after) rows later"
        : "\(counted(before + after + 1, "row")), of which \(after) come later"
      found.windows.append(
        finding(
          row, column: feature.name, "Every value is the \(statistic) of \(source) over \(span).",
          advice: "Let the window end at its row or before (in pandas: center=False, then shift)."))
    case .share(let share, let lead):
      let percent = "\(Figures.fixed(100 * share, 0)) %"
      let one = finding(
        row, column: feature.name,
        lead == 0
          ? "The target of the same row explains \(percent) of what is new in the column."
          : "Values of \(source) that come later, most of all \(counted(lead, "row")) on, explain \(percent) of "
            + "what is new in the column.",
        advice: share > 0.7
          ? "Make the column from rows up to its own alone."
          : "Check that its values are known at the time of their rows; a true leading indicator may stay."
      )
      if share > 0.7 { found.windows.append(one) } else { found.doubts.append(one) }
    }
    found.named.insert(feature.name)
    return true
  }

  /// Windows over other columns than the target: only exact ones around their row tell, as a column and its
  /// lag cannot be told from a column and its lead.
  private func lookAround(
    _ feature: Covariate, _ sources: [(column: Covariate, values: [Double])], _ range: Range<Int>,
    into found: inout Found
  ) {
    let x = stretch(feature, range)
    for source in sources where source.column.name != feature.name {
      guard let forms = forms(x, source.values), forms.canTell else { continue }
      guard let answer = forms.answer(), case .window(_, let before, _) = answer, before >= 0 else {
        continue
      }
      let row = firstRow(range, feature.values)
      _ = add(answer, feature, of: source.column.name, at: row, into: &found)
      return
    }
  }

  /// The values of a column in the last rows of a series.
  private func stretch(_ column: Covariate, _ range: Range<Int>) -> [Double] {
    range.suffix(2_000).map { column.values[$0] }
  }

  /// The forms of two columns where both have values; nil where they have few, or holes.
  private func forms(_ x: [Double], _ s: [Double]) -> ExactForms? {
    let both = x.indices.filter { x[$0].isFinite && s[$0].isFinite }
    guard both.count >= 40, let low = both.first, let high = both.last, both.count == high - low + 1
    else { return nil }
    return ExactForms(column: Array(x[low...high]), series: Array(s[low...high]), first: 1)
  }

  /// Whether a column is another one some rows earlier.
  private func isLag(_ column: Covariate, _ range: Range<Int>) -> Bool {
    let words = ["lag", "prev", "shift", "yesterday", "last"]
    if words.contains(where: { column.name.lowercased().contains($0) }) { return true }
    let x = stretch(column, range)
    return table.columns.contains { other in
      guard other.name != column.name, let forms = forms(x, stretch(other, range)), forms.canTell
      else { return false }
      return (-min(40, forms.column.count / 3)..<0).contains { forms.matches(shift: $0) }
    }
  }

  // MARK: How the target was made

  /// The rows that the target reaches ahead, where a column shows it: differences, ratios and logarithmic
  /// ratios of a column over H rows, the column H rows later, or sums of a column over the H rows after.
  func inferredHorizon() -> (horizon: Int, source: String)? {
    guard let range = longest(1).first, let target = table.column(named: table.target) else {
      return nil
    }
    let y = range.map { target[$0] }
    for feature in features {
      let s = range.map { feature.values[$0] }
      for horizon in 1...min(250, max(1, range.count / 3)) {
        if let form = Self.label(y, s, horizon) {
          return (
            horizon, "the target is the \(form) of \(feature.name) over \(counted(horizon, "row"))"
          )
        }
      }
    }
    return nil
  }

  private static func label(_ y: [Double], _ s: [Double], _ horizon: Int) -> String? {
    let forms: [(String, (Int) -> Double)] = [
      ("difference", { s[$0 + horizon] - s[$0] }),
      ("ratio", { s[$0 + horizon] / s[$0] - 1 }),
      ("logarithmic ratio", { AuditStatistics.logarithm(s[$0 + horizon] / s[$0]) }),
      ("value", { s[$0 + horizon] }),
      ("sum", { s[$0 + 1...$0 + horizon].reduce(0, +) }),
      ("mean", { AuditStatistics.mean(s[$0 + 1...$0 + horizon]) }),
    ]
    let rows = y.indices.filter { $0 + horizon < s.count && y[$0].isFinite && y[$0] != 0 }
    guard rows.count >= 12 else { return nil }
    let sample = stride(from: 0, to: rows.count, by: max(1, rows.count / 24)).map { rows[$0] }
    let spread = AuditStatistics.variance(sample.map { y[$0] }).squareRoot()
    guard spread > 0 else { return nil }
    return forms.first { form in
      sample.allSatisfy { row in abs(form.1(row) - y[row]) <= 1e-4 * spread }
    }?.0
  }
}
