import CApusKernels

/// The signals that end a long run, or ask it for a checkpoint. Their handler sets flags, no more.
package enum Signals {
  /// Starts watching; forgets what came before. A second signal to stop ends the process at once.
  package static func watch(stopsWithParent: Bool) {
    apus_signals_watch(stopsWithParent ? 1 : 0)
  }

  /// Gives the signals back to whoever had them before.
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
