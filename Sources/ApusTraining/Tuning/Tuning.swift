package import ApusEvaluation
package import ApusTensor

/// The search for the settings of one model within its budget, by ``SuccessiveHalving``.
package struct Tuning<Model> {
  /// What is trained with the settings of a candidate.
  package struct Made {
    package let model: Model
    package let task: any TrainingTask
    package let trainer: TrainerOptions

    /// Puts them together.
    package init(model: Model, task: any TrainingTask, trainer: TrainerOptions) {
      (self.model, self.task, self.trainer) = (model, task, trainer)
    }
  }

  /// What a search came to.
  package struct Found {
    package let number: Int
    package let made: Made
    package let record: TrainingRecord
    package let search: TuningRecord
  }

  /// A candidate that is trained.
  private struct Entrant {
    let number: Int
    let made: Made
    let run: any StagedRun
    /// Why it trains no more.
    var ended: TrainingRecord.StopReason?
    var loss = Double.infinity
  }

  /// Told of a candidate after a rung that it trained in, or of one that could not be made: its number, what was
  /// made, what its training came to, and the search so far.
  package typealias Note = (Int, Made?, TrainingRecord?, TuningRecord) throws -> Void

  private let plan: SuccessiveHalving
  private let candidates: [TuningCandidate]
  private let make: (Int) throws -> Made
  private let note: Note

  /// Prepares a search.
  ///
  /// - Parameters:
  ///   - plan: How the budget is spread.
  ///   - candidates: What is tried.
  ///   - note: Told of every candidate. Default: nobody is.
  ///   - make: Makes model, task and trainer of a candidate by its number; the trainer's budget is that of the
  ///     winner.
  package init(
    _ plan: SuccessiveHalving, _ candidates: [TuningCandidate],
    note: @escaping Note = { _, _, _, _ in }, make: @escaping (Int) throws -> Made
  ) {
    (self.plan, self.candidates, self.note, self.make) = (plan, candidates, note, make)
  }

  /// Trains all candidates as far as they come.
  ///
  /// - Parameters:
  ///   - resume: Whether to go on from the candidates' checkpoints.
  ///   - progress: Called after every step with the share of the whole search.
  /// - Returns: The winner, with the weights that validated best.
  /// - Throws: `CancellationError`, what is wrong with the folders of checkpoints, or what is wrong with the first
  ///   candidate where none could be trained.
  package func run(
    resume: Bool, progress: @escaping (_ rung: Int, TrainingProgress) async -> Void
  ) async throws -> Found {
    var search = TuningRecord(
      candidates.map {
        TuningRecord.Candidate(
          learningRate: $0.learningRate, width: $0.width, layers: $0.layers)
      }, rungs: plan.rungs.count)
    let clock = SearchClock(plan)
    var entrants = try await entrants(&search, resume: resume, clock, progress)
    for (rung, stage) in plan.rungs.enumerated() {
      clock.begin(rung, entrants: entrants.count)
      for place in entrants.indices {
        clock.place = place
        try await train(&entrants[place], to: stage.end, &search)
      }
      entrants.removeAll { $0.ended == .diverged }
      let next = rung + 1 < plan.rungs.count ? plan.rungs[rung + 1].entrants : 1
      entrants = entrants.sorted { ($0.loss, $0.number) < ($1.loss, $1.number) }.prefix(next)
        .sorted { $0.number < $1.number }
    }
    guard let winner = entrants.first else {
      throw TuningError.allDiverged(candidates: candidates.count)
    }
    let record = winner.run.finish(winner.ended ?? .budget)
    search.kept = winner.number
    try note(winner.number, winner.made, record, search)
    return Found(number: winner.number, made: winner.made, record: record, search: search)
  }

  /// Makes all candidates; what cannot be made is told and left out.
  private func entrants(
    _ search: inout TuningRecord, resume: Bool, _ clock: SearchClock,
    _ progress: @escaping (_ rung: Int, TrainingProgress) async -> Void
  ) async throws -> [Entrant] {
    var (entrants, failure) = ([Entrant](), (any Error)?.none)
    for number in candidates.indices {
      do {
        let made = try make(number)
        let run = try await Trainer(made.trainer).begin(made.task, resume: resume) { state in
          var state = state
          (state.share, state.remainingSeconds) = (clock.share(state.share), nil)
          await progress(clock.rung, state)
        }
        entrants.append(Entrant(number: number, made: made, run: run))
      } catch  where endsAllRuns(error) {
        throw error
      } catch {
        failure = failure ?? error
        search.candidates[number].message = "\(error)"
        try note(number, nil, nil, search)
      }
    }
    if entrants.isEmpty, let failure { throw failure }
    return entrants
  }

  /// Trains one candidate to the end of a rung.
  private func train(
    _ entrant: inout Entrant, to end: Double, _ search: inout TuningRecord
  ) async throws {
    defer { entrant.run.hold() }
    if entrant.ended == nil {
      let ended = try await entrant.run.advance(to: end < 1 ? end : .infinity)
      try Task.checkCancellation()
      entrant.ended = ended
    }
    let record = entrant.run.record(entrant.ended ?? .budget)
    entrant.loss =
      entrant.run.halt(at: end).map { $0.loss ?? .infinity }
      ?? record.best?.validationLoss ?? .infinity
    search.candidates[entrant.number].losses.append(
      entrant.loss.isFinite ? entrant.loss : nil)
    (search.candidates[entrant.number].steps, search.candidates[entrant.number].seconds) = (
      record.steps, record.seconds
    )
    if entrant.ended == .diverged {
      search.candidates[entrant.number].message = "Training gave no finite loss any more."
    }
    try note(entrant.number, entrant.made, record, search)
  }
}

/// Where a search stands, for whoever waits.
private final class SearchClock {
  private let plan: SuccessiveHalving
  private(set) var rung = 0
  private var entrants = 0
  var place = 0

  init(_ plan: SuccessiveHalving) { self.plan = plan }

  func begin(_ rung: Int, entrants: Int) { (self.rung, self.entrants, place) = (rung, entrants, 0) }

  /// The share of the whole search, where a candidate has come to such a share of its training.
  func share(_ own: Double) -> Double {
    let ends = [0] + plan.rungs.map(\.end)
    let before = (0..<rung).reduce(0) {
      $0 + Double(plan.rungs[$1].entrants) * (ends[$1 + 1] - ends[$1])
    }
    let length = ends[rung + 1] - ends[rung]
    let here = min(max(own - ends[rung], 0), length)
    return min(1, (before + Double(place) * length + here) / plan.cost)
  }
}

/// An error of a search for settings.
package enum TuningError: ApusError, Equatable {
  /// No candidate kept a finite loss.
  case allDiverged(candidates: Int)
  /// All settings are given.
  case nothingToSearch

  package var exitStatus: ExitStatus { .configuration }

  /// A sentence: what was found, what was expected, what to do.
  package var description: String {
    switch self {
    case .allDiverged(let candidates):
      "Training gave no finite loss any more with any of \(candidates) learning rates and sizes."
    case .nothingToSearch:
      "Learning rate, width and layers are all given, so that there is nothing to search for. Leave one of them "
        + "out, or the search."
    }
  }
}
