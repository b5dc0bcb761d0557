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

  package func memory(_ task: ForecastTask) throws -> Memory {
    guard task.horizon <= horizon else {
      throw RuleError.horizonTooLong(asked: task.horizon, fitted: horizon)
    }
    return Memory(window: window, task: task)
  }

  package struct Memory: BaselineMemory {
    private let levels: [Double]
    private let horizon: Int
    /// For a level the changes over 1 to P steps; otherwise every step shares the values themselves.
    private var samples: [Sample]
    /// For a level the last P + 1 values, missing ones filled, newest last.
    private var recent: [Double] = []
    private let isLevel: Bool

    fileprivate init(window: Int?, task: ForecastTask) {
      (levels, horizon, isLevel) = (task.levels, task.horizon, task.measure == .level)
      samples = (0..<(isLevel ? horizon : 1)).map { _ in Sample(window: window) }
    }

    package mutating func push(_ value: Double) {
      guard isLevel else { return samples[0].push(value) }
      recent.append(value.isFinite ? value : recent.last ?? .nan)
      if recent.count > horizon + 1 { recent.removeFirst() }
      let last = recent.count - 1
      for index in samples.indices {
        samples[index].push(last > index ? recent[last] - recent[last - index - 1] : .nan)
      }
    }

    package func forecast() throws -> BaselineForecast {
      var forecast = BaselineForecast(quantiles: [], mean: [])
      let base = isLevel ? recent.last ?? .nan : 0
      for sample in samples {
        let row = try sample.quantiles(levels).map { base + $0 }
        let mean = base + (sample.mean ?? 0)
        for _ in 0..<(isLevel ? 1 : horizon) {
          forecast.quantiles.append(row)
          forecast.mean.append(mean)
        }
      }
      return forecast
    }
  }

  /// The last `window` values or all, in order.
  private struct Sample {
    private let window: Int?
    private var sorted = SortedSample()
    private var sums: TrailingSums
    /// The last `window` values in turn.
    private var ring: [Double] = []
    private var place = 0

    init(window: Int?) {
      self.window = window
      sums = TrailingSums(last: window)
    }

    mutating func push(_ value: Double) {
      sums.push(value)
      sorted.insert(value)
      guard let window else { return }
      if ring.count < window {
        ring.append(value)
      } else {
        sorted.remove(ring[place])
        ring[place] = value
        place = (place + 1) % window
      }
    }

    var mean: Double? { sums.mean(last: window) }

    func quantiles(_ levels: [Double]) throws -> [Double] {
      guard sorted.values.count >= min(HistoricalQuantiles.fewest, window ?? .max) else {
        throw RuleError.tooShort(found: sorted.values.count, needed: HistoricalQuantiles.fewest)
      }
      return levels.map { quantile(ofSorted: sorted.values, at: $0) }
    }
  }
}
