public import Foundation

/// The file `leaderboard.json`: the answer of a comparison for machines.
///
/// Every row has every key; what does not exist is `null`.
public struct Leaderboard: Codable, Sendable, Equatable {
  /// One line.
  public struct Row: Codable, Sendable, Equatable {
    /// The name of the model or baseline.
    public let name: String
    /// Whether it is a model or a baseline.
    public let kind: ComparisonRow.Kind
    /// The outcome.
    public let status: ComparisonRow.Status
    /// Why it did not end well.
    public let message: String?
    /// Position by loss, from 1.
    public let rank: Int?
    /// Loss on the test split, the mean over seeds.
    public let loss: Double?
    /// Standard deviation of the loss over seeds.
    public let lossDeviation: Double?
    /// The loss of each seed; null of baselines.
    public let lossBySeed: [Double]?
    /// `1 - loss / loss of the best baseline`.
    public let skill: Double?
    /// Block-bootstrap interval of the skill, `[low, high]`.
    public let interval: ClosedRange<Double>?
    /// Corrected Diebold–Mariano p-value against the best baseline.
    public let pValue: Double?
    /// The p-value of the model confidence set.
    public let setPValue: Double?
    /// Of several series, 1 - the geometric mean of ratios to the naive forecast.
    public let seriesSkill: Double?
    /// Of several series, how often it is better than another row.
    public let winRate: Double?
    /// That training was cut off while it still improved, and what more time may bring.
    public let unfinished: UnfinishedTraining?
    /// The learning rates and sizes that were tried.
    public let tuning: TuningRecord?
    /// Seconds of training.
    public let seconds: Double?
    /// Trained numbers.
    public let parameters: Int?
    /// Training speed.
    public let tokensPerSecond: Double?
    /// Median time of one forecast, per window.
    public let millisecondsP50: Double?
    /// 99th percentile of the time of one forecast, per window.
    public let millisecondsP99: Double?
    /// Largest resident memory while training.
    public let peakBytes: Int?
    /// Size of the saved model.
    public let artifactBytes: Int?
    /// Mean absolute distance between nominal and observed coverage.
    public let coverageError: Double?
  }

  /// The answer in one line.
  public let headline: String
  /// The answer as a value. An interval with an infinite end is missing.
  public let verdict: Verdict
  /// What the loss is.
  public let lossName: String
  /// The baseline skills are measured against.
  public let bestBaseline: String?
  /// The model validation chose.
  public let chosen: String?
  /// The rows that cannot be told from the best.
  public let bestSet: BestSet?
  /// Whether the chosen model adds to a baseline that it contains.
  public let nestedTest: NestedTest?
  /// How many training runs were made.
  public let trials: TrialCount?
  /// Best first, rows without a loss last.
  public let rows: [Row]

  /// Draws the leaderboard from a comparison.
  public init(_ record: ComparisonRecord) {
    headline = record.headline
    var verdict = record.verdict
    verdict.interval = verdict.interval?.finite
    self.verdict = verdict
    lossName = record.task.lossName
    bestBaseline = record.bestBaseline?.name
    chosen = record.chosen
    (bestSet, nestedTest, trials) = (record.bestSet, record.nestedTest, record.trials)
    rows = record.ranked.enumerated().map {
      Row($1, position: $0 + 1, over: record.seriesSkill?.row(of: $1.name))
    }
  }

  /// The file's content: keys in snake case, sorted, one per line.
  /// - Throws: `EncodingError` never, as all numbers are finite.
  public func json() throws -> Data {
    try JSONEncoder.apusRecord.encode(self)
  }
}

extension Leaderboard.Row {
  init(_ row: ComparisonRow, position: Int, over series: TaskSkill.Row?) {
    name = row.name
    kind = row.kind
    status = row.status
    message = row.message
    rank = row.score == nil ? nil : position
    loss = row.loss.finite
    lossDeviation = row.lossDeviation.finite
    lossBySeed = row.lossBySeed.flatMap { $0.allSatisfy(\.isFinite) ? $0 : nil }
    skill = row.skill.finite
    interval = row.interval?.finite
    pValue = row.pValue.finite
    setPValue = row.setPValue.finite
    (seriesSkill, winRate) = (series?.skill, series?.winRate)
    (unfinished, tuning) = (row.unfinished, row.tuning)
    seconds = row.seconds.finite
    parameters = row.parameters
    tokensPerSecond = row.tokensPerSecond.finite
    millisecondsP50 = row.millisecondsP50.finite
    millisecondsP99 = row.millisecondsP99.finite
    peakBytes = row.peakBytes
    artifactBytes = row.artifactBytes
    coverageError = row.coverageError.finite
  }

  // Written out because the synthesized one leaves missing values out, and a reader should be
  // able to rely on the keys.
  public func encode(to encoder: any Encoder) throws {
    var keys = encoder.container(keyedBy: CodingKeys.self)
    try keys.encode(name, forKey: .name)
    try keys.encode(kind, forKey: .kind)
    try keys.encode(status, forKey: .status)
    try keys.encode(message, forKey: .message)
    try keys.encode(rank, forKey: .rank)
    try keys.encode(loss, forKey: .loss)
    try keys.encode(lossDeviation, forKey: .lossDeviation)
    try keys.encode(lossBySeed, forKey: .lossBySeed)
    try keys.encode(skill, forKey: .skill)
    try keys.encode(interval, forKey: .interval)
    try keys.encode(pValue, forKey: .pValue)
    try keys.encode(setPValue, forKey: .setPValue)
    try keys.encode(seriesSkill, forKey: .seriesSkill)
    try keys.encode(winRate, forKey: .winRate)
    try keys.encode(unfinished, forKey: .unfinished)
    try keys.encode(tuning, forKey: .tuning)
    try keys.encode(seconds, forKey: .seconds)
    try keys.encode(parameters, forKey: .parameters)
    try keys.encode(tokensPerSecond, forKey: .tokensPerSecond)
    try keys.encode(millisecondsP50, forKey: .millisecondsP50)
    try keys.encode(millisecondsP99, forKey: .millisecondsP99)
    try keys.encode(peakBytes, forKey: .peakBytes)
    try keys.encode(artifactBytes, forKey: .artifactBytes)
    try keys.encode(coverageError, forKey: .coverageError)
  }
}
