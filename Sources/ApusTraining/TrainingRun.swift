import ApusTensor

/// One run while it goes.
final class TrainingRun<Work: TrainingTask> {
  let task: Work
  let options: TrainerOptions
  let clock: () -> Double
  /// When it went on last; nil while it is held.
  var start: Double?
  let report: (TrainingProgress) async -> Void
  let key: RandomKey
  var optimizer: any Optimizer
  var state = RunState()
  var bestWeights: [Tensor]?
  var learningRate = 0.0
  var gradientNorm = 0.0
  var store: CheckpointStore?
  var identity: RunIdentity?
  /// The newest checkpoint on the disk that this run wrote or came from.
  var savedStep: Int?
  var lastSave: RunState.Mark?

  init(
    _ task: Work, options: TrainerOptions, seconds: @escaping () -> Double,
    progress: @escaping (TrainingProgress) async -> Void
  ) throws {
    self.task = task
    self.options = options
    clock = seconds
    start = seconds()
    report = progress
    key = RandomKey(seed: options.seed)
    optimizer = options.makeOptimizer(task.parameters)
    guard !optimizer.parameters.isEmpty else { throw TrainingError.noParameters }
    state.record.unit = task.unit
  }

  /// Runs to the end. Whoever shares the thread gets a turn after each step.
  func complete() async throws -> TrainingRecord {
    let reason = try await advance(to: .infinity)
    return finish(reason ?? .budget)
  }

  func advance(to goal: Double) async throws -> TrainingRecord.StopReason? {
    start = start ?? clock()
    guard halt(at: goal) == nil else { return nil }
    Machine.resetPeakBytes()
    if savedStep != nil, validationIsDue { try validate() }  // cancelled while it validated
    var (reason, isThere) = (TrainingRecord.StopReason?.none, false)
    repeat {
      reason = stopReason  // also what was asked for since the last report
      if reason == nil, !hasReached(goal) {
        try makeStep()
        if validationIsDue { try validate() }
        reason = stopReason
      }
      isThere = reason == nil && hasReached(goal)
      // An interrupted run answers at once, and leaves no trace that a resumed one would not.
      if isThere || (reason != nil && reason != .interrupted),
        state.lastValidation?.step != state.step
      {
        try validate()
      }
      isThere = isThere && state.lastValidation?.step == state.step
      if isThere { noteHalt(at: goal) }
      try await saveIfDue(isLast: reason != nil || isThere)
      await report(progress())
      await Task.yield()
    } while reason == nil && !isThere
    return reason
  }

  func finish(_ reason: TrainingRecord.StopReason) -> TrainingRecord {
    restoreBest()
    return record(reason)
  }

  // MARK: Steps

  private func makeStep() throws {
    let begin = clock()
    learningRate = options.schedule.learningRate(
      step: state.step, share: share,
      totalSteps: options.budget.seconds == nil ? options.budget.steps : nil)
    for parameter in optimizer.parameters { parameter.clearGradient() }
    var loss = 0.0
    for microStep in 0..<options.microBatches {
      loss += try gatherGradients(microStep) / Double(options.microBatches)
    }
    let mean = 1 / Double(options.microBatches)
    gradientNorm = ApusTraining.gradientNorm(optimizer.parameters) * mean
    if loss.isFinite, gradientNorm.isFinite {
      let scale = mean * clippingScale(norm: gradientNorm, limit: options.clip)
      optimizer.update(learningRate: Float(learningRate), gradientScale: Float(scale))
      state.addLoss(loss)
      state.skippedInRow = 0
    } else {
      state.skippedInRow += 1
      state.record.skippedSteps += 1
    }
    for parameter in optimizer.parameters { parameter.clearGradient() }
    state.step += 1
    state.stepSeconds += clock() - begin
  }

  /// Adds the gradients of one micro-batch to the parameters; returns its loss.
  private func gatherGradients(_ microStep: Int) throws -> Double {
    try withProducts(in: options.precision) {
      func pass() throws -> Double {
        let (loss, units) = try task.loss(step: state.step, microStep: microStep, key: key)
        loss.backward()
        state.record.units += units
        return Double(loss.scalar)
      }
      return try options.recomputesBlocks ? withRecomputation(pass) : pass()
    }
  }

  // MARK: Budget

  var spent: Double { state.spentSeconds + (start.map { clock() - $0 } ?? 0) }

  /// Stops the clock until it goes on.
  func hold() { (state.spentSeconds, start) = (spent, nil) }

  /// The seconds that steps may take: what the last validation will need is kept for it.
  var usableSeconds: Double? {
    options.budget.seconds.map { max($0 - state.lastValidationSeconds, 0) }
  }

  var share: Double {
    let bySteps = options.budget.steps.map { $0 > 0 ? Double(state.step) / Double($0) : 1 }
    let bySeconds = usableSeconds.map { $0 > 0 ? spent / $0 : 1 }
    return min(1, max(bySteps ?? 0, bySeconds ?? 0))
  }

  var stopReason: TrainingRecord.StopReason? {
    if state.skippedInRow >= options.maximumSkippedSteps { return .diverged }
    if let patience = options.patience, state.validationsSinceBest >= patience {
      return .earlyStop
    }
    if task.isSolved { return .earlyStop }
    if let steps = options.budget.steps, state.step >= steps { return .budget }
    if let seconds = usableSeconds, state.step > 0 {
      // Stops where half of the next step would lie past the end.
      let next = state.stepSeconds / Double(state.step)
      if spent + next / 2 >= seconds { return .budget }
    }
    return Task.isCancelled ? .interrupted : nil
  }

  func isDue(_ interval: Interval, since last: RunState.Mark?) -> Bool {
    let last = last ?? RunState.Mark(step: 0, seconds: 0, share: 0)
    switch interval {
    case .steps(let steps): return state.step - last.step >= steps
    case .seconds(let seconds): return spent - last.seconds >= seconds
    case .share(let part): return isSpent(part, since: last)
    case .widening(let part):
      return isSpent(min(part, max(part / 10, last.share / 4)), since: last)
    }
  }

  /// Whether such a share of the budget is spent since then; a budget in steps counts whole ones.
  private func isSpent(_ part: Double, since last: RunState.Mark) -> Bool {
    guard options.budget.seconds == nil, let total = options.budget.steps else {
      return share - last.share >= part
    }
    return state.step - last.step >= max(1, Int((min(part, 1) * Double(total)).rounded()))
  }

  var mark: RunState.Mark {
    RunState.Mark(step: state.step, seconds: spent, share: share)
  }

  // MARK: Validation

  var validationIsDue: Bool {
    guard isDue(options.validateEvery, since: state.lastValidation) else { return false }
    guard options.budget.seconds != nil, let last = state.lastValidation else { return true }
    return spent - last.seconds >= 4 * state.lastValidationSeconds
  }

  private func validate() throws {
    let begin = clock()
    let found: Double?
    do {
      found = try withProducts(in: options.precision) {
        try withoutGradient { try task.validationLoss() }
      }
    } catch is CancellationError {
      return  // as if it had not begun; a resumed run makes up for it
    }
    let loss = found.flatMap { $0.isFinite ? $0 : nil }
    if found != nil {
      state.lastValidationSeconds = clock() - begin
      state.record.validationSeconds += state.lastValidationSeconds
      if let loss, loss < state.record.best?.validationLoss ?? .infinity {
        state.record.best = TrainingRecord.Best(step: state.step, validationLoss: loss)
        state.validationsSinceBest = 0
        bestWeights = optimizer.parameters.map { $0.value.copied() }
      } else {
        state.validationsSinceBest += 1
      }
    }
    state.record.curve.append(
      TrainingRecord.Point(
        seconds: spent, step: state.step, trainLoss: state.loss, validationLoss: loss))
    state.lastValidation = mark
  }

  func restoreBest() {
    guard let bestWeights else { return }
    for (parameter, weights) in zip(optimizer.parameters, bestWeights) { parameter.set(weights) }
  }

  // MARK: Telling

  func progress(message: String? = nil) -> TrainingProgress {
    TrainingProgress(
      step: state.step, totalSteps: options.budget.steps, share: share, seconds: spent,
      remainingSeconds: remainingSeconds, loss: state.loss, learningRate: learningRate,
      gradientNorm: gradientNorm, unitsPerSecond: unitsPerSecond, unit: task.unit,
      validationLoss: state.record.curve.last?.validationLoss, best: state.record.best,
      message: message)
  }

  var remainingSeconds: Double? {
    guard state.step > 0 else { return nil }
    let bySteps = options.budget.steps.map {
      spent / Double(state.step) * Double(max(0, $0 - state.step))
    }
    let bySeconds = options.budget.seconds.map { max(0, $0 - spent) }
    return min(bySteps ?? .infinity, bySeconds ?? .infinity)
  }

  var unitsPerSecond: Double {
    state.stepSeconds > 0 ? Double(state.record.units) / state.stepSeconds : 0
  }

  func record(_ reason: TrainingRecord.StopReason) -> TrainingRecord {
    var record = state.record
    record.steps = state.step
    record.unitsPerSecond = unitsPerSecond
    record.seconds = spent
    record.trainLoss = state.loss
    record.stopReason = reason
    record.peakBytes = max(record.peakBytes, Machine.peakBytes)
    return record
  }
}
