import ApusTensor
package import Testing

/// Runs `body` once per instruction set of this machine, then returns to the best.
package func onEveryInstructionSet(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: (_ name: String) throws -> Void
) rethrows {
  defer { _ = Machine.capInstructionSet(nil) }
  for name in Machine.availableInstructionSets {
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
