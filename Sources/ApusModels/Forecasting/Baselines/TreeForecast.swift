/// Gradient-boosted trees on lags and the place in the season.
///
/// Trees (``BoostedTrees``) answer how far the next value lies from a base: the last value of a level,
/// the mean of the last values of returns and volatilities. Inputs are the last values, those around
/// one and two seasons ago and means over short spans, all relative to the base, and the place in the
/// season. Steps ahead are taken one by one, each forecast being the input of the next. The last third
/// of training chooses the number of trees and gives the errors for the quantiles; then the trees grow
/// again on all of it. Of more than 8000 values only the last teach. Missing values take the last value
/// before them; a missing target does not teach.
package struct TreeForecast: AnchorRule {
  package var residuals = ResidualQuantiles()
  /// Values that are read one by one.
  let lookback: Int
  private var lags: [Int] = []
  private var season = 1
  private var measure = ForecastTask.Kind.level
  private var trees: BoostedTrees?
  /// Longer histories teach with this many of their last values.
  private static let mostValues = 8000
  /// Fewer rows than this teach no tree.
  private static let fewestRows = 40

  package init(lookback: Int) { self.lookback = min(max(1, lookback), 24) }

  package var warmUp: Int { lags.last ?? 1 }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    try setLags(history.count, task)
    let rows = rows(history, 0..<history.count)
    guard rows.outputs.count >= Self.fewestRows else {
      throw RuleError.tooShort(found: rows.outputs.count + warmUp, needed: warmUp + Self.fewestRows)
    }
    trees = BoostedTrees(rows.columns, rows.outputs, options: .init())
  }

  package mutating func learn(_ history: [Double], task: ForecastTask) throws {
    guard history.contains(where: \.isFinite) else { throw RuleError.tooShort(found: 0, needed: 9) }
    let all = Array(history.suffix(Self.mostValues))
    // The place in the season is counted from the start of the series.
    let skipped = history.count - all.count
    let split = all.count - all.count / 3
    try setLags(all.count, task)
    let (early, late) = (rows(all, 0..<split, skipped), rows(all, split..<all.count, skipped))
    guard early.outputs.count >= Self.fewestRows else {
      throw RuleError.tooShort(
        found: early.outputs.count + warmUp, needed: (warmUp + Self.fewestRows) * 3 / 2)
    }
    let first = BoostedTrees(
      early.columns, early.outputs, options: .init(), validation: (late.columns, late.outputs))
    trees = first
    residuals = try ResidualQuantiles(
      of: all, from: max(split, warmUp), task: task, anchors: anchors(task, skipped: skipped))
    let both = rows(all, 0..<all.count, skipped)
    trees = BoostedTrees(both.columns, both.outputs, options: .init(mostTrees: first.count))
  }

  /// The lags for so many values: a third of them at most.
  private mutating func setLags(_ count: Int, _ task: ForecastTask) throws {
    (season, measure) = (task.seasonLength, task.measure)
    var lags = Set(1...lookback)
    if season > 1 {
      for turn in [1, 2, 7] {
        lags.formUnion([turn * season - 1, turn * season, turn * season + 1])
      }
    }
    self.lags = lags.filter { $0 >= 1 && $0 <= max(1, count / 3) }.sorted()
  }

  /// Inputs and outputs of the rows whose target lies in `range`.
  private func rows(_ values: [Double], _ range: Range<Int>, _ skipped: Int = 0) -> (
    columns: [[Double]], outputs: [Double]
  ) {
    var memory = Anchors(self, skipped: skipped)
    var outputs: [Double] = []
    var columns: [[Double]] = []
    for (index, value) in values.enumerated() {
      if range.contains(index), index >= warmUp, value.isFinite, memory.hasValue {
        let (base, inputs) = memory.inputs(memory.window, memory.place)
        if columns.isEmpty { columns = inputs.map { _ in [] } }
        for (column, input) in inputs.enumerated() { columns[column].append(input) }
        outputs.append(value - base)
      }
      memory.push(value)
    }
    return (columns, outputs)
  }

  package func anchors(_ task: ForecastTask) -> Anchors { anchors(task, skipped: 0) }

  private func anchors(_ task: ForecastTask, skipped: Int) -> Anchors {
    Anchors(self, skipped: skipped)
  }

  package struct Anchors: AnchorMemory {
    private let rule: TreeForecast
    /// The last values, missing ones filled, newest last; as many first values before there are enough.
    fileprivate private(set) var window: [Double] = []
    /// The place of the next value in the season.
    fileprivate private(set) var place: Int
    private var range = RunningRange()
    private let isVolatility: Bool
    fileprivate var hasValue: Bool { !window.isEmpty }

    fileprivate init(_ rule: TreeForecast, skipped: Int) {
      self.rule = rule
      isVolatility = rule.measure == .volatility
      place = skipped % rule.season
    }

    package mutating func push(_ value: Double) {
      range.push(value)
      place = (place + 1) % rule.season
      if window.isEmpty {
        guard value.isFinite else { return }
        window = [Double](repeating: value, count: rule.warmUp)
      } else {
        window.append(value.isFinite ? value : window[window.count - 1])
        window.removeFirst()
      }
    }

    /// The base of the next value and what trees see.
    fileprivate func inputs(_ window: [Double], _ place: Int) -> (base: Double, inputs: [Double]) {
      let n = window.count
      let short = min(n, 5)
      let span = min(n, max(rule.season, rule.lookback))
      let mean = window.suffix(span).reduce(0, +) / Double(span)
      let base = rule.measure == .level ? window[n - 1] : mean
      var inputs = rule.lags.map { window[n - $0] - base }
      inputs.append(window.suffix(short).reduce(0, +) / Double(short) - base)
      inputs.append(rule.measure == .level ? mean - base : mean)
      if rule.season > 1 { inputs.append(Double(place)) }
      return (base, inputs)
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      var (window, place) = (window, place)
      return (0..<steps).map { _ in
        let (base, inputs) = inputs(window, place)
        let value = base + (rule.trees?(inputs) ?? 0)
        window.append(value)
        window.removeFirst()
        place = (place + 1) % rule.season
        return isVolatility ? Anchor(factor: range.clamp(value)) : Anchor(value)
      }
    }
  }
}
