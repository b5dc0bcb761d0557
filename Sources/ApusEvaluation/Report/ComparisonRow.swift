/// One line of the leaderboard: a model or a baseline, whether it succeeded or not.
public struct ComparisonRow: Codable, Sendable, Equatable {
  /// The kind of candidate.
  public enum Kind: String, Codable, Sendable {
    /// An architecture trained under the budget.
    case model
    /// A classical method every model has to beat.
    case baseline
  }

  /// The outcome of the row.
  public enum Status: String, Codable, Sendable {
    /// Scored, failed with an error, or diverged in training.
    case ok, failed, diverged
  }

  /// The name shown, unique within the record.
  public var name: String
  /// The kind of candidate.
  public var kind: Kind
  /// The outcome. Rows that are not `.ok` stay in the table, below the others.
  public var status = Status.ok
  /// Why it did not end well.
  public var message: String?

  /// Loss on the test split, the mean over seeds, in the unit of the task.
  public var loss: Double?
  /// Standard deviation of the loss over seeds.
  public var lossDeviation: Double?
  /// The loss of each seed, in the order of the task's seeds; nil of baselines.
  public var lossBySeed: [Double]?
  /// The p-value of the model confidence set: the row is in the set of confidence 1 - α where it is α or
  /// more (Hansen, Lunde and Nason).
  public var setPValue: Double?
  /// That training was cut off while it still improved; nil where it was finished, and of baselines.
  public var unfinished: UnfinishedTraining?
  /// How its learning rate and size were found; nil where they were not searched for.
  public var tuning: TuningRecord?
  /// `1 - loss / loss of the best baseline`, a fraction: positive is better than the bar. `nil` where
  /// the latter is 0.
  public var skill: Double?
  /// Block-bootstrap interval of ``skill``, at the confidence of the verdict.
  public var interval: ClosedRange<Double>?
  /// Diebold–Mariano p-value against the best baseline, corrected after Harvey, Leybourne and
  /// Newbold, then after Holm over all models.
  public var pValue: Double?
  /// Loss on the validation split, by which models were chosen.
  public var validationLoss: Double?
  /// Mean absolute distance between nominal and observed coverage over the quantiles.
  public var coverageError: Double?

  /// Wall-clock seconds of training, all of one seed; a search for settings is spread over the seeds.
  public var seconds: Double?
  /// Optimizer steps done in that time.
  public var steps: Int?
  /// Training speed in tokens (of series: input rows) per second.
  public var tokensPerSecond: Double?
  /// Median time of one forecast, in milliseconds per window.
  public var millisecondsP50: Double?
  /// 99th percentile of the time of one forecast, in milliseconds per window.
  public var millisecondsP99: Double?
  /// Largest resident memory while training, in bytes.
  public var peakBytes: Int?
  /// Trained numbers.
  public var parameters: Int?
  /// Size of the saved model, in bytes.
  public var artifactBytes: Int?

  /// Losses during training, in order of time.
  public var curve: [LearningPoint] = []
  /// Nominal against observed coverage on the test split, one entry per quantile.
  public var calibration: [CalibrationPoint] = []
  /// Nominal against observed coverage of the central intervals on the test split, widest first; nil of a
  /// text and in records that do not have it.
  public var intervals: [IntervalCoverage]?
  /// Loss on the test split by steps ahead; of text, by position in the context.
  public var lossBySteps: [StepLoss] = []
  /// Shares of the probability integral transform in bins of equal width over 0 to 1.
  public var pit: [Double] = []
  /// Further measures on the test split.
  public var metrics: [NamedMetric] = []

  /// The step at which the curve's validation loss is lowest: what is trained further does not help.
  var bestStep: Int? {
    curve.compactMap { point in point.validationLoss.finite.map { (point.step, $0) } }
      .min { $0.1 < $1.1 }?.0
  }

  /// Creates a row with a name and nothing measured.
  public init(name: String, kind: Kind) {
    self.name = name
    self.kind = kind
  }
}

/// One measurement during training.
public struct LearningPoint: Codable, Sendable, Equatable {
  /// Wall-clock seconds since training began.
  public var seconds: Double
  /// Optimizer steps done.
  public var step: Int
  /// Mean training loss since the previous point.
  public var trainLoss: Double?
  /// Loss on the validation split.
  public var validationLoss: Double?

  /// Creates a point.
  public init(
    seconds: Double, step: Int, trainLoss: Double? = nil, validationLoss: Double? = nil
  ) {
    self.seconds = seconds
    self.step = step
    self.trainLoss = trainLoss
    self.validationLoss = validationLoss
  }
}

/// How often the outcome lay below a quantile.
public struct CalibrationPoint: Codable, Sendable, Equatable {
  /// The nominal probability, 0 to 1.
  public var nominal: Double
  /// The share of outcomes at or below the forecast quantile, 0 to 1.
  public var empirical: Double

  /// Creates a point.
  public init(nominal: Double, empirical: Double) {
    self.nominal = nominal
    self.empirical = empirical
  }
}

/// The loss at one distance.
public struct StepLoss: Codable, Sendable, Equatable {
  /// Steps ahead, from 1; of text, the position in the context.
  public var step: Int
  /// The mean loss there.
  public var loss: Double

  /// Creates a pair.
  public init(step: Int, loss: Double) {
    self.step = step
    self.loss = loss
  }
}
