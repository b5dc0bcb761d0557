import Foundation

/// Shows a run's progress to a person: one line that is rewritten on a terminal, a plain line every
/// few seconds elsewhere.
public final class ProgressPrinter {
  private let label: String
  private let isTerminal: Bool
  private let usesColor: Bool
  private let now: () -> Double
  private let write: (String) -> Void
  private var lastShown = -Double.infinity
  private var hasLine = false

  /// Creates a printer on standard error.
  ///
  /// Colors are used on a terminal only, and not when `NO_COLOR` is set (https://no-color.org) or
  /// `TERM` is "dumb".
  /// - Parameter label: The name of what is trained.
  public convenience init(label: String) {
    let environment = ProcessInfo.processInfo.environment
    let isTerminal = isatty(STDERR_FILENO) == 1 && environment["TERM"] != "dumb"
    let noColor = environment["NO_COLOR"].map { !$0.isEmpty } ?? false
    self.init(
      label: label, isTerminal: isTerminal, usesColor: isTerminal && !noColor,
      now: { ProcessInfo.processInfo.systemUptime },
      write: { FileHandle.standardError.write(Data($0.utf8)) })
  }

  /// Creates a printer that writes anywhere, by any clock.
  package init(
    label: String, isTerminal: Bool, usesColor: Bool, now: @escaping () -> Double,
    write: @escaping (String) -> Void
  ) {
    self.label = label
    self.isTerminal = isTerminal
    self.usesColor = usesColor
    self.now = now
    self.write = write
  }

  /// Shows where the run stands, if it is time to; messages always.
  public func show(_ progress: TrainingProgress) {
    if let message = progress.message { tell(message) }
    let time = now()
    guard time - lastShown >= (isTerminal ? 0.1 : 5) else { return }
    lastShown = time
    let line = Self.line(label: usesColor ? "\u{1B}[1m\(label)\u{1B}[0m" : label, progress)
    write(isTerminal ? "\r\u{1B}[K\(line)" : "\(line)\n")
    hasLine = isTerminal
  }

  /// Ends the rewritten line, so that what follows starts on a line of its own.
  public func finish() {
    if hasLine { write("\n") }
    hasLine = false
  }

  private func tell(_ message: String) {
    write((hasLine ? "\r\u{1B}[K" : "") + "\(label): \(message)\n")
    hasLine = false
  }

  /// As in `mamba  45%  step 120/300  loss 2.134  validation 2.201  11.9k tokens/s  0:12 left`.
  package static func line(label: String, _ progress: TrainingProgress) -> String {
    var parts = [label, "\(Int((progress.share * 100).rounded(.down)))%"]
    parts.append("step \(progress.step)" + (progress.totalSteps.map { "/\($0)" } ?? ""))
    if let loss = progress.loss { parts.append("loss \(significant(loss))") }
    if let loss = progress.validationLoss { parts.append("validation \(significant(loss))") }
    parts.append("\(short(progress.unitsPerSecond)) \(progress.unit)/s")
    if let seconds = progress.remainingSeconds { parts.append("\(clock(seconds)) left") }
    return parts.joined(separator: "  ")
  }

  private static func significant(_ value: Double) -> String { String(format: "%.4g", value) }

  private static func short(_ value: Double) -> String {
    switch value {
    case 1e6...: String(format: "%.1fM", value / 1e6)
    case 1e4...: String(format: "%.1fk", value / 1e3)
    default: String(format: "%.0f", value)
    }
  }

  private static func clock(_ seconds: Double) -> String {
    let whole = Int(exactly: seconds.rounded()) ?? 0
    return whole >= 3600
      ? String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
      : String(format: "%d:%02d", whole / 60, whole % 60)
  }
}
