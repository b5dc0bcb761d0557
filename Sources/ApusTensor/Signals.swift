import CApusKernels

/// The signals that end long work, or ask it for a checkpoint. Their handler sets flags, no more.
package enum Signals {
  /// Starts watching; forgets what came before. A second signal to stop ends the process at once.
  ///
  /// - Returns: What ``wait(for:)`` takes; nil when they are watched already.
  package static func watch() -> Int32? {
    let watch = apus_signals_watch()
    return watch < 0 ? nil : watch
  }

  /// Blocks until a signal to stop comes; nil when watching ends before. Once for each watch.
  package static func wait(for watch: Int32) -> Int32? {
    let signal = apus_signals_wait(watch)
    return signal == 0 ? nil : signal
  }

  /// Restores the previous handlers.
  package static func unwatch() { apus_signals_unwatch() }

  /// The first signal to stop that came; nil for none.
  package static var stop: Int32? {
    let signal = apus_signals_stop()
    return signal == 0 ? nil : signal
  }

  /// Whether a checkpoint was asked for since the last question.
  package static func takeCheckpointRequest() -> Bool {
    apus_signals_take_checkpoint_request() != 0
  }
}
