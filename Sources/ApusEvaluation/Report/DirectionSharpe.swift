/// What the direction of a model's forecasts of returns was worth on the test part, and whether chance may be all of
/// it: one row is held long where the forecast is above 0, and short where it is below, before costs.
///
/// The ratio is deflated by every training run that is logged (``DeflatedSharpe``). Of runs that were never judged
/// there is no ratio, so that their spread is the one that ratios without skill have, 1 / (T − 1) (Lo, 2002, *The
/// Statistics of Sharpe Ratios*, equation 9).
public struct DirectionSharpe: Codable, Sendable, Equatable {
  /// The model.
  public var name: String
  /// Mean over standard deviation of what a row brought.
  public var ratio: Double
  /// How many rows, T: dates, of several series the mean over them.
  public var rows: Int
  /// How many training runs are logged, N.
  public var trials: Int
  /// The probability that the true ratio is above what the best of N runs without skill is expected to show.
  public var probability: Double

  /// Measures what a strategy brought; nil where there are fewer than three returns, or all are alike.
  ///
  /// - Parameters:
  ///   - name: The model.
  ///   - returns: One for each date, in order.
  ///   - trials: N, at least 1.
  public init?(_ name: String, returns: [Double], trials: Int) {
    let variance = 1 / Double(max(1, returns.count - 1))
    guard
      let found = try? DeflatedSharpe(
        returns: returns, trials: max(1, trials), trialVariance: variance)
    else { return nil }
    (self.name, ratio, rows) = (name, found.ratio, found.count)
    (self.trials, probability) = (max(1, trials), found.probability)
  }

  /// The finding in a sentence.
  public var sentence: String {
    let tried = trials == 1 ? "the one run" : "the best of \(trials) runs"
    return """
      Held by the sign of \(name)'s forecast, a row had a Sharpe ratio of \(Figures.fixed(ratio, 3)) before costs \
      (\(rows) rows of test); that it is above what \(tried) would show by chance has a probability of \
      \(Figures.percent(probability, decimals: 0)) (deflated Sharpe ratio).
      """
  }
}
