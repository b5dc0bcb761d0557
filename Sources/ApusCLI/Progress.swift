package import Apus
import Foundation
import Synchronization

/// Shows how far long work is: one line that is rewritten on a terminal, a plain line every few seconds
/// elsewhere, or nothing. Warnings are always shown.
package final class Progress: Sendable {
  private let label: String
  private let isQuiet: Bool
  private let printer: Printer
  private let now: @Sendable () -> Double
  private let last = Mutex((time: -Double.infinity, phase: ""))

  /// Creates what shows the progress of `label`, which stands before every line; where it is quiet,
  /// warnings alone.
  package init(
    _ label: String = "", isQuiet: Bool, printer: Printer = .messages,
    now: @escaping @Sendable () -> Double = { ProcessInfo.processInfo.systemUptime }
  ) {
    (self.label, self.isQuiet, self.printer, self.now) = (label, isQuiet, printer, now)
  }

  /// Shows where a training stands, if it is time to; its warnings whatever the time.
  package func show(_ progress: TrainingProgress) {
    if let message = progress.message { printer.note("\(label): \(message)") }
    show(Self.line(progress), phase: "")
  }

  /// Shows where work of several parts stands, if it is time to or another part has begun.
  package func show(_ progress: WorkProgress) {
    let left = progress.secondsLeft.map { ", about \(Self.clock($0)) left" } ?? ""
    let detail = progress.detail.isEmpty ? "" : ": \(progress.detail)"
    let share = Int((progress.share * 100).rounded())
    show("\(share) %  \(progress.phase)\(detail)\(left)", phase: progress.phase)
  }

  /// Takes the line away, so that results begin where it was.
  package func end() { printer.endLine() }

  private func show(_ line: String, phase: String) {
    guard !isQuiet else { return }
    let time = now()
    let isTime = last.withLock { last in
      let pause = printer.isTerminal ? 0.1 : 5
      guard time - last.time >= pause || phase != last.phase else { return false }
      last = (time, phase)
      return true
    }
    if isTime { printer.rewrite(label, (label.isEmpty ? "" : "  ") + line) }
  }

  /// As in `45%  step 120/300  loss 2.134  validation 2.201  11.9k tokens/s  0:12 left`.
  package static func line(_ progress: TrainingProgress) -> String {
    var parts = ["\(Int((progress.share * 100).rounded(.down)))%"]
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
