/// Quantiles of what was seen so far: of the last `window` values or of all.
///
/// For a level it is the changes over h steps that are ranked and added to the last value. The
/// point forecast is the mean of the same values. The expanding form is the climatology that any
/// forecast of returns has to beat; the rolling one (250 days) is what risk desks call historical
/// simulation.
package struct HistoricalQuantiles: BaselineRule {
  /// How many values back; nil for all.
  let window: Int?
  private var horizon = 0
  /// Fewer values than this say nothing about a distribution.
  private static let fewest = 8

  package init(window: Int?) { self.window = window }

  package mutating func learn(_ history: [Double], task: ForecastTask) throws {
    let present = history.count(where: \.isFinite)
    guard present >= Self.fewest else {
      throw RuleError.tooShort(found: present, needed: Self.fewest)
    }
    horizon = task.horizon
  }

  package func predict(_ series: [Double], origins: [Int], task: ForecastTask) throws
    -> [BaselineForecast]
  {
    guard task.horizon <= horizon else {
      throw RuleError.horizonTooLong(asked: task.horizon, fitted: horizon)
    }
    let filled = filledForward(series)
    var forecasts = origins.map { _ in BaselineForecast(quantiles: [], mean: []) }
    let order = origins.indices.sorted { origins[$0] < origins[$1] }
    // A level needs one sample per step; otherwise every step shares the values themselves.
    let isLevel = task.measure == .level
    for step in 1...(isLevel ? task.horizon : 1) {
      let values = isLevel ? changes(of: filled, over: step) : series
      let sums = RunningSums(values)
      var (sample, start, end) = (SortedSample(), 0, 0)
      for index in order {
        let origin = origins[index]
        while end < origin {
          sample.insert(values[end])
          end += 1
        }
        while let window, start < origin - window {
          sample.remove(values[start])
          start += 1
        }
        guard sample.values.count >= min(Self.fewest, window ?? .max) else {
          throw RuleError.tooShort(found: sample.values.count, needed: Self.fewest)
        }
        let base = isLevel ? filled[origin - 1] : 0
        let row = task.levels.map { base + quantile(ofSorted: sample.values, at: $0) }
        let mean = base + (sums.mean(start..<origin) ?? 0)
        for _ in 0..<(isLevel ? 1 : task.horizon) {
          forecasts[index].quantiles.append(row)
          forecasts[index].mean.append(mean)
        }
      }
    }
    return forecasts
  }

  /// The change over `step` values that ends at each index; NaN where there is none.
  private func changes(of filled: [Double], over step: Int) -> [Double] {
    filled.indices.map { $0 < step ? .nan : filled[$0] - filled[$0 - step] }
  }
}
