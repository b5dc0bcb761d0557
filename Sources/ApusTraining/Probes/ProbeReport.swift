import ApusTensor

/// How well a model did at one length.
public struct ProbeScore: Codable, Sendable, Hashable {
  /// The length, as the task counts it.
  public var length: Int
  /// Examples, none of them seen in training.
  public var examples: Int
  /// The number of answers.
  public var answers: Int
  /// Answers that were right.
  public var correct: Int
  /// The share of right answers.
  public var accuracy: Double
  /// The time it took.
  public var seconds: Double
}

/// The results of a probe.
public struct ProbeReport: Codable, Sendable {
  /// The course of the training.
  public struct Training: Codable, Sendable {
    /// A validation.
    public struct Point: Codable, Sendable {
      /// Optimizer steps so far.
      public var step: Int
      /// Seconds so far.
      public var seconds: Double
      /// The running average of the training loss, in nats.
      public var loss: Double?
      /// In nats, of the validation.
      public var validationLoss: Double?
      /// The share of right answers in the validation.
      public var accuracy: Double?
    }

    /// Steps made.
    public var steps: Int
    /// Wall seconds, with validations.
    public var seconds: Double
    /// Tokens seen.
    public var tokens: Int
    /// While steps were made.
    public var tokensPerSecond: Double
    /// Why it ended; `earlyStop` means that validations found no error any more.
    public var stopReason: TrainingRecord.StopReason
    /// The validation whose weights were evaluated.
    public var best: TrainingRecord.Best?
    /// All validations.
    public var curve: [Point]

    init(_ record: TrainingRecord, accuracies: [Double]) {
      (steps, seconds, tokens) = (record.steps, record.seconds, record.units)
      (tokensPerSecond, stopReason, best) = (
        record.unitsPerSecond, record.stopReason, record.best
      )
      curve = record.curve.enumerated().map { index, point in
        Point(
          step: point.step, seconds: point.seconds, loss: point.trainLoss,
          validationLoss: point.validationLoss,
          accuracy: accuracies.indices.contains(index) ? accuracies[index] : nil)
      }
    }
  }

  /// The recipe.
  public var options: ProbeOptions
  /// Numbers that training chose.
  public var parameters: Int
  /// The course of the training.
  public var training: Training
  /// How well the model does, by length.
  public var scores: [ProbeScore]
  /// Where.
  public var machine = MachineDescription.current
}
