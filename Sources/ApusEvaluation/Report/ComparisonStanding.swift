extension ComparisonRecord {
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

  /// The baseline with the lowest loss, the bar every skill is measured against.
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

extension Optional<Double> {
  /// The number, unless it is missing, infinite or not a number.
  var finite: Double? {
    flatMap { $0.isFinite ? $0 : nil }
  }
}
