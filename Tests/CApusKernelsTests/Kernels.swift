import CApusKernels
import Testing

/// The suite that all kernel suites extend. One at a time, because some cap the instruction set or
/// change the number of threads, and both hold for the whole process.
@Suite("Kernels", .serialized)
struct Kernels {
  /// Runs `body` once per instruction set of this machine, then returns to the best.
  static func onEveryTarget(_ body: (String) throws -> Void) rethrows {
    defer { _ = apus_cap_target(nil) }
    for target in String(cString: apus_available_targets()).split(separator: " ") {
      guard apus_cap_target(String(target)) == 1 else {
        Issue.record("\(target) is listed but cannot be chosen")
        continue
      }
      try body(String(target))
    }
  }

  /// Runs `body` with `count` threads, then with all again.
  static func withThreads<Result>(_ count: Int32, _ body: () throws -> Result) rethrows -> Result {
    defer { apus_set_threads(0) }
    apus_set_threads(count)
    return try body()
  }
}
