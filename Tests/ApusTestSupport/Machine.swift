import ApusTensor
import Foundation
package import Testing

/// The instruction sets that tests of kernels run on, best first: all of this machine, or those that
/// the variable APUS_TEST_TARGETS names, for machines on which all would take too long.
package let testedInstructionSets: [String] = {
  let all = Machine.availableInstructionSets
  guard let names = ProcessInfo.processInfo.environment["APUS_TEST_TARGETS"] else { return all }
  let wanted = names.split(separator: " ").map(String.init)
  // A name that is not there would let every test pass on nothing.
  precondition(
    !wanted.isEmpty && wanted.allSatisfy(all.contains),
    "APUS_TEST_TARGETS is '\(names)', but this machine has \(all)")
  return all.filter(wanted.contains)
}()

/// Runs `body` once per instruction set of this machine, then returns to the best.
package func onEveryInstructionSet(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: (_ name: String) throws -> Void
) rethrows {
  defer { _ = Machine.capInstructionSet(nil) }
  for name in testedInstructionSets {
    #expect(
      Machine.capInstructionSet(name), "\(name) is listed but cannot be chosen",
      sourceLocation: sourceLocation)
    try body(name)
  }
}

/// Runs `body` with `count` threads, then returns to what was.
package func withThreads<Result>(_ count: Int, _ body: () throws -> Result) rethrows -> Result {
  let before = Machine.threads
  Machine.setThreads(count)
  defer { Machine.setThreads(before) }
  return try body()
}
