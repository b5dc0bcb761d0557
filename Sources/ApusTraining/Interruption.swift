public import ApusTensor
import Foundation

/// The end of long work whose task was cancelled: every `run` of this module throws it then, within a
/// step.
public struct Interruption: Error, Hashable {
  /// What was interrupted, such as "comparison".
  public var work: String
  /// The step whose checkpoint stands, from which the work can be resumed; nil where there is none.
  public var step: Int?
  /// Whether what was done before stands, so that the same work goes on from there.
  public var isKept = false

  /// Names what was interrupted.
  public init(work: String, step: Int? = nil, isKept: Bool = false) {
    (self.work, self.step, self.isKept) = (work, step, isKept)
  }

  /// Runs `body`, and tells of its cancellation by the name of the work.
  static func naming<Result>(
    _ work: String, isKept: Bool = false, _ body: () async throws -> Result
  ) async throws -> Result {
    do { return try await body() } catch is CancellationError {
      throw Interruption(work: work, isKept: isKept)
    }
  }
}

extension Interruption: ApusError {
  public var exitStatus: ExitStatus { .interrupted }
  /// What was interrupted, and what stands.
  public var description: String {
    "The \(work) was interrupted"
      + (step.map { " at step \($0); its checkpoint stands, so that it can be resumed." }
        ?? (isKept
          ? "; what was trained is kept. Run the same command with --resume to go on."
          : "; nothing was written."))
  }
}

/// The signals of this process as a reason to cancel: the first SIGINT, SIGTERM or SIGHUP calls a
/// handler, the second ends the process at once with 128 + signal. SIGUSR1 asks training for a
/// checkpoint after its step.
///
///     let work = Task { try await comparison.run() }
///     let watch = SignalWatch { work.cancel() }
///
/// Watching ends with the object; there can be one at a time, and a second one sees nothing.
public final class SignalWatch: Sendable {
  private let isWatching: Bool

  /// Starts watching.
  ///
  /// - Parameter handler: Called once, from a thread of its own.
  public init(_ handler: @escaping @Sendable () -> Void) {
    let watch = Signals.watch()
    isWatching = watch != nil
    guard let watch else { return }
    Thread.detachNewThread { if Signals.wait(for: watch) != nil { handler() } }
  }

  deinit { if isWatching { Signals.unwatch() } }

  /// The signal that came first, such as 2 for SIGINT; nil when none did.
  public var signal: Int32? { isWatching ? Signals.stop : nil }
}
