import ApusData
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Checkpoints that nobody of ours wrote", .steadyMachine)
struct CheckpointHostileTests {
  private let folder = TrainingFolder()

  /// A finished run of five steps, its newest checkpoint changed; the manifest says what stands then.
  private func withChanged(_ name: String, _ change: (String) -> String) async throws {
    let options = checkpointedOptions(in: folder.path, steps: 5)
    _ = try await Trainer(options).run(TinyTask())
    let newest = folder.path + "/ckpt-5"
    let path = "\(newest)/\(name)"
    let text = change(try String(contentsOfFile: path, encoding: .utf8))
    try text.write(toFile: path, atomically: false, encoding: .utf8)
    let list = newest + "/MANIFEST.json"
    guard name != "MANIFEST.json" else { return }
    var manifest = try String(contentsOfFile: list, encoding: .utf8)
    let parts = try #require(try JSONValue(manifest.utf8, name: "")["files"]?.elements)
    let entry = try #require(parts.first { $0["name"]?.string == name })
    manifest = manifest.replacing(
      try #require(entry["sha256"]?.string), with: Digest.sha256(of: Data(text.utf8)))
    let size = "\(entry["size"]?.integer ?? 0)"
    manifest = manifest.replacing("\"size\" : \(size)", with: "\"size\" : \(text.utf8.count)")
    try manifest.write(toFile: list, atomically: false, encoding: .utf8)
  }

  private func resume() async throws -> TrainingRecord {
    try await Trainer(checkpointedOptions(in: folder.path, steps: 5)).run(TinyTask(), resume: true)
  }

  @Test(
    "are refused with the key named, whatever number they hold",
    arguments: [
      ("\"step\" : 5", "\"step\" : 9223372036854775807", "step"),
      ("\"skippedInRow\" : 0", "\"skippedInRow\" : -1", "run.skippedInRow"),
      (
        "\"validationsSinceBest\" : ", "\"validationsSinceBest\" : 77, \"was\" : ",
        "run.validationsSinceBest"
      ),
      ("\"skippedSteps\" : 0", "\"skippedSteps\" : 1e300", "run.record.skippedSteps"),
      ("\"units\" : ", "\"units\" : 4e18, \"were\" : ", "run.record.units"),
      ("\"spentSeconds\" : ", "\"spentSeconds\" : -5, \"was\" : ", "run.spentSeconds"),
      ("\"lossSum\" : ", "\"lossSum\" : NaN, \"was\" : ", "run.lossSum"),
      ("\"learningRate\" : ", "\"learningRate\" : Infinity, \"was\" : ", "learningRate"),
      (
        "\"curve\" : [", "\"curve\" : [{\"step\" : 6, \"seconds\" : 0},", "run.record.curve[0].step"
      ),
    ])
  func numbers(from: String, to: String, key: String) async throws {
    try await withChanged("state.json") { $0.replacing(from, with: to) }
    let error = await #expect(throws: TrainingError.self) { try await resume() }
    guard case .damagedCheckpoint(_, let problem) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(problem.contains(key), "\(problem)")
  }

  @Test(
    "of a newer Apus are refused and stay where they are",
    arguments: ["MANIFEST.json", "state.json"])
  func newer(name: String) async throws {
    try await withChanged(name) {
      $0.replacing("\"formatVersion\" : 1", with: "\"formatVersion\" : 9")
        .replacing("\"formatVersion\" : 2", with: "\"formatVersion\" : 9")
    }
    let path = folder.path + "/ckpt-5"
    let known = name == "state.json" ? 2 : 1
    let error = TrainingError.newerCheckpoint(path: path, found: 9, known: known)
    await #expect(throws: error) { try await resume() }
    #expect(Files.kind(of: path) == .folder && folder.names.allSatisfy { !$0.contains("damaged") })
  }

  @Test("are kept when the system cannot read them for a while")
  func unreadable() async throws {
    _ = try await Trainer(checkpointedOptions(in: folder.path, steps: 5)).run(TinyTask())
    // A name that leads nowhere for now, such as a disk that is not there.
    let path = folder.path + "/ckpt-5/MANIFEST.json"
    try FileManager.default.removeItem(atPath: path)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    await #expect(throws: FileError.self) { try await resume() }
    #expect(folder.names.contains("ckpt-5"))
  }

  @Test("are not followed by a link when they are removed")
  func links() async throws {
    try await withTemporaryFolderOutside { outside in
      let kept = ["model.safetensors", "state.json", "letter.txt"]
      for name in kept {
        try Data("kept".utf8).write(to: URL(fileURLWithPath: "\(outside)/\(name)"))
      }
      var options = checkpointedOptions(in: folder.path, steps: 9)
      options.checkpoints?.keepLast = 1
      _ = try? await Trainer(options).runCancelled(TinyTask()) { $0.step == 3 }
      for name in [
        "ckpt-1", "ckpt-5", ".tmp-ckpt-5-999999999", ".tmp-ckpt-5-\(Files.process)",
        "LATEST.tmp-\(Files.process)", "damaged-ckpt-3",
      ] {
        try FileManager.default.createSymbolicLink(
          atPath: "\(folder.path)/\(name)",
          withDestinationPath: name.hasPrefix("LATEST") ? outside + "/letter.txt" : outside)
      }
      try FileManager.default.createSymbolicLink(
        atPath: "\(folder.path)/ckpt-3/inside", withDestinationPath: outside)
      let record = try await Trainer(options).run(TinyTask(), resume: true)
      #expect(record.steps == 9 && folder.names.contains("ckpt-9"))
      for name in kept {
        #expect(FileManager.default.contents(atPath: "\(outside)/\(name)") == Data("kept".utf8))
      }
    }
  }

  private func withTemporaryFolderOutside(_ body: (String) async throws -> Void) async throws {
    let path = FileManager.default.temporaryDirectory.path + "/apus-outside-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try await body(path)
  }
}

@Suite("Runs of the version before")
struct EarlierRunTests {
  /// Forecasters begin with a linear map and count errors in another way since: the steps that are left
  /// would belong to another run. Models that are finished load, see `EarlierFolderTests`.
  @Test("are refused where training has changed since, and stay as they are")
  func resumed() async throws {
    let before = try fixturePath(
      "before", from: #filePath.replacing("ApusTrainingTests", with: "ApusRuntimeTests"))
    let data = before + "/series.csv"
    let bytes = try #require(FileManager.default.contents(atPath: data))
    let output = FileManager.default.temporaryDirectory.path + "/apus-half-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: output) }
    try FileManager.default.copyItem(atPath: before + "/run-half", toPath: output)
    var options = ModelTrainingOptions(try ModelChoice("lstm"))
    options.budget = .steps(8)
    (options.width, options.layers, options.context) = (8, 1, 16)
    let training = ForecastTraining(
      try SeriesTable(readingCSVAt: data), source: DataSource(name: "series.csv", data: bytes),
      options: options)
    let names = try Files.names(in: output + "/checkpoints")
    do {
      _ = try await training.run(output: output, resume: true)
      Issue.record("a run of another form was resumed")
    } catch TrainingError.otherConfiguration(let path, _) {
      #expect(path.contains("/checkpoints/ckpt-"))
    }
    // The lock that a run takes may stay.
    #expect(try Set(names).isSubset(of: Files.names(in: output + "/checkpoints")))
    let text = "\(TrainingError.otherConfiguration(path: "run", differences: []))"
    #expect(text.contains("a version of Apus that trained in another way"))
  }
}
