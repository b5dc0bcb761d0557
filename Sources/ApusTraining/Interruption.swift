import ApusTensor
import Synchronization

/// A way to end a run early, or to ask it for a checkpoint, from another thread or by a signal.
public final class Interruption: Sendable {
  private let stopRequested = Atomic(false)
  private let checkpointRequested = Atomic(false)
  private let watchesSignals: Bool

  /// Creates one that only ``stop()`` and ``requestCheckpoint()`` trigger.
  public init() { watchesSignals = false }

  private init(watchingSignals: Bool) { watchesSignals = watchingSignals }

  deinit { if watchesSignals { Signals.unwatch() } }

  /// Lets signals of this process end the run: the first SIGINT, SIGTERM or SIGHUP lets it finish
  /// its step and write a checkpoint, the second ends the process at once. SIGUSR1 asks for a
  /// checkpoint. Watching ends with the object; there can be one at a time.
  ///
  /// - Parameter stopsWithParent: Whether the end of the parent process counts as SIGTERM (Linux
  ///   only); by default not.
  /// - Returns: What a run takes as its interruption.
  public static func bySignals(stopsWithParent: Bool = false) -> Interruption {
    Signals.watch(stopsWithParent: stopsWithParent)
    return Interruption(watchingSignals: true)
  }

  /// Asks the run to end after its step.
  public func stop() { stopRequested.store(true, ordering: .relaxed) }

  /// Asks the run for a checkpoint after its step.
  public func requestCheckpoint() { checkpointRequested.store(true, ordering: .relaxed) }

  /// The signal that asked for the end; nil when none did.
  public var signal: Int32? { watchesSignals ? Signals.stop : nil }

  /// Whether the run should end.
  var isStopping: Bool { stopRequested.load(ordering: .relaxed) || signal != nil }

  /// Whether a checkpoint was asked for; the question takes the request away.
  func takeCheckpointRequest() -> Bool {
    let asked = checkpointRequested.exchange(false, ordering: .relaxed)
    return (watchesSignals && Signals.takeCheckpointRequest()) || asked
  }
}
