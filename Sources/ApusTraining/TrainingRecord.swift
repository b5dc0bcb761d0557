/// The record of a run.
public struct TrainingRecord: Codable, Sendable, Hashable {
  /// Why it ended.
  public enum StopReason: String, Codable, Sendable {
    /// The budget is spent.
    case budget
    /// Validation did not improve any more.
    case earlyStop
    /// Too many steps in a row gave no number.
    case diverged
    /// Its Swift task was cancelled.
    case interrupted
  }

  /// A point of the learning curve.
  public struct Point: Codable, Sendable, Hashable {
    /// Since the start, with validation.
    public var seconds: Double
    /// How many steps were made.
    public var step: Int
    /// The running average of the training loss.
    public var trainLoss: Double?
    /// Nil when nothing was validated here, or when the loss was no number.
    public var validationLoss: Double?
  }

  /// The best validation.
  public struct Best: Codable, Sendable, Hashable {
    /// After how many steps.
    public var step: Int
    /// The validation loss there.
    public var validationLoss: Double
  }

  /// Points in the order of time, one per validation.
  public var curve: [Point] = []
  /// The validation whose weights the model has at the end; nil when nothing was validated.
  public var best: Best?
  /// How many steps were made, the skipped ones among them.
  public var steps = 0
  /// How many steps changed nothing, because their loss or gradient was no number.
  public var skippedSteps = 0
  /// How many tokens or windows were seen.
  public var units = 0
  /// What ``units`` counts.
  public var unit = ""
  /// Units over the seconds of the steps alone, without validation and checkpoints.
  public var unitsPerSecond = 0.0
  /// Wall seconds, all in all.
  public var seconds = 0.0
  /// The part of ``seconds`` that validation took.
  public var validationSeconds = 0.0
  /// The running average of the training loss at the end.
  public var trainLoss: Double?
  /// Why the run ended.
  public var stopReason = StopReason.budget
  /// The most bytes of tensors that were alive at once.
  public var peakBytes = 0

  /// Creates the record of a run that did nothing.
  public init() {}
}

/// The progress of a run.
public struct TrainingProgress: Sendable {
  /// Steps made.
  public var step: Int
  /// The budget in steps, if it has one.
  public var totalSteps: Int?
  /// The share of the budget that is spent, 0...1.
  public var share: Double
  /// Seconds spent.
  public var seconds: Double
  /// About how many seconds remain; nil before the first step.
  public var remainingSeconds: Double?
  /// The running average of the training loss; nil before the first finite one.
  public var loss: Double?
  /// Of the last step.
  public var learningRate: Double
  /// Of the last step, before clipping.
  public var gradientNorm: Double
  /// Units over the seconds of steps.
  public var unitsPerSecond: Double
  /// The name of the units, in the plural.
  public var unit: String
  /// The last validation.
  public var validationLoss: Double?
  /// The best validation so far.
  public var best: TrainingRecord.Best?
  /// Something the user should know, such as a checkpoint that could not be written.
  public var message: String?

  package init(
    step: Int, totalSteps: Int?, share: Double, seconds: Double, remainingSeconds: Double?,
    loss: Double?, learningRate: Double, gradientNorm: Double, unitsPerSecond: Double,
    unit: String, validationLoss: Double?, best: TrainingRecord.Best? = nil, message: String? = nil
  ) {
    (self.step, self.totalSteps, self.share) = (step, totalSteps, share)
    (self.seconds, self.remainingSeconds, self.loss) = (seconds, remainingSeconds, loss)
    (self.learningRate, self.gradientNorm) = (learningRate, gradientNorm)
    (self.unitsPerSecond, self.unit) = (unitsPerSecond, unit)
    (self.validationLoss, self.best, self.message) = (validationLoss, best, message)
  }
}
