/// The answer of a comparison: which model is worth its effort, or that none is, and why.
///
/// Headline, explanation, JSON, console and report are written from it, and `--gate` asks it.
public struct Verdict: Codable, Sendable, Hashable {
  /// What decided.
  public enum Reason: String, Codable, Sendable, CaseIterable {
    /// The interval lies above zero and the corrected p-value below the level: recommended.
    case confirmed
    /// The interval includes zero.
    case intervalIncludesZero = "interval_includes_zero"
    /// The interval lies above zero, but the corrected p-value is not below the level.
    case notSignificant = "not_significant"
    /// The test part confirms the model, but on validation the baseline is better.
    case worseOnValidation = "worse_on_validation"
    /// The interval lies below zero.
    case worse
    /// The test part has too few windows for an interval or a test, or the model is better there, but
    /// on fewer than ``Verdict/fewestIndependentWindows`` that are independent.
    case tooFewWindows = "too_few_windows"
    /// The baseline predicts every window exactly: no model can be better.
    case perfectBaseline = "perfect_baseline"
    /// No model has losses to judge; there may have been none.
    case everyModelFailed = "every_model_failed"
    /// No baseline has losses, so that there is no bar.
    case everyBaselineFailed = "every_baseline_failed"
  }

  /// What decided.
  public var reason: Reason
  /// The model with the smallest mean validation loss; nil when every model failed.
  public var model: String?
  /// The baseline with the smallest mean test loss; nil when every baseline failed.
  public var baseline: String?
  /// The simplest baseline whose loss lies within one standard error of that of ``baseline``, on validation
  /// and test: what is used where no model is recommended. Nil where it is not told.
  public var simplest: String?
  /// `1 - loss of the model / loss of the baseline` on the test part: the fraction by which the
  /// model's loss is lower. Nil without one of the two, and where the baseline's loss is 0.
  public var effect: Double?
  /// The block-bootstrap interval of the effect. A baseline that is exact in most windows makes
  /// its ends infinite.
  public var interval: ClosedRange<Double>?
  /// The probability that the interval should have.
  public var confidence: Double
  /// The two-sided Diebold-Mariano p-value of the model, corrected after Holm for all models tried.
  public var pValue: Double?
  /// The same before the correction.
  public var uncorrectedPValue: Double?
  /// How many models were tried, failures included.
  public var models: Int
  /// How many windows interval and test count: of series, dates, or series where they share no clock; of
  /// texts, blocks of tokens.
  public var windows: Int
  /// How many of them share no target: the windows over the successive ones that do, rounded down; nil
  /// where it is not told.
  public var independentWindows: Int?

  /// With fewer independent windows no model is recommended: a bootstrap and a t-test of so few say less
  /// than they promise.
  public static let fewestIndependentWindows = 10

  /// The model worth its effort; nil when no model beats the best baseline.
  public var recommended: String? { reason == .confirmed ? model : nil }

  /// How far behind the best a simpler baseline may lie, in standard errors of the difference.
  public var standardErrors = 1.0

  /// What is worth using: the recommended model, or else the simplest of the baselines that are as good as the
  /// best; nil when every baseline failed.
  public var use: String? { recommended ?? simplest ?? baseline }

  /// Creates a verdict.
  public init(
    reason: Reason, model: String?, baseline: String?, simplest: String? = nil,
    effect: Double? = nil, interval: ClosedRange<Double>? = nil, confidence: Double = 0.95,
    pValue: Double? = nil,
    uncorrectedPValue: Double? = nil, models: Int, windows: Int, independentWindows: Int? = nil
  ) {
    (self.reason, self.model) = (reason, model)
    (self.baseline, self.simplest) = (baseline, simplest)
    (self.effect, self.interval, self.confidence) = (effect, interval, confidence)
    (self.pValue, self.uncorrectedPValue) = (pValue, uncorrectedPValue)
    (self.models, self.windows, self.independentWindows) = (models, windows, independentWindows)
  }
}

// Every key is written, `null` where nothing exists, and `recommended` beside what it follows from.
extension Verdict {
  private enum WrittenKeys: String, CodingKey {
    case recommended, use, reason, model, baseline, simplest, effect, interval, confidence, pValue
    case uncorrectedPValue, models, windows, independentWindows, fewestIndependentWindows
    case standardErrors
  }

  public func encode(to encoder: any Encoder) throws {
    var keys = encoder.container(keyedBy: WrittenKeys.self)
    try keys.encode(recommended, forKey: .recommended)
    try keys.encode(use, forKey: .use)
    try keys.encode(reason, forKey: .reason)
    try keys.encode(model, forKey: .model)
    try keys.encode(baseline, forKey: .baseline)
    try keys.encode(simplest, forKey: .simplest)
    try keys.encode(effect, forKey: .effect)
    try keys.encode(interval, forKey: .interval)
    try keys.encode(confidence, forKey: .confidence)
    try keys.encode(pValue, forKey: .pValue)
    try keys.encode(uncorrectedPValue, forKey: .uncorrectedPValue)
    try keys.encode(models, forKey: .models)
    try keys.encode(windows, forKey: .windows)
    try keys.encode(independentWindows, forKey: .independentWindows)
    try keys.encode(Self.fewestIndependentWindows, forKey: .fewestIndependentWindows)
    try keys.encode(standardErrors, forKey: .standardErrors)
  }
}

// Sentences.
extension Verdict {
  /// The answer in one line, such as "mamba beats ets by 3.1 %" or "No model beats ets".
  public var headline: String {
    guard let baseline else { return "No verdict: every baseline failed" }
    guard models > 0 else { return "\(baseline) is the best baseline" }
    guard let recommended else { return "No model beats \(baseline)" }
    return "\(recommended) beats \(baseline) by \(Self.share(effect ?? 0))"
  }

  /// The answer in full: what was compared with what, its certainty, and why.
  ///
  /// - Parameter loss: What the loss is called, such as "error".
  /// - Returns: Some sentences.
  public func explanation(loss: String = "error") -> String {
    guard models > 0 else {
      return "No model was compared." + (baseline.map { " Use \(used(beside: $0))." } ?? "")
    }
    guard let model else {
      return "Every model failed; the table says why."
        + (baseline.map { " \($0) is the best of the baselines." } ?? "")
    }
    guard let baseline else {
      return
        "Every baseline failed, so there is nothing to compare \(model) with; the table says why."
    }
    let choice =
      models == 1
      ? "\(Abbreviations.spelledOut(model)) is the only neural model"
      : "Of the neural models, \(Abbreviations.spelledOut(model)) did best on the validation period"
    var sentences = [
      "\(choice); \(Abbreviations.spelledOut(baseline)) is the strongest baseline."
    ]
    if let effect {
      let range = interval.map { " (\(level) interval: \(Self.range($0)))" } ?? ""
      let phrase = Self.phrase(effect)
      let link = phrase == "equal" ? "to" : phrase.hasSuffix("high") ? "as" : "than"
      sentences.append(
        "On the test part, opened once, \(model)'s \(loss) is \(phrase) \(link) \(baseline)'s\(range)."
      )
    }
    sentences.append(decision(against: baseline))
    return sentences.joined(separator: " ")
  }

  /// What decided, in words; where interval and test seem to disagree, why.
  private func decision(against baseline: String) -> String {
    let counted = "\(windows) window\(windows == 1 ? "" : "s")"
    let used = self.used(beside: baseline)
    let use = "use \(used)"
    switch reason {
    case .confirmed:
      return "The interval excludes zero, and the Diebold–Mariano test\(correction) agrees (\(p))."
    case .intervalIncludesZero:
      let test =
        isSignificant
        ? " The test alone sees a difference (\(p)); it allows for the dependence of neighboring windows "
          + "in another way, and both have to agree." : ""
      return "The interval includes zero, so the difference may be chance: \(use).\(test)"
    case .notSignificant: return "The interval excludes zero, but \(doubt): \(use)."
    case .worse:
      return isSignificant
        ? "Use \(used)." : "The interval excludes zero, but \(doubt). Use \(used)."
    case .worseOnValidation:
      return "But on validation, by which models are chosen, \(baseline) was better: \(use)."
    case .tooFewWindows:
      guard let independentWindows, independentWindows < windows else {
        return "The test part has \(counted), too few to tell a difference from chance: \(use)."
      }
      return """
        The test part has \(counted), of which \(independentWindows) share no target; at least \
        \(Self.fewestIndependentWindows) are needed to tell a difference from chance: \(use).
        """
    case .perfectBaseline:
      return
        "\(baseline) predicts every window of the test part exactly, so no model can be better: \(use)."
    case .everyModelFailed, .everyBaselineFailed: return ""
    }
  }

  /// The baseline to use, and why where it is not the strongest.
  private func used(beside baseline: String) -> String {
    guard let simplest, simplest != baseline else { return baseline }
    let near =
      standardErrors == 1
      ? "one standard error" : "\((10 * standardErrors).rounded() / 10) standard errors"
    let why =
      standardErrors == 1
      ? ""
      : ", as series that wander like prices are best forecast simply until the opposite is shown"
    return "\(simplest), which is simpler than \(baseline) and within \(near) of it\(why)"
  }

  /// Why the test does not confirm what the interval shows.
  private var doubt: String {
    if let uncorrectedPValue, uncorrectedPValue < 1 - confidence {
      return "the test counts all \(models) models tried, which the interval does not (\(p); "
        + "\(Self.text(uncorrectedPValue)) for this model alone)"
    }
    return "the test has too few windows (\(p))"
  }

  private var isSignificant: Bool { (pValue ?? 1) < 1 - confidence }
  private var correction: String { models > 1 ? ", corrected for all \(models) models tried," : "" }
  private var level: String { Self.share(confidence) }
  private var p: String { Self.text(pValue ?? .nan) }

  private static func text(_ p: Double) -> String {
    p < 0.001 ? "p < 0.001" : "p = \(Figures.probability(p))"
  }

  /// An effect as a difference: "52 % higher", "3.1 % lower", "12 times as high", "equal".
  private static func phrase(_ effect: Double) -> String {
    let ratio = 1 - effect
    if ratio > 1000 { return "more than 1000 times as high" }
    if ratio >= 10 { return "\(Figures.significant(ratio, 2)) times as high" }
    let difference = share(abs(effect))
    return difference == "0 %" ? "equal" : "\(difference) \(effect < 0 ? "higher" : "lower")"
  }

  /// An interval of effects: "38 % to 64 % higher", "1.0 % higher to 2.0 % lower".
  private static func range(_ interval: ClosedRange<Double>) -> String {
    let ends = [interval.lowerBound, interval.upperBound].map(phrase)
    if ends[0] == ends[1] { return ends[0] }
    for kind in [" higher", " lower", " times as high"]
    where ends.allSatisfy({ $0.hasSuffix(kind) }) {
      let (near, far) = kind == " lower" ? (ends[0], ends[1]) : (ends[1], ends[0])
      return "\(near.dropLast(kind.count)) to \(far)"
    }
    return ends.joined(separator: " to ")
  }

  /// A fraction in percent, with more digits where it is small: 52 %, 3.1 %, 0.04 %.
  private static func share(_ value: Double) -> String {
    let percent = abs(value) * 100
    let digits = Figures.fixed(value * 100, percent < 0.995 ? 2 : percent < 9.95 ? 1 : 0)
    return (Double(digits) == 0 ? "0" : digits) + " %"
  }
}
