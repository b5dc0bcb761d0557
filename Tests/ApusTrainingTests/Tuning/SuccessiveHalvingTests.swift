import ApusEvaluation
import ApusModels
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Synchronization
import Testing

@Suite("Successive halving")
struct SuccessiveHalvingTests {
  @Test("halves candidates and doubles what they have trained, within the budget")
  func plan() {
    let eight = SuccessiveHalving(candidates: 8)
    #expect(eight.rungs.map(\.entrants) == [8, 4, 2, 1])
    #expect(eight.rungs.map(\.end) == [0.125, 0.25, 0.5, 1])
    // 8 eighths, 4 eighths more, 2 quarters more, 1 half more.
    #expect(eight.cost == 2.5 && eight.budget(within: .seconds(20)).seconds == 8)
    #expect(eight.budget(within: .steps(100)) == .steps(40))
    #expect(SuccessiveHalving(candidates: 3).cost == 1.75)
    #expect(SuccessiveHalving(candidates: 1).budget(within: .steps(7)) == .steps(7))
    for candidates in 1...33 {
      let plan = SuccessiveHalving(candidates: candidates)
      #expect(plan.rungs.last?.entrants == 1 && plan.rungs.last?.end == 1)
      for steps in [100, 101, 333, 5000] {
        let winner = plan.budget(within: .steps(steps)).steps ?? 0
        #expect(plan.steps(ofWinner: winner) <= steps || winner == 1, "\(candidates), \(steps)")
        #expect(plan.steps(ofWinner: winner + 1) > steps, "\(candidates), \(steps)")
      }
    }
  }

  @Test("draws rates and sizes that nobody has given, the usual ones first, the same for a seed")
  func candidates() throws {
    let lstm = try ModelChoice("lstm")
    let space = try TuningSpace(
      lstm, rate: 0.002, size: (64, 2), given: (learningRate: nil, width: nil, layers: nil))
    let drawn = space.candidates(9, seed: 4)
    #expect(drawn == space.candidates(9, seed: 4) && drawn != space.candidates(9, seed: 5))
    #expect(drawn[0] == TuningCandidate(learningRate: 0.002, width: 64, layers: 2))
    #expect(drawn.count == 9 && Set(drawn).count == 9)
    // One rate in each eighth of the range from a quarter to four times the usual one.
    let places: [Double] = drawn.dropFirst().map { one in
      (log2(one.learningRate / 0.002) + 2) / 4 * 8
    }
    let parts: Set<Int> = Set(places.map { Int($0 + 1e-3) })
    #expect(parts.isSuperset(of: 1...6))
    #expect(places.allSatisfy { $0 > -0.01 && $0 < 8.01 })
    #expect(Set(drawn.map(\.width)) == [32, 64, 128] && Set(drawn.map(\.layers)) == [1, 2, 4])
    let narrow = try TuningSpace(
      lstm, rate: 0.002, size: (64, 2), given: (learningRate: nil, width: 8, layers: nil))
    #expect(Set(narrow.candidates(9, seed: 4).map(\.width)) == [8])
    // Two layers, one and four: no more can differ where the rest is given.
    let layers = try TuningSpace(
      lstm, rate: 0.002, size: (64, 2), given: (learningRate: 0.01, width: 8, layers: nil))
    #expect(Set(layers.candidates(9, seed: 4).map(\.layers)) == [1, 2, 4])
    #expect(layers.candidates(9, seed: 4).count == 3)
    #expect(throws: TuningError.nothingToSearch) {
      try TuningSpace(
        lstm, rate: 0.002, size: (64, 2), given: (learningRate: 0.01, width: 8, layers: 1))
    }
  }

  // MARK: Searching

  private static let rates = [1e-5, 3e-2, 1e-3, 1e-2, 1e-4]

  /// The options of a candidate that may train for so many steps.
  private static func options(_ number: Int, steps: Int, in folder: String?) -> TrainerOptions {
    var options = TrainerOptions(budget: .steps(steps))
    options.schedule = Schedule(peak: rates[number], floor: 0)
    options.checkpoints = folder.map { CheckpointOptions(directory: $0 + "/\(number)") }
    return options
  }

  private static func search(
    total: Int, in folder: String? = nil, note: @escaping Tuning<TinyTask>.Note = { _, _, _, _ in }
  ) -> Tuning<TinyTask> {
    let plan = SuccessiveHalving(candidates: rates.count)
    let steps = plan.budget(within: .steps(total)).steps ?? 0
    return Tuning(plan, rates.map { TuningCandidate(learningRate: $0) }, note: note) { number in
      let task = try TinyTask()
      return Tuning.Made(
        model: task, task: task, trainer: options(number, steps: steps, in: folder))
    }
  }

  @Test("lets the better half go on from where it stands, to the bits of a training without halts")
  func search() async throws {
    var noted: [Int] = []
    let found = try await Self.search(total: 400) { number, _, _, _ in noted.append(number) }
      .run(resume: false) { _, state in #expect((0...1).contains(state.share)) }
    let search = found.search
    // 5, 3, 2 and 1 candidates: 5/8 + 3/8 + 2/4 + 1/2 trainings of the winner.
    #expect(search.rungs == 4 && search.candidates.count == 5)
    #expect(search.candidates.map(\.losses.count).sorted() == [1, 1, 2, 3, 4])
    #expect(noted.count == 12)  // each in each rung, and the winner at its end
    for rung in 0..<3 {
      let entered = search.candidates.filter { $0.losses.count > rung }
      let ordered = entered.sorted { ($0.losses[rung] ?? 9) < ($1.losses[rung] ?? 9) }
      let stayed = entered.filter { $0.losses.count > rung + 1 }.map(\.learningRate)
      let best = ordered.prefix(stayed.count).map(\.learningRate)
      #expect(stayed.sorted() == best.sorted())
    }
    #expect(search.kept == found.number && search.candidates[found.number].losses.count == 4)
    let steps: Int = search.candidates.reduce(0) { $0 + $1.steps }
    #expect(steps <= 400 && found.record.steps == 200)
    #expect(search.givenUp.steps + found.record.steps == steps)
    let alone = try TinyTask()
    let record = try await Trainer(Self.options(found.number, steps: 200, in: nil)).run(alone)
    #expect(alone.bits == found.made.model.bits && record.best == found.record.best)
    #expect(try #require(search.sentence("tiny")).contains("Of 5 learning rates and sizes of tiny"))
  }

  @Test("goes on after an end in any rung as if there had been none", arguments: [3, 90, 160, 290])
  func resumed(step: Int) async throws {
    let whole = try await Self.search(total: 400).run(resume: false) { _, _ in }
    try await withTemporaryFolder { folder in
      let seen = Mutex(0)
      let work = Task {
        try await Self.search(total: 400, in: folder).run(resume: false) { _, _ in
          let isDue = seen.withLock { seen in
            seen += 1
            return seen == step
          }
          if isDue { withUnsafeCurrentTask { $0?.cancel() } }
        }.number
      }
      await #expect(throws: CancellationError.self) { _ = try await work.value }
      let found = try await Self.search(total: 400, in: folder).run(resume: true) { _, _ in }
      #expect(found.number == whole.number && found.made.model.bits == whole.made.model.bits)
      #expect(found.search.candidates.map(\.losses) == whole.search.candidates.map(\.losses))
      #expect(found.search.candidates.map(\.steps) == whole.search.candidates.map(\.steps))
      #expect(found.record.best == whole.record.best)
    }
  }

  @Test("leaves out what diverges or cannot be made, and fails where nothing is left")
  func failures() async throws {
    struct Broken: Error {}
    func search(_ makes: @escaping (Int) -> Bool, _ disturbs: @escaping (Int) -> Bool) -> Tuning<
      TinyTask
    > {
      let plan = SuccessiveHalving(candidates: 3)
      return Tuning(plan, Self.rates.prefix(3).map { TuningCandidate(learningRate: $0) }) {
        number in
        guard makes(number) else { throw Broken() }
        var task = try TinyTask()
        if disturbs(number) { task.disturbance = { _ in .nan } }
        return Tuning.Made(
          model: task, task: task, trainer: Self.options(number, steps: 80, in: nil))
      }
    }
    let found = try await search({ $0 != 0 }, { $0 == 1 }).run(resume: false) { _, _ in }
    #expect(found.number == 2)
    let isWell: [Bool] = found.search.candidates.map { $0.message == nil }
    #expect(isWell == [false, false, true])
    await #expect(throws: Broken.self) {
      try await search({ _ in false }, { _ in false }).run(resume: false) { _, _ in }
    }
    await #expect(throws: TuningError.allDiverged(candidates: 3)) {
      try await search({ _ in true }, { _ in true }).run(resume: false) { _, _ in }
    }
  }
}
