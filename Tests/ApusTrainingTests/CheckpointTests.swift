import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

/// A run that stops here stops as by a pulled plug: nothing after this is done.
private struct Crash: Error {}

/// Options of a run that validates, improves and saves at steps that do not coincide.
func checkpointedOptions(
  in directory: String, steps: Int = 14, _ change: (inout TrainerOptions) -> Void = { _ in }
) -> TrainerOptions {
  var options = TrainerOptions(budget: .steps(steps))
  options.schedule.peak = 0.02
  options.validateEvery = .steps(4)
  options.microBatches = 2
  var checkpoints = CheckpointOptions(directory: directory)
  checkpoints.every = .steps(3)
  options.checkpoints = checkpoints
  change(&options)
  return options
}

@Suite("Checkpoints", .steadyMachine)
struct CheckpointTests {
  private let folder = TrainingFolder()

  /// The weights of a run that nothing disturbs.
  private func undisturbed(
    steps: Int = 14, _ change: (inout TrainerOptions) -> Void = { _ in }
  ) async throws -> (bits: [UInt32], record: TrainingRecord) {
    let task = try TinyTask()
    var options = checkpointedOptions(in: "", steps: steps, change)
    options.checkpoints = nil
    let record = try await Trainer(options).run(task)
    return (task.bits, record)
  }

  /// A run that is cancelled after so many steps.
  private func begin(_ options: TrainerOptions, steps: Int) async throws {
    let record = try await Trainer(options).runCancelled(TinyTask(), when: { $0.step == steps })
    #expect(record.stopReason == .interrupted && record.steps == steps)
  }

  @Test("hold what the contract says")
  func layout() async throws {
    let record = try await Trainer(checkpointedOptions(in: folder.path)).run(TinyTask())
    #expect(folder.text("LATEST") == "ckpt-14\n")
    let best = try #require(record.best)
    #expect(folder.text("BEST") == "ckpt-\(best.step)\n")
    let newest = folder.path + "/ckpt-14"
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: newest).sorted()
        == ["MANIFEST.json", "model.safetensors", "optimizer.safetensors", "state.json"])
    let manifest = try folder.json("ckpt-14/MANIFEST.json")
    #expect(manifest["formatVersion"] as? Int == 1 && manifest["step"] as? Int == 14)
    #expect(manifest["parentStep"] as? Int == 12)
    let files = try #require(manifest["files"] as? [[String: Any]])
    #expect(files.count == 3)
    for file in files {
      let path = "\(newest)/\(file["name"] as? String ?? "")"
      #expect(file["sha256"] as? String == (try Digest.sha256(ofFile: path)))
      #expect(file["size"] as? Int == FileManager.default.contents(atPath: path)?.count)
    }
    let state = try folder.json("ckpt-14/state.json")
    #expect(state["step"] as? Int == 14 && state["unitsSeen"] as? Int == 196)
    #expect((state["dataCursor"] as? [String: Int]) == ["seed": 0, "position": 28])
    #expect((state["random"] as? [String: Any])?["counter"] as? Int == 14)
    for key in [
      "run", "options", "configSHA256", "dataSHA256", "codeVersion", "instructionSet", "threads",
      "lossAverage", "learningRate", "budgetSpentSeconds", "arithmetic", "gradients", "microStep",
    ] {
      #expect(state[key] != nil, "\(key)")
    }
    let moments = try Safetensors.load(newest + "/optimizer.safetensors")
    #expect(moments.count == 7 && moments["hidden.weight.first_moment"]?.shape == [17, 5])
    #expect(folder.names.allSatisfy { !$0.contains("tmp") })
    // As published, so other tools compute the same digest.
    #expect(
      Digest.sha256(of: Data("abc".utf8))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }

  @Test("let a run go on to the bit, also with other threads", arguments: [1, 5, 8, 13], [1, 2])
  func resume(stop: Int, threads: Int) async throws {
    let expected = try await undisturbed()
    let options = checkpointedOptions(in: folder.path)
    try await begin(options, steps: stop)
    let before = Machine.threads
    Machine.setThreads(threads)
    defer { Machine.setThreads(before) }
    let task = try TinyTask(seed: 77)  // whose own weights must not matter
    let record = try await Trainer(options).run(task, resume: true)
    #expect(task.bits == expected.bits)
    #expect(record.best == expected.record.best && record.units == expected.record.units)
    #expect(record.curve.map(\.validationLoss) == expected.record.curve.map(\.validationLoss))
    #expect(record.curve.map(\.trainLoss) == expected.record.curve.map(\.trainLoss))
    #expect(record.stopReason == .budget && record.steps == 14)
  }

  @Test("let a run of another optimizer go on to the bit")
  func resumeSGD() async throws {
    let change: (inout TrainerOptions) -> Void = { $0.optimizer = .sgd }
    let options = checkpointedOptions(in: folder.path, change)
    try await begin(options, steps: 7)
    let task = try TinyTask()
    _ = try await Trainer(options).run(task, resume: true)
    #expect(task.bits == (try await undisturbed(change).bits))
  }

  @Test("say that a finished run is finished")
  func resumeFinished() async throws {
    let options = checkpointedOptions(in: folder.path)
    let first = try TinyTask()
    let done = try await Trainer(options).run(first)
    let again = try TinyTask(seed: 8)
    let record = try await Trainer(options).run(again, resume: true)
    #expect(record.steps == 14 && record.best == done.best && again.bits == first.bits)
    #expect(record.curve == done.curve)
  }

  @Test("begin afresh when asked to resume from nothing")
  func resumeNothing() async throws {
    let task = try TinyTask()
    _ = try await Trainer(checkpointedOptions(in: folder.path)).run(task, resume: true)
    #expect(task.bits == (try await undisturbed().bits))
  }

  @Test("survive the end of the process before any operation on a file")
  func crashes() async throws {
    let expected = try await undisturbed()
    var operations = 0
    var counting = try Trainer(checkpointedOptions(in: folder.path + "/count"))
    counting.files = Files { _ in operations += 1 }
    _ = try await counting.run(TinyTask())
    #expect(operations > 100)
    for last in 0..<operations {
      let directory = folder.path + "/\(last)"
      let options = checkpointedOptions(in: directory)
      try await crash(options, after: last)
      // A second one while the first is mended, now and then.
      if last % 3 == 0 { try await crash(options, after: last % 40, resume: true) }
      let task = try TinyTask()
      let record = try await Trainer(options).run(task, resume: true)
      #expect(task.bits == expected.bits, "after \(last) operations")
      #expect(record.best == expected.record.best, "after \(last) operations")
      let names = try FileManager.default.contentsOfDirectory(atPath: directory)
      #expect(names.allSatisfy { !$0.contains("tmp") && !$0.contains("damaged") }, "\(names)")
      try FileManager.default.removeItem(atPath: directory)
    }
  }

  private func crash(_ options: TrainerOptions, after last: Int, resume: Bool = false) async throws
  {
    var count = 0
    var trainer = try Trainer(options)
    trainer.files = Files { _ in
      count += 1
      if count > last { throw Crash() }
    }
    do { _ = try await trainer.run(TinyTask(), resume: resume) } catch is Crash {}
  }

  @Test("reach the disk in an order that survives a power cut")
  func order() async throws {
    var operations: [Files.Operation] = []
    var trainer = try Trainer(checkpointedOptions(in: folder.path))
    trainer.files = Files { operations.append($0) }
    _ = try await trainer.run(TinyTask())
    var renames = 0
    for (index, rename) in operations.enumerated() where rename.kind == .rename {
      guard rename.path.contains("/ckpt-") else { continue }
      renames += 1
      let made = try #require(operations[..<index].lastIndex { $0.kind == .makeFolder })
      let temporary = operations[made].path
      let created = operations[made..<index].filter { $0.kind == .create }.map(\.path)
      #expect(
        created
          == ["model.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"]
          .map { "\(temporary)/\($0)" })
      let synced = operations[made..<index].filter { $0.kind == .sync }.map(\.path)
      #expect(synced == created + [temporary])
      #expect(operations[index + 1].kind == .sync && operations[index + 1].path == folder.path)
      let latest = operations[(index + 1)...].first { $0.kind == .rename }
      #expect(latest?.path == folder.path + "/LATEST")
    }
    #expect(renames >= 5)
  }

  @Test(
    "fall back when the newest is damaged, and say so",
    arguments: ["model.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"],
    ["flip", "cut", "remove", "grow"])
  func damaged(file: String, how: String) async throws {
    let options = checkpointedOptions(in: folder.path)
    try await begin(options, steps: 13)
    let url = URL(fileURLWithPath: folder.path + "/ckpt-13/" + file)
    var data = try Data(contentsOf: url)
    switch how {
    case "flip": data[data.count / 2] ^= 1
    case "cut": data = data.prefix(data.count / 2)
    case "grow": data.append(1)
    default: break
    }
    if how == "remove" {
      try FileManager.default.removeItem(at: url)
    } else {
      try data.write(to: url)
    }
    var messages: [String] = []
    let task = try TinyTask()
    _ = try await Trainer(options).run(task, resume: true) {
      messages += $0.message.map { [$0] } ?? []
    }
    #expect(task.bits == (try await undisturbed().bits))
    // One bit of the manifest may be white space or spell another number; either is noticed or moot.
    guard file != "MANIFEST.json" || how == "cut" || how == "remove" else { return }
    #expect(messages.count == 1 && messages[0].contains("ckpt-13") && messages[0].contains(file))
    #expect(folder.names.contains("damaged-ckpt-13"))
  }

  @Test("go on without the best weights when those are damaged, and say so")
  func damagedBest() async throws {
    var task = try TinyTask()
    var losses = [1.0, 2, 3, 4, 5].makeIterator()
    task.validation = { losses.next() }
    let options = checkpointedOptions(in: folder.path)
    _ = try await Trainer(options).runCancelled(task, when: { $0.step == 11 })
    #expect(folder.text("BEST") == "ckpt-4\n" && folder.names.contains("ckpt-4"))
    try Data([1]).write(to: URL(fileURLWithPath: folder.path + "/ckpt-4/model.safetensors"))
    var messages: [String] = []
    let record = try await Trainer(options).run(task, resume: true) {
      messages += $0.message.map { [$0] } ?? []
    }
    #expect(messages.count == 1 && messages[0].contains("best weights, of step 4, are lost"))
    #expect(record.best?.step == 12)
  }

  @Test("refuse to go on when all are damaged")
  func allDamaged() async throws {
    let options = checkpointedOptions(in: folder.path)
    try await begin(options, steps: 5)
    for name in folder.names where name.hasPrefix("ckpt-") {
      try Data().write(to: URL(fileURLWithPath: "\(folder.path)/\(name)/state.json"))
    }
    let error = await #expect(throws: TrainingError.self) {
      try await Trainer(options).run(try TinyTask(), resume: true)
    }
    guard case .noValidCheckpoint = error else {
      Issue.record("\(error.map(String.init(describing:)) ?? "nothing")")
      return
    }
  }

  @Test("refuse to go on with other options, another model or other data")
  func otherRun() async throws {
    let options = checkpointedOptions(in: folder.path)
    try await begin(options, steps: 5)
    func refusal(
      _ task: TinyTask, _ change: (inout TrainerOptions) -> Void = { _ in }
    ) async -> String {
      let error = await #expect(throws: TrainingError.self) {
        try await Trainer(checkpointedOptions(in: folder.path, change)).run(task, resume: true)
      }
      return error?.description ?? ""
    }
    var task = try TinyTask()
    #expect(await refusal(task) { $0.seed = 3 }.contains("seed was 0, is 3"))
    #expect(await refusal(task) { $0.clip = nil }.contains("clip was 1, is not set"))
    #expect(await refusal(task) { $0.budget = .steps(15) }.contains("budget"))
    task.identity.configuration = "other"
    #expect(await refusal(task).contains("the model or its data settings differ"))
    task.identity = TaskIdentity(configuration: "tiny", dataSHA256: "4567")
    #expect(await refusal(task).contains("other data"))
    task.parameters[0].setTrainable(false)
    #expect(await !refusal(task).isEmpty)
    // Where and how often files are written makes no difference.
    _ = try await Trainer(checkpointedOptions(in: folder.path) { $0.checkpoints?.keepLast = 7 })
      .run(TinyTask(), resume: true)
  }

  @Test("are not overwritten by another run")
  func occupied() async throws {
    let options = checkpointedOptions(in: folder.path)
    try await begin(options, steps: 5)
    await #expect(throws: TrainingError.occupied(path: folder.path)) {
      try await Trainer(options).run(TinyTask())
    }
    await #expect(throws: TrainingError.self) {
      try await Trainer(TrainerOptions()).run(TinyTask(), resume: true)
    }
  }

  @Test("are written by one process at a time")
  func busy() async throws {
    let store = try CheckpointStore(folder.path, keepLast: 1)
    await #expect(throws: TrainingError.busy(path: folder.path)) {
      try await Trainer(checkpointedOptions(in: folder.path)).run(TinyTask())
    }
    withExtendedLifetime(store) {}
  }

  @Test("go, but never the best nor the last", arguments: [1, 2, 3])
  func keepLast(count: Int) async throws {
    var task = try TinyTask()
    var losses = [2.0, 1, 3, 4, 5].makeIterator()
    task.validation = { losses.next() }
    _ = try await Trainer(checkpointedOptions(in: folder.path) { $0.checkpoints?.keepLast = count })
      .run(task)
    let steps = folder.names.compactMap { $0.hasPrefix("ckpt-") ? Int($0.dropFirst(5)) : nil }
    #expect(
      steps.sorted()
        == ([8, 11, 14].suffix(count) + [8]).reduce(into: []) { list, step in
          if !list.contains(step) { list.append(step) }
        }.sorted())
    #expect(folder.text("BEST") == "ckpt-8\n")
  }

  @Test("clear away what dead processes left, and nothing else")
  func sweep() throws {
    let dead = 0x3FFF_FFF0  // no system counts this far
    let own = ProcessInfo.processInfo.processIdentifier
    for name in [".tmp-ckpt-5-\(dead)", ".tmp-old-ckpt-5-\(own)", ".tmp-ckpt-6-1", "notes"] {
      try FileManager.default.createDirectory(
        atPath: "\(folder.path)/\(name)", withIntermediateDirectories: true)
      try Data([1]).write(to: URL(fileURLWithPath: "\(folder.path)/\(name)/model.safetensors"))
    }
    try Data([1]).write(to: URL(fileURLWithPath: "\(folder.path)/LATEST.tmp-\(dead)"))
    _ = try CheckpointStore(folder.path, keepLast: 1)
    #expect(folder.names.sorted() == [".lock", ".tmp-ckpt-6-1", "notes"])
  }

  @Test("let a run go on when the disk is full for a while")
  func fullDisk() async throws {
    var step = 0
    var trainer = try Trainer(checkpointedOptions(in: folder.path))
    trainer.files = Files { operation in
      if (5...9).contains(step), operation.kind == .write {
        throw FileError("write", operation.path, code: ENOSPC)
      }
    }
    var messages: [String] = []
    var task = try TinyTask()
    task.disturbance = {
      step = $0
      return 1
    }
    let record = try await trainer.run(task) { messages += $0.message.map { [$0] } ?? [] }
    let expected = try await undisturbed()
    #expect(record.stopReason == .budget && task.bits == expected.bits)
    #expect(!messages.isEmpty)
    #expect(messages.allSatisfy { $0.contains("stands") && $0.contains("No space left") })
    #expect(folder.text("LATEST") == "ckpt-14\n")
    #expect(folder.names.allSatisfy { !$0.contains("tmp") })
  }

  @Test("say so when the last one cannot be written, and keep the one before")
  func fullDiskAtTheEnd() async throws {
    var step = 0
    var trainer = try Trainer(checkpointedOptions(in: folder.path))
    trainer.files = Files { operation in
      if step >= 13 { throw FileError("write", operation.path, code: ENOSPC) }
    }
    var task = try TinyTask()
    task.disturbance = {
      step = $0
      return 1
    }
    let error = await #expect(throws: TrainingError.self) { try await trainer.run(task) }
    guard case .lastCheckpoint = error else {
      Issue.record("\(error.map(String.init(describing:)) ?? "nothing")")
      return
    }
    let expected = try await undisturbed()
    #expect(task.bits == expected.bits)
    let again = try TinyTask()
    _ = try await Trainer(checkpointedOptions(in: folder.path)).run(again, resume: true)
    #expect(again.bits == expected.bits)
  }

  @Test("need a fifth more space than they take")
  func space() async throws {
    var trainer = try Trainer(checkpointedOptions(in: folder.path))
    trainer.freeBytes = { _ in 70_000 }
    let error = await #expect(throws: TrainingError.self) { try await trainer.run(TinyTask()) }
    guard case .noSpace(_, let needed, 70_000) = error else {
      Issue.record("\(error.map(String.init(describing:)) ?? "nothing")")
      return
    }
    #expect(needed > 80_000)
    // Later it is a warning.
    var asked = 0
    trainer.freeBytes = { _ in
      asked += 1
      return asked == 2 ? 0 : nil
    }
    var messages: [String] = []
    _ = try await trainer.run(TinyTask()) { messages += $0.message.map { [$0] } ?? [] }
    #expect(messages.count == 1 && messages[0].contains("there is none yet"))
    #expect(folder.text("LATEST") == "ckpt-14\n")
  }

  @Test("remember the seconds that are spent")
  func secondsBudget() async throws {
    var time = 0.0
    func trainer() throws -> Trainer {
      var options = checkpointedOptions(in: folder.path)
      options.budget = .seconds(100)
      options.validateEvery = .share(0.2)
      var trainer = try Trainer(options)
      trainer.seconds = { time }
      return trainer
    }
    var task = try TinyTask()
    task.disturbance = { _ in
      time += 0.5
      return 1
    }
    _ = try await trainer().runCancelled(task, when: { $0.seconds >= 40 })
    time = 1000
    var first: TrainingProgress?
    let record = try await trainer().run(task, resume: true) { first = first ?? $0 }
    #expect((40...42).contains(first?.seconds ?? 0) && (0.4...0.43).contains(first?.share ?? 0))
    #expect((98...101).contains(record.seconds) && record.steps > 90)
  }

  @Test("refuse two parameters of one name")
  func duplicateNames() async throws {
    struct Twice: TrainingTask {
      let parameters = [Parameter("w", Tensor(1)), Parameter("w", Tensor(2))]
      let unit = "windows"
      func loss(step: Int, microStep: Int, key: RandomKey) throws -> (loss: Tensor, units: Int) {
        (parameters[0].value.mean(), 1)
      }
      func validationLoss() throws -> Double? { nil }
    }
    await #expect(throws: TrainingError.duplicateParameter(name: "w")) {
      try await Trainer(checkpointedOptions(in: folder.path)).run(Twice())
    }
  }
}

/// A folder that goes with the test that made it.
final class TrainingFolder: Sendable {
  let path: String
  private let isForeign: Bool

  /// Makes a folder, or refers to another's.
  init(path foreign: String? = nil) {
    // In memory where there is such a place: these tests flush thousands of files.
    let memory = "/dev/shm/"
    let root =
      FileManager.default.isWritableFile(atPath: memory) ? memory : NSTemporaryDirectory()
    path = foreign ?? root + "apus-training-" + UUID().uuidString
    isForeign = foreign != nil
    if isForeign { return }
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { if !isForeign { try? FileManager.default.removeItem(atPath: path) } }

  var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] }

  func text(_ name: String) -> String? {
    FileManager.default.contents(atPath: "\(path)/\(name)").map {
      String(decoding: $0, as: UTF8.self)
    }
  }

  func json(_ name: String) throws -> [String: Any] {
    let data = try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))
    return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
  }
}
