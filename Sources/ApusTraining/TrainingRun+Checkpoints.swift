import ApusTensor
import Foundation

extension TrainingRun {
  /// Begins in a folder of checkpoints, where asked from its newest one.
  func open(_ store: CheckpointStore, resume: Bool) async throws {
    var names: Set<String> = []
    for parameter in task.parameters where !names.insert(parameter.name).inserted {
      throw TrainingError.duplicateParameter(name: parameter.name)
    }
    let identity = try RunIdentity(options: options, task: task)
    self.store = store
    self.identity = identity
    if resume {
      let (found, messages) = try store.newest()
      for message in messages { await tell(message) }
      if let found { try await restore(found, identity) }
    } else if try !store.isEmpty {
      throw TrainingError.occupied(path: store.directory)
    }
    lastSave = mark
    try store.requireSpace(for: try checkpoint(identity).byteCount)
  }

  private func tell(_ message: String) async { await report(progress(message: message)) }

  // MARK: Restoring

  private func restore(_ checkpoint: StoredCheckpoint, _ identity: RunIdentity) async throws {
    let saved = try checkpoint.state()
    try identity.check(saved, options: options, path: checkpoint.path)
    let model = try checkpoint.model()
    for parameter in task.parameters { parameter.set(try tensor(for: parameter, in: model)) }
    try optimizer.restore(checkpoint.optimizer())
    state = saved.run
    learningRate = saved.learningRate
    savedStep = state.step
    if saved.instructionSet != Machine.instructionSet
      || saved.productInstructionSet != Machine.productInstructionSet
    {
      await tell(
        """
        The checkpoint was made with \(saved.instructionSet), this machine uses \
        \(Machine.instructionSet): the run goes on, but not to the bit.
        """)
    }
    try await restoreBestWeights(besides: checkpoint)
  }

  private func restoreBestWeights(besides checkpoint: StoredCheckpoint) async throws {
    guard let best = state.record.best, let store else { return }
    do {
      let source = best.step == state.step ? checkpoint : try store.verified(best.step)
      let model = try source.model()
      bestWeights = try optimizer.parameters.map { try tensor(for: $0, in: model).copied() }
    } catch let error as TrainingError where error.isDamage {
      state.record.best = nil
      state.validationsSinceBest = 0
      await tell(
        "\(error) The best weights, of step \(best.step), are lost; later ones will be chosen.")
    }
  }

  private func tensor(for parameter: Parameter, in model: [String: Tensor]) throws -> Tensor {
    guard let tensor = model[parameter.name], tensor.dtype == .float32 else {
      throw TrainingError.wrongTensor(tensor: parameter.name, problem: "is missing or not F32")
    }
    guard tensor.shape == parameter.shape else {
      throw TrainingError.wrongTensor(
        tensor: parameter.name, problem: "is \(tensor.shape) instead of \(parameter.shape)")
    }
    return tensor
  }

  // MARK: Saving

  /// Saves when it is time to, when this is the best so far, when somebody asked, and at the end.
  ///
  /// A full disk ends no run: it goes on with what was saved before, and says so.
  func saveIfDue(isLast: Bool) async throws {
    let isAsked = Signals.takeCheckpointRequest()
    guard let store, let identity, let every = options.checkpoints?.every,
      savedStep != state.step
    else { return }
    let isBest = state.record.best?.step == state.step
    guard isLast || isBest || isAsked || isDue(every, since: lastSave) else { return }
    lastSave = mark
    do {
      try store.save(try checkpoint(identity))
      savedStep = state.step
    } catch  where error is FileError || error is TrainingError {
      guard !isLast else {
        restoreBest()
        throw TrainingError.lastCheckpoint(path: store.directory, reason: "\(error)")
      }
      let rest = savedStep.map { "that of step \($0) stands" } ?? "there is none yet"
      await tell("The checkpoint of step \(state.step) could not be written; \(rest). \(error)")
    }
  }

  private func checkpoint(_ identity: RunIdentity) throws -> Checkpoint {
    var snapshot = state
    snapshot.spentSeconds = spent
    snapshot.record.peakBytes = max(state.record.peakBytes, Machine.peakBytes)
    let contents = CheckpointState(
      run: snapshot, options: options, learningRate: learningRate, identity: identity)
    let model = task.parameters.map { ($0.name, $0.value.detached()) }
    return Checkpoint(
      step: state.step, parentStep: savedStep, bestStep: state.record.best?.step,
      model: Dictionary(model) { first, _ in first }, optimizer: optimizer.state,
      state: try JSONEncoder.tidy.encode(contents))
  }
}
