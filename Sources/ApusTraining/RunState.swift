/// What a run has to remember to go on: all of it stands in a checkpoint's `state.json`.
struct RunState: Codable, Hashable {
  var step = 0
  var skippedInRow = 0
  /// The running average of the loss is the quotient of these.
  var lossSum = 0.0
  var lossWeight = 0.0
  var validationsSinceBest = 0
  var lastValidation: Mark?
  /// Seconds spent before this process.
  var spentSeconds = 0.0
  /// The part of them that steps took.
  var stepSeconds = 0.0
  /// What the last validation took.
  var lastValidationSeconds = 0.0
  var record = TrainingRecord()

  /// Where it was held, in order; nil of one that never was.
  var halts: [Halt]?

  /// What a run had found when it was held.
  struct Halt: Codable, Hashable {
    /// The share of the budget that it was to come to.
    var share: Double
    var step: Int
    var seconds: Double
    /// The best validation loss up to here; nil where there was none.
    var loss: Double?
  }

  /// A moment of a run, in every way in which an ``Interval`` counts.
  struct Mark: Codable, Hashable {
    var step: Int
    var seconds: Double
    var share: Double
  }

  var loss: Double? { lossWeight > 0 ? lossSum / lossWeight : nil }

  mutating func addLoss(_ loss: Double) {
    let weight = 0.05  // an average over about the last twenty steps
    lossSum = lossSum * (1 - weight) + weight * loss
    lossWeight = lossWeight * (1 - weight) + weight
  }
}
