extension ComparisonRecord {
  /// The answer in one line, such as "No model beats GARCH(1,1)".
  public var headline: String { verdict.headline }

  /// The answer in full: what was compared with what, its certainty, what it does not say.
  public var explanation: String {
    let covariates =
      task.covariates.isEmpty
      ? nil
      : "The models also read \(task.covariates.joined(separator: ", ")), the baselines did not."
    return [
      verdict.explanation(loss: task.kind == .text ? "loss" : "error"), direction, covariates,
    ]
    .compactMap(\.self).joined(separator: " ")
  }

  /// What can be said about up and down; nil where nothing is.
  private var direction: String? {
    let shares = rows.filter { $0.kind == .model }.compactMap { row in
      row.metrics.first { $0.name == "direction" }.map { (row.name, $0) }
    }
    guard let best = shares.max(by: { $0.1.value < $1.1.value }) else { return nil }
    return "Direction: \(best.0) is the best of the models and predicts the sign of "
      + "\(percent(best.1.value)) of the moves" + (best.1.detail.map { " (\($0))" } ?? "") + "."
  }

  /// The name of the model that validation chose, whose folder was written; `nil` if none was.
  public var chosen: String? { verdict.model }

  /// The rows by loss, best first; then the rows without a loss, in their given order.
  public var ranked: [ComparisonRow] {
    let scored = rows.filter { $0.score != nil }
    let unscored = rows.filter { $0.score == nil }
    let order = scored.enumerated().sorted { first, second in
      let (a, b) = (first.element.score ?? .infinity, second.element.score ?? .infinity)
      return a == b ? first.offset < second.offset : a < b
    }
    return order.map(\.element) + unscored
  }

  /// The baseline with the lowest loss, the reference of every skill.
  public var bestBaseline: ComparisonRow? {
    ranked.first { $0.kind == .baseline && $0.score != nil }
  }

  /// The model the charts put forward: the one validation chose, else the one with the lowest loss.
  public var bestModel: ComparisonRow? {
    let models = ranked.filter { $0.kind == .model && $0.score != nil }
    return models.first { $0.name == chosen } ?? models.first
  }
}

extension ComparisonRow {
  /// The loss if the row ended well and the loss is a number.
  package var score: Double? {
    status == .ok ? loss.finite : nil
  }
}

extension ClosedRange<Double> {
  /// The range, unless an end is infinite.
  var finite: Self? { lowerBound.isFinite && upperBound.isFinite ? self : nil }
}

extension Optional<Double> {
  /// The number, unless it is missing, infinite or not a number.
  var finite: Double? {
    flatMap { $0.isFinite ? $0 : nil }
  }
}
