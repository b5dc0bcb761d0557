/// The forecasts that need no parameters: last value, last season, drift, mean, climatology.
///
/// Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd edition, section 5.2.
package struct Naive: AnchorRule {
  package enum Form: Sendable, Hashable {
    /// The last value: `y_t`.
    case last
    /// The value one season earlier: `y_{t + h - m ceil(h / m)}`.
    case season
    /// The line through the first and the last value: `y_t + h (y_t - y_1) / (t - 1)`.
    case drift
    /// The mean of the last `count` values, or of all.
    case mean(count: Int?)
    /// The mean of all values at the same place in the season: a climatology.
    case slot
  }

  let form: Form
  package var residuals = ResidualQuantiles()
  private var season = 1
  private var smallest = 0.0

  package init(_ form: Form) { self.form = form }

  package var warmUp: Int {
    switch form {
    case .last: 1
    case .season, .slot: season
    case .drift: 2
    case .mean(let count): count ?? 1
    }
  }

  /// The last value, or that of a season ago, is what such a forecast says, whatever it missed in training:
  /// a mean way up or down is that of the drift.
  package func isMedian(_ task: ForecastTask) -> Bool {
    task.measure == .level && (form == .last || form == .season || form == .drift)
  }

  package mutating func estimate(_ history: [Double], task: ForecastTask) {
    season = task.seasonLength
    smallest = smallestScale(of: history)
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(form, season: season, smallest: task.measure == .volatility ? smallest : nil)
  }

  package struct Anchors: AnchorMemory {
    private let form: Form
    /// The smallest scale of a volatility; nil for other measures.
    private let smallest: Double?
    private var count = 0
    private var last = Double.nan
    private var first: (index: Int, value: Double)?
    /// The last value present at each place of the season.
    private var season: [Double]
    private var sums: TrailingSums
    /// What ``Form/slot`` has seen at each place of the season.
    private var slots: [TrailingSums]

    fileprivate init(_ form: Form, season: Int, smallest: Double?) {
      (self.form, self.smallest) = (form, smallest)
      self.season = [Double](repeating: .nan, count: season)
      var window: Int?
      if case .mean(let count) = form { window = count }
      sums = TrailingSums(last: window)
      slots = form == .slot ? self.season.map { _ in TrailingSums(last: nil) } : []
    }

    package mutating func push(_ value: Double) {
      if value.isFinite {
        last = value
        season[count % season.count] = value
        if first == nil { first = (count, value) }
      }
      sums.push(value)
      if form == .slot { slots[count % slots.count].push(value) }
      count += 1
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      (1...steps).map { step in
        let value = point(step)
        return smallest.map { Anchor(factor: max(value, $0)) } ?? Anchor(value)
      }
    }

    private func point(_ step: Int) -> Double {
      switch form {
      case .last: return last
      case .season:
        let before = season[(count + (step - 1) % season.count) % season.count]
        return before.isFinite ? before : last
      case .drift:
        guard let first, count - 1 > first.index else { return last }
        let slope = (last - first.value) / Double(count - 1 - first.index)
        return last + Double(step) * slope
      case .slot: return slots[(count + step - 1) % slots.count].mean() ?? sums.mean() ?? last
      case .mean(let count): return sums.mean(last: count) ?? last
      }
    }
  }
}
