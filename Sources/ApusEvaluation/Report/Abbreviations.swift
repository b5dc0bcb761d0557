import ApusModels

/// Names of methods that people of other fields do not read.
enum Abbreviations {
  /// A name with what it stands for behind it, such as "ets (exponential smoothing)"; the name alone where
  /// it says itself what it is.
  static func spelledOut(_ name: String) -> String {
    meaning(of: name).map { "\(name) (\($0))" } ?? name
  }

  /// What a name stands for; nil where it says so itself.
  static func meaning(of name: String) -> String? {
    let members = Baseline.members(of: name).count
    if members > 1 { return "the mean of \(members) baselines" }
    let family = meanings.keys.filter { name == $0 || name.hasPrefix($0 + "-") }
    return family.max { $0.count < $1.count }.flatMap { meanings[$0] }
  }

  private static let meanings = [
    "ets": "exponential smoothing of level, trend and season",
    "ols": "ordinary least squares on the last values",
    "nlinear": "least squares relative to the last value",
    "ewma": "exponentially weighted moving average of squared errors",
    "arima": "autoregressive integrated moving average",
    "garch": "variance that follows the last errors and itself",
    "gjr-garch": "variance that follows the last errors, falls more than rises",
    "egarch": "variance in logarithms that follows the last errors",
    "har": "regression on the last day, week and month",
    "log-har": "regression on the last day, week and month, in logarithms",
    "mstl": "seasons taken off by local regressions, then exponential smoothing",
    "croston": "smoothed sizes over smoothed intervals of demand",
    "tsb": "smoothed sizes times a smoothed probability of demand",
    "theta": "smoothing with half the trend of a straight line",
    "drift": "the line through the first and the last value",
    "climatology": "the mean at the same place in the season",
    "historical": "quantiles of what was there before",
    "lstm": "long short-term memory", "gpt": "transformer of GPT-2's kind",
  ]
}
