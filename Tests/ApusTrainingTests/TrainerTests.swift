import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Trainer", .steadyMachine)
struct TrainerTests {
  private func options(steps: Int, _ change: (inout TrainerOptions) -> Void = { _ in })
    -> TrainerOptions
  {
    var options = TrainerOptions(budget: .steps(steps))
    options.schedule.peak = 0.02
    options.schedule.floor = 0.001
    change(&options)
    return options
  }

  @Test("learns, and ends with the weights that validated best")
  func learns() async throws {
    let task = try TinyTask()
    let before = try #require(try task.validationLoss())
    var calls = 0
    let record = try await Trainer(options(steps: 400)).run(task) { progress in
      calls += 1
      #expect(progress.step == calls)
      #expect(progress.share == Double(calls) / 400)
    }
    #expect(calls == 400 && record.steps == 400 && record.units == 2800)
    #expect(record.stopReason == .budget && record.unit == "examples")
    #expect(record.curve.count == 20 && record.curve.map(\.step) == (1...20).map { $0 * 20 })
    let best = try #require(record.best)
    #expect(best.validationLoss < before * 0.8)
    #expect(best.validationLoss == record.curve.compactMap(\.validationLoss).min())
    let after = try #require(try task.validationLoss())
    #expect(after == best.validationLoss)
    #expect(record.unitsPerSecond > 0 && record.peakBytes > 0)
  }

  @Test("gives the same bits again, and with another number of threads")
  func reproducible() async throws {
    func weights(threads: Int) async throws -> [UInt32] {
      let before = Machine.threads
      Machine.setThreads(threads)
      defer { Machine.setThreads(before) }
      let task = try TinyTask()
      _ = try await Trainer(options(steps: 60)).run(task)
      return task.bits
    }
    let once = try await weights(threads: 1)
    #expect(try await weights(threads: 1) == once)
    #expect(try await weights(threads: 2) == once)
    let other = try TinyTask()
    _ = try await Trainer(options(steps: 60) { $0.seed = 5 }).run(other)
    #expect(other.bits != once)
  }

  @Test("averages micro-batches as if they were one batch")
  func microBatches() async throws {
    // Both micro-batches of this task hold the same examples, so two must equal one.
    struct Same: TrainingTask {
      let inner: TinyTask
      var parameters: [Parameter] { inner.parameters }
      let unit = "examples"
      func loss(step: Int, microStep: Int, key: RandomKey) throws -> (loss: Tensor, units: Int) {
        try inner.loss(step: step, microStep: 0, key: key)
      }
      func validationLoss() throws -> Double? { nil }
    }
    let (one, two) = (Same(inner: try TinyTask()), Same(inner: try TinyTask()))
    _ = try await Trainer(options(steps: 20)).run(one)
    let record = try await Trainer(options(steps: 20) { $0.microBatches = 2 }).run(two)
    #expect(record.units == 280 && record.best == nil)
    #expect(record.curve.allSatisfy { $0.validationLoss == nil })
    expectClose(
      one.parameters.flatMap(\.value.values), two.parameters.flatMap(\.value.values), 1e-5)
  }

  @Test("skips steps that give no number, and goes on")
  func skipsSteps() async throws {
    var task = try TinyTask()
    task.disturbance = { $0 % 5 == 3 ? .nan : 1 }
    let record = try await Trainer(options(steps: 50)).run(task)
    #expect(record.skippedSteps == 10 && record.steps == 50 && record.stopReason == .budget)
    #expect(task.isFinite)
    #expect(record.trainLoss?.isFinite == true)
  }

  @Test("gives up when no step gives a number, with the best weights so far")
  func diverges() async throws {
    var task = try TinyTask()
    task.disturbance = { $0 >= 30 ? .infinity : 1 }
    let record = try await Trainer(options(steps: 1000) { $0.validateEvery = .steps(10) }).run(task)
    #expect(record.stopReason == .diverged && record.steps == 40 && record.skippedSteps == 10)
    #expect(record.best?.step ?? 0 <= 30)
    #expect(task.isFinite)
  }

  @Test("stops when validation does not improve")
  func earlyStop() async throws {
    var task = try TinyTask()
    var losses = [3.0, 2, 2.5, .nan, 2, 9].makeIterator()
    task.validation = { losses.next() }
    var bits: [UInt32] = []
    let record = try await Trainer(
      options(steps: 1000) {
        $0.validateEvery = .steps(10)
        $0.patience = 3
      }
    ).run(task) { if $0.step == 20 { bits = task.bits } }
    #expect(record.stopReason == .earlyStop && record.steps == 50)
    #expect(record.best?.step == 20 && record.best?.validationLoss == 2)
    #expect(record.curve.map(\.validationLoss) == [3, 2, 2.5, nil, 2])
    #expect(task.bits == bits)
  }

  @Test("spends a budget in seconds and no more, validation included")
  func secondsBudget() async throws {
    var task = try TinyTask()
    // A clock on which a step takes 1 s and a validation 5 s.
    var time = 100.0
    task.disturbance = { _ in
      time += 1
      return 1
    }
    task.validation = {
      time += 5
      return 1
    }
    var trainer = try Trainer(TrainerOptions(budget: .seconds(100)))
    trainer.seconds = { time }
    var shares: [Double] = []
    var rates: [Double] = []
    let record = try await trainer.run(task) {
      shares.append($0.share)
      rates.append($0.learningRate)
    }
    #expect(record.stopReason == .budget)
    #expect((97...101).contains(record.seconds), "\(record.seconds)")
    #expect(record.validationSeconds <= 25)
    #expect(shares == shares.sorted() && shares.last ?? 0 > 0.95)
    // The schedule has come down with the time.
    #expect(rates.last ?? 1 < 1.2e-4)
    #expect(abs(record.unitsPerSecond - 7) < 1e-9)
  }

  @Test("takes the first of two limits")
  func twoLimits() async throws {
    var task = try TinyTask()
    var time = 0.0
    task.disturbance = { _ in
      time += 1
      return 1
    }
    var trainer = try Trainer(TrainerOptions(budget: Budget(seconds: 20, steps: 1000)))
    trainer.seconds = { time }
    #expect(try await trainer.run(task).steps == 20)
    var short = try Trainer(TrainerOptions(budget: Budget(seconds: 1000, steps: 7)))
    short.seconds = { time }
    #expect(try await short.run(task).steps == 7)
  }

  @Test("makes at least one step of any time, and none of no steps")
  func tinyBudgets() async throws {
    let task = try TinyTask()
    #expect(try await Trainer(TrainerOptions(budget: .seconds(0))).run(task).steps == 1)
    let record = try await Trainer(options(steps: 0)).run(task)
    #expect(record.steps == 0 && record.best?.step == 0)
  }

  @Test("stops when its task is cancelled, without a last validation")
  func cancellation() async throws {
    let task = try TinyTask()
    let record = try await Trainer(options(steps: 1000) { $0.validateEvery = .steps(30) })
      .runCancelled(task, when: { $0.step == 40 })
    #expect(record.stopReason == .interrupted && record.steps == 40)
    #expect(record.curve.map(\.step) == [30])
  }

  @Test("passes on what the task throws")
  func taskThrows() async throws {
    struct Broken: Error {}
    var task = try TinyTask()
    task.disturbance = { step in
      if step == 3 { throw Broken() }
      return 1
    }
    await #expect(throws: Broken.self) { try await Trainer(options(steps: 10)).run(task) }
  }

  @Test("refuses a model without trainable parameters")
  func nothingToTrain() async throws {
    let task = try TinyTask()
    for parameter in task.parameters { parameter.setTrainable(false) }
    await #expect(throws: TrainingError.noParameters) {
      try await Trainer(options(steps: 1)).run(task)
    }
  }

  @Test("leaves frozen parameters as they are")
  func frozen() async throws {
    let task = try TinyTask()
    let first = task.parameters[0]
    first.setTrainable(false)
    let before = first.value.values
    _ = try await Trainer(options(steps: 20)).run(task)
    #expect(first.value.values == before)
  }

  @Test("validates often at first, and then ever less")
  func wideningGaps() async throws {
    let record = try await Trainer(options(steps: 1000) { $0.validateEvery = .widening(to: 0.05) })
      .run(TinyTask())
    let steps = record.curve.map(\.step)
    #expect(steps.prefix(6) == [5, 10, 15, 20, 25, 31])
    let gaps = zip(steps.dropFirst(), steps).map(-).dropLast()  // the end validates in any case
    #expect(zip(gaps.dropFirst(), gaps).allSatisfy(>=) && gaps.last == 50)
    #expect(steps.last == 1000)
  }

  @Test("names the option that makes no sense")
  func invalidOptions() {
    func check(_ name: String, _ change: (inout TrainerOptions) -> Void) {
      var options = TrainerOptions()
      change(&options)
      let error = #expect(throws: TrainingError.self) { try Trainer(options) }
      #expect(error?.description.contains(name) == true, "\(name)")
    }
    check("budget") { $0.budget = Budget() }
    check("budget.seconds") { $0.budget = .seconds(-1) }
    check("budget.seconds") { $0.budget = .seconds(.nan) }
    check("budget.steps") { $0.budget = .steps(-1) }
    check("schedule.peak") { $0.schedule.peak = .infinity }
    check("schedule.floor") { $0.schedule.floor = 1 }
    check("schedule.warmup") { $0.schedule.warmup = .share(1) }
    check("schedule.warmup") { $0.schedule.warmup = .steps(-1) }
    check("beta1") { $0.beta1 = 1 }
    check("beta2") { $0.beta2 = -0.1 }
    check("momentum") { $0.momentum = .nan }
    check("epsilon") { $0.epsilon = 0 }
    check("weightDecay") { $0.weightDecay = -1 }
    check("clip") { $0.clip = 0 }
    check("microBatches") { $0.microBatches = 0 }
    check("patience") { $0.patience = 0 }
    check("maximumSkippedSteps") { $0.maximumSkippedSteps = 0 }
    check("validateEvery") { $0.validateEvery = .share(0) }
    check("validateEvery") { $0.validateEvery = .widening(to: -1) }
    check("validateEvery") { $0.validateEvery = .seconds(.infinity) }
    check("checkpoints.directory") { $0.checkpoints = CheckpointOptions(directory: "a\0b") }
    check("checkpoints.keepLast") {
      $0.checkpoints = CheckpointOptions(directory: "a")
      $0.checkpoints?.keepLast = 0
    }
  }

  @Test("keeps options and records through JSON")
  func coding() async throws {
    var options = TrainerOptions(budget: Budget(seconds: 1.5, steps: 3))
    options.validateEvery = .steps(4)
    options.clip = nil
    let data = try JSONEncoder().encode(options)
    #expect(try JSONDecoder().decode(TrainerOptions.self, from: data) == options)
    let record = try await Trainer(self.options(steps: 30)).run(TinyTask())
    let again = try JSONDecoder().decode(
      TrainingRecord.self, from: JSONEncoder().encode(record))
    #expect(again == record)
  }
}
