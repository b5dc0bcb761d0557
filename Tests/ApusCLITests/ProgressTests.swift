import Foundation
import Synchronization
import Testing

import ApusCLI
import ApusTraining

@Suite("Progress")
struct ProgressTests {
  private func progress(step: Int = 120, message: String? = nil) -> TrainingProgress {
    TrainingProgress(
      step: step, totalSteps: 300, share: 0.4567, seconds: 10, remainingSeconds: 12.4,
      loss: 2.13449,
      learningRate: 0.001, gradientNorm: 1, unitsPerSecond: 11_900, unit: "tokens",
      validationLoss: 2.2, message: message)
  }

  @Test("is one line that says where the run stands")
  func line() {
    var other = progress()
    #expect(
      Progress.line(other)
        == "45%  step 120/300  loss 2.134  validation 2.2  11.9k tokens/s  0:12 left")
    (other.totalSteps, other.loss, other.validationLoss) = (nil, nil, nil)
    other.unitsPerSecond = 3_400_000
    other.remainingSeconds = 3725
    #expect(Progress.line(other) == "45%  step 120  3.4M tokens/s  1:02:05 left")
    other.remainingSeconds = .infinity
    #expect(Progress.line(other).hasSuffix("0:00 left"))
  }

  /// What 12 seconds of progress with one warning print.
  private func output(isTerminal: Bool, isQuiet: Bool = false) -> String {
    let (written, clock) = (PrinterTests.Written(), Clock())
    let shown = Progress(
      "a", isQuiet: isQuiet, printer: written.printer(isTerminal: isTerminal), now: clock.now)
    for second in 0..<12 {
      clock.set(Double(second))
      shown.show(progress(step: second, message: second == 7 ? "careful" : nil))
    }
    shown.end()
    shown.end()
    return written.take()
  }

  /// A clock that stands until it is set.
  private final class Clock: Sendable {
    private let time = Mutex(0.0)

    func set(_ value: Double) { time.withLock { $0 = value } }

    @Sendable func now() -> Double { time.withLock { $0 } }
  }

  @Test("rewrites its line on a terminal, prints plain lines elsewhere, and hides no warning")
  func printer() {
    let plain = output(isTerminal: false)
    #expect(!plain.contains("\u{1B}") && !plain.contains("\r"))
    let lines = plain.split(separator: "\n")
    #expect(
      lines.count == 4 && lines[2] == "a: careful" && lines[0].hasPrefix("a  45%  step 0/300"))
    let terminal = output(isTerminal: true)
    #expect(terminal.components(separatedBy: "\r\u{1B}[K").count == 15)
    #expect(terminal.filter { $0 == "\n" }.count == 1 && terminal.hasSuffix("\r\u{1B}[K"))
    #expect(terminal.contains("\u{1B}[1ma\u{1B}[0m"))
    #expect(output(isTerminal: true, isQuiet: true) == "a: careful\n")
    #expect(output(isTerminal: false, isQuiet: true) == "a: careful\n")
  }

  @Test("a comparison shows each part at once")
  func parts() {
    let written = PrinterTests.Written()
    let shown = Progress(isQuiet: false, printer: written.printer(isTerminal: false), now: { 0 })
    for (phase, share) in [("mamba, seed 1 of 2", 0.1), ("mamba, seed 1 of 2", 0.2), ("lstm", 0.5)]
    {
      shown.show(WorkProgress(phase: phase, share: share, secondsLeft: 61, detail: "loss 2"))
    }
    #expect(
      written.take() == """
        10 %  mamba, seed 1 of 2: loss 2, about 1:01 left
        50 %  lstm: loss 2, about 1:01 left

        """)
  }
}
