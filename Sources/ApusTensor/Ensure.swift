import CApusKernels

/// Ends the process with `message` on standard error where `condition` does not hold: for mistakes
/// of the program that calls, never for what it was given.
///
/// Unlike `precondition`, release builds keep the message.
@inline(__always)
package func ensure(
  _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String
) {
  if !condition() { stop(message()) }
}

/// Ends the process with `message` on standard error.
@inline(never)
package func stop(_ message: String) -> Never { apus_stop(message) }
