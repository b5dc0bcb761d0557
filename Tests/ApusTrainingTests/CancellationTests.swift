import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Synchronization
import Testing

@Suite("Long work, cancelled", .steadyMachine)
struct CancellationTests {
  /// What a job did after it was cancelled.
  private struct End {
    /// Events that still came.
    var late = 0
    /// Seconds until it threw.
    var seconds = 0.0
    var error: Interruption?
  }

  /// Runs a job in a task that is cancelled at the given event.
  private func cancelling<Event: Sendable>(
    at event: Int,
    _ job: @escaping @Sendable (@escaping @Sendable (Event) async -> Void) async throws -> Void
  ) async throws -> End {
    let seen = Mutex((count: 0, moment: ContinuousClock.now))
    let task = Task {
      try await job { _ in
        let isDue = seen.withLock { seen in
          seen.count += 1
          if seen.count == event { seen.moment = .now }
          return seen.count == event
        }
        if isDue { withUnsafeCurrentTask { $0?.cancel() } }
      }
    }
    var end = End()
    do { try await task.value } catch let error as Interruption { end.error = error }
    end.late = seen.withLock { $0.count } - event
    end.seconds = seen.withLock { (ContinuousClock.now - $0.moment) / .seconds(1) }
    return end
  }

  /// Cancels at an event and expects the end within a step: one event more at the most, and no more
  /// than three seconds of a debug build.
  private func expectPrompt<Event: Sendable>(
    _ work: String, at event: Int, checkpoint: Bool = false,
    _ job: @escaping @Sendable (@escaping @Sendable (Event) async -> Void) async throws -> Void,
    location: SourceLocation = #_sourceLocation
  ) async throws {
    let end = try await cancelling(at: event, job)
    #expect(end.error?.work == work, sourceLocation: location)
    #expect((end.error?.step != nil) == checkpoint, sourceLocation: location)
    #expect(end.late <= 1 && end.seconds < 3, "\(end)", sourceLocation: location)
  }

  private static let table = SeriesTable([
    TimeSeries(
      id: "wave",
      values: (0..<400).map { row -> Double in
        let part = Double(row % 7) / 9
        return 10 + sin(Double(row) / 3) + part
      })
  ])
  private static let source = DataSource(name: "memory", data: Data())

  private static var comparison: ComparisonOptions {
    var options = ComparisonOptions()
    (options.models, options.seeds, options.budget) = (["lstm"], [0, 1], .steps(100_000))
    (options.horizon, options.context, options.width, options.layers) = (2, 16, 8, 1)
    options.measure = .level
    return options
  }

  private static func training(steps: Int = 100_000) throws -> ModelTrainingOptions {
    var options = ModelTrainingOptions(.architecture(try Architecture.named("lstm")))
    (options.budget, options.measure) = (.steps(steps), .level)
    (options.context, options.width, options.layers) = (16, 8, 1)
    return options
  }

  @Test("a comparison of series and one of texts end within a step")
  func comparisons() async throws {
    try await expectPrompt("comparison", at: 5) {
      _ = try await SeriesComparison(Self.table, source: Self.source, options: Self.comparison)
        .run(progress: $0)
    }
    let text = String(repeating: "the swift stays in the air for ten months. ", count: 200)
    let corpus = try TextCorpus(Array(text.utf8), unit: .characters)
    try await expectPrompt("comparison", at: 5) {
      _ = try await TextComparison(corpus, source: Self.source, options: Self.comparison)
        .run(progress: $0)
    }
  }

  @Test("training ends within a step, with a checkpoint from which it goes on")
  func trainings() async throws {
    try await withTemporaryFolder { folder in
      let training = ForecastTraining(
        Self.table, source: Self.source, options: try Self.training())
      try await expectPrompt("training", at: 7, checkpoint: true) {
        _ = try await training.run(output: folder, progress: $0)
      }
      #expect(!FileManager.default.fileExists(atPath: folder + "/model.safetensors"))
      let first = Mutex(0)
      try await expectPrompt("training", at: 1, checkpoint: true) { report in
        _ = try await training.run(output: folder, resume: true) { progress in
          first.withLock { if $0 == 0 { $0 = progress.step } }
          await report(progress)
        }
      }
      #expect(first.withLock { $0 } == 8)
      await #expect(throws: TrainingError.occupied(path: folder + "/checkpoints")) {
        try await training.run(output: folder)
      }
    }
  }

  @Test("composing ends after the example at hand")
  func composing() async throws {
    try await withTemporaryFolder { folder in
      let expert = folder + "/expert"
      _ = try await ForecastTraining(
        Self.table, source: Self.source, options: Self.training(steps: 2)
      ).run(output: expert)
      try await expectPrompt("composing", at: 3) {
        _ = try await Composing(
          experts: [expert, expert], requests: .series(Self.table), output: folder + "/panel"
        ).run(progress: $0)
      }
      #expect(!FileManager.default.fileExists(atPath: folder + "/panel/coe.json"))
    }
  }

  @Test("a probe, Pathways and a measurement of costs end within a step")
  func experiments() async throws {
    var options = ProbeTests.small(.induction, model: "lstm")
    (options.steps, options.validateEvery) = (100_000, 100_000)
    let probe = try Probe(options)
    try await expectPrompt("probe", at: 4) { _ = try await probe.run(progress: $0) }
    try await expectPrompt("training", at: 3) {
      _ = try await PathwaysTraining([.shapes], steps: 100_000).run(progress: $0)
    }
    var experiment = PathwaysExperiment()
    (experiment.joint, experiment.added) = ([.shapes], [.waves])
    (experiment.jointSteps, experiment.steps, experiment.sizes) = (1, 100_000, [8])
    try await expectPrompt("experiment", at: 1) { [experiment] in
      _ = try await experiment.run(progress: $0)
    }
    var measurement = CostMeasurement()
    (measurement.models, measurement.lengths) = (["lstm"], [16, 32, 64])
    (measurement.width, measurement.blocks, measurement.vocabulary) = (8, 1, 11)
    try await expectPrompt("measurement", at: 1) { [measurement] in
      _ = try await measurement.run(progress: $0)
    }
  }

  @Test("validation is left at once too, and a resumed run makes up for it, to the bit")
  func validation() async throws {
    let folder = TrainingFolder()
    var task = try TinyTask()
    let whole = try TinyTask()
    var options = checkpointedOptions(in: folder.path, steps: 12)
    task.validation = {
      withUnsafeCurrentTask { $0?.cancel() }
      return 1
    }
    task.isCancellable = true
    let record = try await Trainer(options).runCancelled(task, when: { _ in false })
    #expect(record.stopReason == .interrupted && record.steps == 4 && record.curve.isEmpty)
    let rest = try TinyTask(seed: 9)
    let resumed = try await Trainer(options).run(rest, resume: true)
    options.checkpoints = nil
    let undisturbed = try await Trainer(options).run(whole)
    #expect(rest.bits == whole.bits && resumed.best == undisturbed.best)
    #expect(resumed.curve.map(\.step) == undisturbed.curve.map(\.step))
  }

  @Test("events come in order, and the closure may wait")
  func order() async throws {
    let steps = Mutex([Int]())
    _ = try await PathwaysTraining([.shapes], steps: 5).run { progress in
      try? await Task.sleep(for: .milliseconds(1))
      steps.withLock { $0.append(progress.step) }
    }
    #expect(steps.withLock { $0 } == [1, 2, 3, 4, 5])
    var options = Self.comparison
    options.budget = .steps(3)
    let shares = Mutex([Double]())
    let found = try await SeriesComparison(Self.table, source: Self.source, options: options)
      .run { progress in shares.withLock { $0.append(progress.share) } }
    #expect(shares.withLock { $0 == $0.sorted() && $0.count == 6 && $0.last == 1 })
    #expect(found.record.rows.first?.name == "lstm")
  }
}
