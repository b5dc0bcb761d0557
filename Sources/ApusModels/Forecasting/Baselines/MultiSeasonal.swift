/// Several seasons taken off by local regressions, and exponential smoothing of the rest: MSTL.
///
/// The seasons are estimated in turn, each from the series without the others, twice over (``STL``);
/// what is left is smoothed by the form of ``ExponentialSmoothing`` without season that AICc
/// chooses. A forecast adds the last cycle of each season. Where no seasons are named they are m, and
/// 7 m too where m is a number of steps in a day and the series agrees with itself a week ago more
/// than six days ago. A season that does not fit in twice is left out. Of more than 4000 values (or
/// eight of the longest season) only the last are read. Missing values move nothing.
/// Bandara, Hyndman and Bergmeir, 2021, *MSTL: A Seasonal-Trend Decomposition Algorithm for Time
/// Series with Multiple Seasonal Patterns*, arXiv:2107.13462.
package struct MultiSeasonal: AnchorRule {
  package var residuals = ResidualQuantiles()
  /// The lengths that were asked for; empty where the task and the series decide.
  let lengths: [Int]
  /// What each place in each season adds, one list for each season.
  package private(set) var seasons: [[Double]] = []
  private var fit = SmoothingFit(
    form: SmoothingForm(hasRelativeError: false, trend: .none, season: .none),
    parameters: SmoothingParameters(alpha: 0.5),
    start: SmoothingState(level: 0, trend: 0, season: [0]))
  /// Longer histories are read from this many values before their end on.
  private static let mostValues = 4000
  private static let fewest = 10
  /// Steps in a day that are common: hours down to minutes.
  private static let daily: Set<Int> = [24, 48, 96, 144, 288, 1440]

  package init(lengths: [Int] = []) { self.lengths = lengths }

  package var warmUp: Int { max(2, seasons.map(\.count).max() ?? 1) }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    let present = history.filter(\.isFinite)
    guard present.count >= Self.fewest else {
      throw RuleError.tooShort(found: present.count, needed: Self.fewest)
    }
    let size = present.reduce(0) { $0 + abs($1) / Double(present.count) }
    let unit = size > 0 ? size : 1
    let lengths = self.lengths.isEmpty ? Self.lengths(of: history, task.seasonLength) : self.lengths
    let longest = lengths.max() ?? 1
    let excess = max(0, history.count - max(Self.mostValues, 8 * longest))
    let first = present[0]
    let recent = filledForward(history).dropFirst(excess)
      .map { ($0.isFinite ? $0 : first) / unit }
    let used = Set(lengths).filter { $0 > 1 && recent.count >= 2 * $0 + 1 }.sorted()
    let parts = Self.seasons(of: recent, lengths: used)
    let rest = recent.indices.map { index in
      history[index + excess].isFinite ? recent[index] - parts.reduce(0) { $0 + $1[index] } : .nan
    }
    guard let best = SmoothingFit.best(of: rest, seasonLength: 1, horizon: task.horizon) else {
      throw RuleError.tooShort(found: present.count, needed: Self.fewest)
    }
    fit = best
    seasons = zip(used, parts).map { length, part in
      var figure = [Double](repeating: 0, count: length)
      for index in part.indices.suffix(length) {
        figure[(index + excess) % length] = part[index] * unit
      }
      return figure
    }
    if excess > 0 {
      fit.start = SmoothingState(
        history.prefix(Self.mostValues).enumerated().map {
          ($0.element - adjustment($0.offset)) / unit
        }, form: best.form, seasonLength: 1)
    }
    fit.start.level *= unit
    fit.start.trend *= unit
  }

  /// What all seasons add to the value `index`.
  private func adjustment(_ index: Int) -> Double {
    seasons.reduce(0) { $0 + $1[index % $1.count] }
  }

  /// The seasons of a task, and a week beside a day where the series has one.
  private static func lengths(of history: [Double], _ m: Int) -> [Int] {
    let week = 7 * m
    guard daily.contains(m), history.count >= 3 * week else { return [m] }
    let filled = filledForward(history.suffix(max(mostValues, 8 * week))).filter(\.isFinite)
    let figure = seasonalFigure(of: filled, length: m)
    let rest = filled.enumerated().map { $0.element - figure[$0.offset % m] }
    let mean = rest.reduce(0, +) / Double(max(1, rest.count))
    func agreement(_ lag: Int) -> Double {
      zip(rest, rest.dropFirst(lag)).reduce(0) { $0 + ($1.0 - mean) * ($1.1 - mean) }
    }
    let whole = agreement(0)
    let margin = 2 * whole / Double(max(1, rest.count)).squareRoot()
    return whole > 0 && agreement(week) > agreement(6 * m) + margin ? [m, week] : [m]
  }

  /// The season of each length, each as long as the series.
  private static func seasons(of values: [Double], lengths: [Int]) -> [[Double]] {
    var parts = lengths.map { _ in [Double](repeating: 0, count: values.count) }
    var rest = values
    for _ in 0..<(lengths.count > 1 ? 2 : 1) {
      for (index, length) in lengths.enumerated() {
        rest = zip(rest, parts[index]).map(+)
        parts[index] = STL(rest, seasonLength: length, window: 11 + 4 * index).season
        rest = zip(rest, parts[index]).map(-)
      }
    }
    return parts
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(self, isVolatility: task.measure == .volatility)
  }

  package struct Anchors: AnchorMemory {
    private let rule: MultiSeasonal
    private let isVolatility: Bool
    private var state: SmoothingState
    private var count = 0
    private var range = RunningRange()

    fileprivate init(_ rule: MultiSeasonal, isVolatility: Bool) {
      (self.rule, self.isVolatility) = (rule, isVolatility)
      state = rule.fit.start
    }

    package mutating func push(_ value: Double) {
      rule.fit.form.advance(&state, by: value - rule.adjustment(count), rule.fit.parameters)
      range.push(value)
      count += 1
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      var (sum, power) = (0.0, 1.0)
      return (0..<steps).map { step in
        power *= rule.fit.parameters.phi
        sum += power
        let value = rule.fit.form.expected(state, damping: sum) + rule.adjustment(count + step)
        return isVolatility ? Anchor(factor: range.clamp(value)) : Anchor(value)
      }
    }
  }
}
