public import ApusModels
public import ApusTensor

/// Training a language model on one long text: windows at random places, drawn by counter.
public struct LanguageTask: TrainingTask {
  /// The model that learns.
  public let model: LanguageModel
  /// Sequences of one micro-batch.
  public var batch: Int
  /// Tokens of each sequence.
  public var context: Int
  /// How many tokens of the validation part a validation reads; the final score reads all.
  public var validationTokens = 32_768
  /// What a resumed run must find unchanged; nothing is known by default.
  public var identity = TaskIdentity.none
  let training: [Int32]
  let validation: [Int32]

  /// Creates a task on token ids.
  ///
  /// - Parameters:
  ///   - model: The model that learns.
  ///   - training: Ids to learn from, more than `context` of them.
  ///   - validation: Ids of the validation part; empty when there are none.
  ///   - batch: Sequences of one micro-batch.
  ///   - context: Tokens of each sequence.
  /// - Throws: ``TrainingDataError`` when the text is too short or an id unknown to the model.
  public init(
    _ model: LanguageModel, training: [Int32], validation: [Int32], batch: Int, context: Int
  ) throws {
    guard training.count > context else {
      throw TrainingDataError.tooShort(found: training.count, needed: context + 1)
    }
    for ids in [training, validation] {
      if let bad = ids.first(where: { $0 < 0 || Int($0) >= model.vocabulary }) {
        throw TrainingDataError.unknownToken(id: bad, vocabulary: model.vocabulary)
      }
    }
    if let bound = model.context, context > bound {
      throw ConfigError.invalid(
        key: "context", value: "\(context)", rule: "the model takes at most \(bound) tokens")
    }
    self.model = model
    self.training = training
    self.validation = validation
    self.batch = batch
    self.context = context
  }

  public var parameters: [Parameter] { model.parameters }
  public var unit: String { "tokens" }

  public func loss(step: Int, microStep: Int, key: RandomKey) throws -> (loss: Tensor, units: Int) {
    var generator = PhiloxGenerator(key.derived(UInt64(step)).derived(UInt64(microStep)))
    var (inputs, targets) = ([Int32](), [Int32]())
    inputs.reserveCapacity(batch * context)
    targets.reserveCapacity(batch * context)
    for _ in 0..<batch {
      let start = Int.random(in: 0..<training.count - context, using: &generator)
      inputs += training[start..<start + context]
      targets += training[start + 1...start + context]
    }
    let loss = model.loss(
      Tensor(inputs, [batch, context]), targets: Tensor(targets, [batch, context]))
    return (loss, batch * context)
  }

  public func validationLoss() throws -> Double? {
    guard validation.count > 1 else { return nil }
    let losses = try self.losses(limit: validationTokens)
    return losses.reduce(0, +) / Double(max(losses.count, 1))
  }

  /// The loss of every token of the validation part but the first, in nats, in windows of `context`
  /// that do not overlap: a token sees what precedes it in its window.
  ///
  /// - Parameter limit: Reads evenly spread windows of at most this many tokens; nil reads all.
  /// - Returns: One loss for each token, window by window.
  /// - Throws: `CancellationError` when the Swift task is cancelled.
  public func losses(limit: Int? = nil) throws -> [Double] {
    let starts = Array(stride(from: 0, to: validation.count - 1, by: context))
    let wanted = limit.map { max(1, min(starts.count, $0 / context)) } ?? starts.count
    var losses: [Double] = []
    losses.reserveCapacity(wanted * context)
    // One window at a time up to rounding, sixteen for speed; the windows do not see each other.
    let chosen = (0..<wanted).map { starts[$0 * starts.count / wanted] }
    for group in stride(from: 0, to: chosen.count, by: 16) {
      try Task.checkCancellation()
      let windows = chosen[group..<min(group + 16, chosen.count)]
      let full = windows.filter { $0 + context < validation.count }
      if !full.isEmpty { losses += tokenLosses(Array(full), length: context) }
      for start in windows where start + context >= validation.count {
        losses += tokenLosses([start], length: validation.count - 1 - start)
      }
    }
    return losses
  }

  private func tokenLosses(_ starts: [Int], length: Int) -> [Double] {
    withoutGradient {
      let inputs = starts.flatMap { validation[$0..<$0 + length] }
      let targets = starts.flatMap { validation[$0 + 1...$0 + length] }
      return model.losses(
        Tensor(inputs, [starts.count, length]), targets: Tensor(targets, [starts.count, length])
      ).map(Double.init)
    }
  }
}

/// An error of training data.
public enum TrainingDataError: Error, Equatable {
  /// There is too little of it.
  case tooShort(found: Int, needed: Int)
  /// A token id that the model's vocabulary lacks.
  case unknownToken(id: Int32, vocabulary: Int)
}

extension TrainingDataError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .tooShort(let found, let needed):
      "The training part has \(found) items, but one window needs \(needed). Give more data or a smaller context."
    case .unknownToken(let id, let vocabulary):
      "The data holds token id \(id), but the model knows 0 to \(vocabulary - 1). Use the tokenizer the model was made with."
    }
  }
}
