import ApusData

// Whether a scaler was fitted to training rows alone.
extension LeakAudit {
  /// How a scaled column was scaled.
  enum StandardForm: Equatable {
    /// To mean 0 and deviation 1.
    case standard
    /// To smallest value 0 and largest 1.
    case range
  }

  /// The answer about scalers.
  func scalerCheck() -> AuditCheck {
    let all = table.columns
    guard !parts.isEmpty else {
      let scaled = all.filter { standardForm(of: $0.values) != nil }.map(\.name)
      let seen =
        scaled.isEmpty
        ? ""
        : "; \(scaled.joined(separator: ", ")) \(scaled.count == 1 ? "is" : "are") scaled over all rows"
      return AuditCheck(.scaler, .notMade, "\(Self.partsWanted)\(seen).")
    }
    var (findings, honest) = ([LeakFinding](), [String]())
    for column in all {
      switch fitted(column) {
      case .leak(let finding): findings.append(finding)
      case .honest: honest.append(column.name)
      case .none: break
      }
    }
    return AuditCheck(
      .scaler, findings: findings,
      passed: honest.isEmpty
        ? "No column has the mean 0 and deviation 1, or the range 0 to 1, of a scaler."
        : "\(honest.joined(separator: ", ")): scaled with training rows alone.")
  }

  private enum Fit {
    case none, honest
    case leak(LeakFinding)
  }

  /// The form that all rows of a column have together.
  func standardForm(of values: [Double]) -> StandardForm? {
    let present = values.filter(\.isFinite)
    guard Set(present).count > 8 else { return nil }
    if isStandard(present, tolerance: tolerance(present)) { return .standard }
    return isRange(present) ? .range : nil
  }

  /// Whether a column is scaled, over all rows or over those of some first part: its scaler is judged, and
  /// not what it repeats.
  func isScaled(_ column: Covariate) -> Bool {
    if standardForm(of: column.values) != nil { return true }
    if !parts.isEmpty, case .honest = fitted(column) { return true }
    let times = table.rows.indices.sorted { table.rows[$0].time < table.rows[$1].time }
    return isStandardAtStart(times.map { column.values[$0] }.filter(\.isFinite))
  }

  /// Whether the first rows, some number of them, have mean 0 and deviation 1.
  private func isStandardAtStart(_ values: [Double]) -> Bool {
    var (sum, squares) = (0.0, 0.0)
    let allowed = tolerance(values)
    for (index, value) in values.enumerated() {
      sum += value
      squares += value * value
      let count = Double(index + 1)
      guard index >= 20, abs(sum / count) <= allowed else { continue }
      let variance = squares / count - sum / count * (sum / count)
      if abs(variance - 1) <= 2 * allowed || abs(variance * count / (count - 1) - 1) <= 2 * allowed
      {
        return true
      }
    }
    return false
  }

  /// What rounding of printed numbers may add to a mean or a deviation.
  private func tolerance(_ values: [Double]) -> Double {
    let unit = (0..<AuditStatistics.decimals(values)).reduce(1.0) { unit, _ in unit / 10 }
    return 1e-6 + 2 * unit / Double(max(1, values.count)).squareRoot()
  }

  private func isStandard(_ values: [Double], tolerance: Double) -> Bool {
    guard values.count > 8, abs(AuditStatistics.mean(values)) <= tolerance else { return false }
    let count = Double(values.count)
    let variance = AuditStatistics.variance(values)
    return abs(variance.squareRoot() - 1) <= tolerance
      || abs((variance * count / (count - 1)).squareRoot() - 1) <= tolerance
  }

  /// Whether 0 and 1 are the ends, and met by few rows, as a scaler leaves them.
  private func isRange(_ values: [Double]) -> Bool {
    guard let low = values.min(), let high = values.max(), abs(low) < 1e-9, abs(high - 1) < 1e-9
    else {
      return false
    }
    return values.count { $0 == low } <= 3 && values.count { $0 == high } <= 3
  }

  private func fitted(_ column: Covariate) -> Fit {
    for fold in parts.folds {
      let used = table.rows.indices.filter {
        fold.parts[$0] != .unused && column.values[$0].isFinite
      }
      if let found = fitted(column, rows: used, parts: fold.parts) { return found }
    }
    guard table.series.count > 1 else { return .none }
    var (honest, leaks) = (0, [LeakFinding]())
    let parts = self.parts.folds[0].parts
    for range in table.ranges.prefix(200) {
      let used = range.filter { parts[$0] != .unused && column.values[$0].isFinite }
      switch fitted(column, rows: used, parts: parts) {
      case .leak(let finding): leaks.append(finding)
      case .honest: honest += 1
      default: break
      }
    }
    // One series of a panel may have mean 0 and deviation 1 by chance; most of them do not.
    if let first = leaks.first, leaks.count * 2 > min(200, table.ranges.count) {
      return .leak(first)
    }
    return honest * 2 > min(200, table.ranges.count) ? .honest : .none
  }

  /// Which rows the statistics of a column are those of; nil where of none.
  private func fitted(_ column: Covariate, rows: [Int], parts: [PartName]) -> Fit? {
    let train = rows.filter { parts[$0] == .train }
    let fitting = rows.filter { parts[$0] != .test && parts[$0] != .unused }
    guard train.count > 8, train.count < rows.count else { return nil }
    func values(_ rows: [Int]) -> [Double] { rows.map { column.values[$0] } }
    let first = rows.first { parts[$0] == .test } ?? rows.first { parts[$0].isHeld }
    guard Set(values(rows)).count > 8 else { return nil }
    // Who fits again to training and validation before the test judges by rows that are neither.
    if [train, fitting].contains(where: {
      isStandard(values($0), tolerance: tolerance(values($0))) && $0.count < rows.count
    }) {
      return .honest
    }
    let advice = "Fit the scaler to training rows, then apply it to all."
    if isStandard(values(rows), tolerance: tolerance(values(rows))) {
      let mean = AuditStatistics.mean(values(train))
      let deviation = AuditStatistics.variance(values(train)).squareRoot()
      return .leak(
        finding(
          first, column: column.name, rows: rows.count - train.count,
          "Mean 0 and deviation 1 are those of all \(rows.count) rows; over the \(train.count) training rows "
            + "they are \(Figures.significant(mean)) and \(Figures.significant(deviation)).",
          advice: advice))
    }
    if isRange(values(train)) || isRange(values(fitting)) && fitting.count < rows.count {
      return .honest
    }
    if isRange(values(rows)), let least = values(train).min(), let most = values(train).max() {
      let end = rows.first { row in
        parts[row] != .train && (column.values[row] < least || column.values[row] > most)
      }
      return .leak(
        finding(
          end, column: column.name,
          "The range 0 to 1 is that of all \(rows.count) rows; training rows go from "
            + "\(Figures.significant(least)) to \(Figures.significant(most)).",
          advice: advice))
    }
    return nil
  }
}
