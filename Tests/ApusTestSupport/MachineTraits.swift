public import Testing

/// How a test deals with settings of the whole process, such as the instruction set of the kernels.
/// Tests run side by side, and a test that compares bits must not see those settings change.
public struct MachineTrait: SuiteTrait, TestTrait, TestScoping {
  fileprivate let changes: Bool

  /// Suites pass the trait on to each of their tests.
  public var isRecursive: Bool { true }

  @concurrent
  public func provideScope(
    for test: Test, testCase: Test.Case?,
    performing body: @Sendable @concurrent () async throws -> Void
  ) async throws {
    guard testCase != nil else { return try await body() }
    await turns.enter(alone: changes)
    do {
      try await body()
    } catch {
      await turns.leave(alone: changes)
      throw error
    }
    await turns.leave(alone: changes)
  }
}

extension Trait where Self == MachineTrait {
  /// The test changes settings of the process: it runs while no test that cares does.
  public static var changesMachine: Self { MachineTrait(changes: true) }

  /// The test compares bits: it runs while no test changes settings of the process.
  public static var steadyMachine: Self { MachineTrait(changes: false) }
}

private let turns = Turns()

/// Lets many in together, or one alone, in the order in which they came.
private actor Turns {
  private var inside = 0
  private var isOneAlone = false
  private var waiting: [(alone: Bool, go: CheckedContinuation<Void, Never>)] = []

  func enter(alone: Bool) async {
    if waiting.isEmpty, admits(alone: alone) {
      admit(alone: alone)
    } else {
      await withCheckedContinuation { waiting.append((alone, $0)) }
    }
  }

  func leave(alone: Bool) {
    inside -= 1
    if alone { isOneAlone = false }
    while let next = waiting.first, admits(alone: next.alone) {
      waiting.removeFirst()
      admit(alone: next.alone)
      next.go.resume()
    }
  }

  private func admits(alone: Bool) -> Bool { alone ? inside == 0 : !isOneAlone }

  private func admit(alone: Bool) {
    inside += 1
    isOneAlone = alone
  }
}
