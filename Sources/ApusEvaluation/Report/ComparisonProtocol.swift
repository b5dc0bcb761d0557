/// One training run of a comparison: what was tried, and what came of it.
public struct Trial: Codable, Sendable, Equatable {
  /// A fingerprint of model, settings, data and seed: the same run has the same key.
  public var key: String
  /// The name of the model.
  public var model: String
  /// What it was trained with, by name, such as the budget and the learning rate.
  public var settings: [String: String]
  /// The seed.
  public var seed: UInt64
  /// How it ended.
  public var status: ComparisonRow.Status
  /// Steps of the optimizer.
  public var steps: Int
  /// Wall seconds.
  public var seconds: Double
  /// The best validation loss of the training; nil where it gave none.
  public var validationLoss: Double?
  /// The loss on the test part; nil where it was not judged there.
  public var testLoss: Double?
  /// Of one of several settings that were tried, the best validation loss by the end of each rung of the search
  /// that it trained in, nil where it had none; see ``TuningRecord``.
  public var rungs: [Double?]?

  /// Creates a trial that is not judged on the test part yet.
  public init(
    key: String, model: String, settings: [String: String], seed: UInt64,
    status: ComparisonRow.Status, steps: Int, seconds: Double, validationLoss: Double?
  ) {
    (self.key, self.model, self.settings, self.seed) = (key, model, settings, seed)
    (self.status, self.steps, self.seconds) = (status, steps, seconds)
    (self.validationLoss, testLoss) = (validationLoss, nil)
  }
}

/// How many training runs stand behind a comparison.
public struct TrialCount: Codable, Sendable, Equatable {
  /// The file that has each of them in a line, in the folder of the comparison.
  public static let file = "trials.jsonl"
  /// Runs of this comparison, failed ones among them; a run that was resumed is one.
  public var here: Int
  /// All that are logged in the folder: those of this comparison and of earlier ones.
  public var logged: Int

  /// Creates a count.
  public init(here: Int, logged: Int) { (self.here, self.logged) = (here, logged) }

  /// The count in a sentence.
  public var sentence: String {
    let runs = "\(here) training run\(here == 1 ? "" : "s")"
    let earlier = logged - here
    return earlier == 0
      ? "This comparison made \(runs); each is a line of \(Self.file)."
      : "This comparison made \(runs); with \(earlier) of earlier ones in this folder \(logged) are logged in "
        + "\(Self.file)."
  }
}

/// The models and baselines that cannot be told from the best one.
public struct BestSet: Codable, Sendable, Equatable {
  /// The probability that the best one is among them.
  public var confidence: Double
  /// Their names, the smallest loss first.
  public var names: [String]

  /// Creates a set.
  public init(confidence: Double, names: [String]) {
    (self.confidence, self.names) = (confidence, names)
  }

  /// The set in a sentence.
  public var sentence: String {
    let level = Figures.percent(confidence, decimals: 0)
    guard names.count > 1 else {
      return
        "Only \(names.first ?? "") is in the \(level) model confidence set: it is told from all others."
    }
    return
      "These cannot be told apart from the best (\(level) model confidence set): \(names.joined(separator: ", "))."
  }
}

/// Skill and win rate over single series, by the conventions of fev-bench (``TaskSkill``).
public struct SeriesSkill: Codable, Sendable, Equatable {
  /// The baseline that errors are divided by.
  public var baseline: String
  /// How many series are judged.
  public var series: Int
  /// One row for each model and baseline.
  public var rows: [TaskSkill.Row]

  /// Creates a table.
  public init(baseline: String, series: Int, rows: [TaskSkill.Row]) {
    (self.baseline, self.series, self.rows) = (baseline, series, rows)
  }

  /// The row of a model or baseline.
  public func row(of name: String) -> TaskSkill.Row? { rows.first { $0.name == name } }
}

/// Clark and West's test of the chosen model against the best baseline, where it contains that one.
public struct NestedTest: Codable, Sendable, Equatable {
  /// The model.
  public var model: String
  /// The baseline, one of whose kind the model can be.
  public var baseline: String
  /// The statistic.
  public var statistic: Double
  /// The probability of a statistic as high when the model is no better, one-sided.
  public var pValue: Double

  /// Creates a test.
  public init(model: String, baseline: String, statistic: Double, pValue: Double) {
    (self.model, self.baseline) = (model, baseline)
    (self.statistic, self.pValue) = (statistic, pValue)
  }

  /// The test in a sentence.
  public var sentence: String {
    let p = pValue < 0.001 ? "p < 0.001" : "p = \(Figures.probability(pValue))"
    let finding =
      pValue < 0.05
      ? "the model's part beyond the baseline is told from chance" : "it may be chance"
    return """
      \(baseline) is a special case of \(model): on squared error Clark and West's test, which allows for \
      what the larger model has to estimate, says that \(finding) (\(p), one-sided).
      """
  }
}

extension Verdict {
  /// How many windows interval and test rest on, in a sentence; nil where it is not told.
  public var windowsSentence: String? {
    guard let independentWindows else { return nil }
    let counted = "\(windows) window\(windows == 1 ? "" : "s")"
    let needed =
      "at least \(Self.fewestIndependentWindows) are needed before a model can be recommended"
    return independentWindows == windows
      ? "Tests and intervals rest on \(counted) that share no target; \(needed)."
      : "Tests and intervals rest on \(counted), of which \(independentWindows) share no target (the effective "
        + "number); \(needed)."
  }
}

extension ComparisonRecord {
  /// What stands behind the answer, a sentence each: windows, the set of the best, the nested test, the
  /// direction of returns, runs, searches
  /// for settings, and models whose training was not finished.
  public var protocolSentences: [String] {
    [
      verdict.windowsSentence, bestSet?.sentence, nestedTest?.sentence, directionSharpe?.sentence,
      trials?.sentence,
    ].compactMap(\.self)
      + ranked.compactMap { row in row.tuning?.sentence(row.name) }
      + ranked.compactMap { row in row.unfinished?.sentence(row.name) }
  }
}
