import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

/// Set in the process that ``KilledProcessTests`` starts: the folder to train in.
private let childFolder = ProcessInfo.processInfo.environment["APUS_TEST_TRAINING_FOLDER"]

/// Makes that process hang in a step.
private let hangs = ProcessInfo.processInfo.environment["APUS_TEST_HANG"] != nil

/// A run of a second or so, saved often.
private func slowOptions(_ directory: String) -> TrainerOptions {
  checkpointedOptions(in: directory, steps: 200) {
    $0.validateEvery = .steps(40)
    $0.checkpoints?.every = .steps(5)
  }
}

@Suite("Interruptions", .serialized)
struct InterruptionTests {
  private let folder = TrainingFolder()

  @Test("by a signal end a run after its step, with a checkpoint", arguments: [SIGINT, SIGTERM])
  func signals(signal: Int32) async throws {
    let options = checkpointedOptions(in: folder.path) {
      $0.checkpoints?.every = .steps(1000)
      $0.checkpoints?.keepLast = 100
      $0.validateEvery = .steps(1000)
    }
    Foundation.signal(signal, SIG_DFL)  // a shell's background job ignores SIGINT, and so would we
    let (gate, watching) = AsyncStream<Void>.makeStream()
    let work = Task {
      for await _ in gate {}  // until signals are watched
      return try await Trainer(options).run(TinyTask()) {
        if $0.step == 5 { send(SIGUSR1) }
        if $0.step == 9, !Task.isCancelled { send(signal) { Task.isCancelled } }
      }
    }
    let watch = SignalWatch { work.cancel() }
    let second = SignalWatch {}
    watching.finish()
    let record = try await work.value
    #expect(record.stopReason == .interrupted && record.steps == 9)
    #expect(watch.signal == signal && second.signal == nil)
    #expect(folder.names.filter { $0.hasPrefix("ckpt") }.sorted() == ["ckpt-6", "ckpt-9"])
  }

  /// Sends a signal to the process, not to this thread, which may block it; waits until it arrived, a
  /// tenth of a second at most.
  private func send(_ signal: Int32, until hasArrived: () -> Bool = { false }) {
    kill(ProcessInfo.processInfo.processIdentifier, signal)
    for _ in 0..<100 where !hasArrived() { usleep(1000) }
  }
}

#if os(Linux)
  @Suite("A process that is killed", .serialized, .steadyMachine)
  struct KilledProcessTests {
    // The child has no folder of its own, which it could not clear away when killed.
    private let folder = TrainingFolder(path: childFolder)

    /// What the started process does.
    @Test("trains", .enabled(if: childFolder != nil))
    func child() async throws {
      var task = try TinyTask()
      task.disturbance = { step in
        usleep(hangs && step == 20 ? 60_000_000 : 3000)
        return 1
      }
      let options = slowOptions(try #require(childFolder))
      nonisolated(unsafe) let child = task
      let work = Task { try await Trainer(options).run(child, resume: true) }
      let watch = SignalWatch { work.cancel() }
      let record = try await work.value
      if record.stopReason == .interrupted, let signal = watch.signal { exit(128 + signal) }
    }

    private func start(hanging: Bool = false) throws -> Process {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
      process.arguments = [
        "--testing-library", "swift-testing", "--filter", "KilledProcessTests/child",
      ]
      process.environment = ProcessInfo.processInfo.environment
        .merging(["APUS_TEST_TRAINING_FOLDER": folder.path]) { $1 }
        .merging(hanging ? ["APUS_TEST_HANG": "1"] : [:]) { $1 }
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      return process
    }

    /// Waits until a checkpoint of a later step than `step` stands.
    private func waitForProgress(past step: Int) throws -> Int {
      for _ in 0..<3000 {
        let text = folder.text("LATEST") ?? ""
        if let found = Int(text.dropFirst(5).dropLast()), found > step { return found }
        usleep(10_000)
      }
      throw CocoaError(.fileNoSuchFile)
    }

    @Test("goes on to the bit", .enabled(if: childFolder == nil))
    func kill() async throws {
      var reached = 0
      for pause in [0, 7000, 23_000] as [UInt32] {
        let process = try start()
        reached = try waitForProgress(past: reached)
        usleep(pause)
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal)
      }
      let task = try TinyTask()
      _ = try await Trainer(slowOptions(folder.path)).run(task, resume: true)
      var options = slowOptions("")
      options.checkpoints = nil
      let undisturbed = try TinyTask()
      _ = try await Trainer(options).run(undisturbed)
      #expect(task.bits == undisturbed.bits)
      #expect(folder.names.allSatisfy { !$0.contains("tmp") && !$0.contains("damaged") })
    }

    @Test("ends in good order at the first signal", .enabled(if: childFolder == nil))
    func firstSignal() throws {
      let process = try start()
      let reached = try waitForProgress(past: 0)
      Foundation.kill(process.processIdentifier, SIGTERM)
      process.waitUntilExit()
      #expect(process.terminationReason == .exit && process.terminationStatus == 143)
      #expect(try waitForProgress(past: reached - 1) >= reached)
    }

    @Test("ends at once at the second signal", .enabled(if: childFolder == nil))
    func secondSignal() throws {
      let process = try start(hanging: true)
      _ = try waitForProgress(past: 19)
      for _ in 0..<2 {
        Foundation.kill(process.processIdentifier, SIGTERM)
        usleep(100_000)
      }
      process.waitUntilExit()
      #expect(process.terminationReason == .exit && process.terminationStatus == 143)
      #expect(folder.text("LATEST") == "ckpt-20\n")
    }
  }
#endif
