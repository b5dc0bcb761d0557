import ApusData

// Whether windows were scaled by their inputs alone.
extension LeakAudit {
  /// The answer about the scaling of windows.
  ///
  /// - Throws: `AuditError` where the windows have no roles.
  func windowCheck() throws -> AuditCheck {
    guard let windows = options.windows else {
      return AuditCheck(
        .windowNormalization, .notMade,
        "it needs the windows as the model gets them (--windows), or a model (--model).")
    }
    guard let label = windows.labels.first(where: { $0.name.lowercased() == "role" }) else {
      throw AuditError.missingColumn(
        file: windows.source, column: "role", purpose: "input or target for each row of a window")
    }
    let isInput = try label.cells.map { cell in
      guard let role = Self.role(cell) else {
        throw AuditError.unknownPart(file: windows.source, column: label.name, found: cell)
      }
      return role
    }
    var (findings, honest) = ([LeakFinding](), 0)
    for column in windows.columns {
      var (leaks, first, clean) = (0, Int?.none, 0)
      for range in windows.ranges {
        let inputs = range.filter { isInput[$0] }.map { column.values[$0] }
        let all = range.map { column.values[$0] }
        guard inputs.count >= 3, all.count > inputs.count, all.allSatisfy(\.isFinite) else {
          continue
        }
        if Self.isScaled(inputs) {
          clean += 1
        } else if Self.isScaled(all) {
          leaks += 1
          first = first ?? range.first { !isInput[$0] }
        }
      }
      honest += clean
      guard leaks * 2 > windows.ranges.count, let first else { continue }
      let row = windows.rows[first]
      findings.append(
        LeakFinding(
          column: column.name, series: windows.series[row.series], time: windows.text(row.time),
          line: row.line, rows: leaks,
          evidence:
            "\(leaks) of \(counted(windows.ranges.count, "window")) have mean 0 and deviation 1, or range 0 to "
            + "1, over inputs and targets together, and not over the inputs.",
          advice:
            "Take mean and deviation of a window from its inputs, and scale the targets by them."))
    }
    return AuditCheck(
      .windowNormalization, findings: findings,
      passed: honest > 0
        ? "\(honest) windows are scaled by their inputs."
        : "No window has mean 0 and deviation 1, or range 0 to 1.")
  }

  private static func role(_ cell: String) -> Bool? {
    switch cell.lowercased() {
    case "input", "inputs", "context", "history", "past", "x": true
    case "target", "targets", "label", "labels", "output", "horizon", "future", "y": false
    default: nil
    }
  }

  /// Mean 0 and deviation 1, as near as a small number added to the deviation allows, or range 0 to 1.
  private static func isScaled(_ values: [Double]) -> Bool {
    let (mean, variance) = (AuditStatistics.mean(values), AuditStatistics.variance(values))
    let count = Double(values.count)
    let deviations = [variance.squareRoot(), (variance * count / (count - 1)).squareRoot()]
    if abs(mean) < 1e-3, deviations.contains(where: { abs($0 - 1) < 1e-3 }) { return true }
    return abs(values.min() ?? 1) < 1e-9 && abs((values.max() ?? 0) - 1) < 1e-9
  }
}
