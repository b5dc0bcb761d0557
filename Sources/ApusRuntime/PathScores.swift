import ApusData
import ApusModels
import ApusTensor

/// The distribution of one step, as its quantiles give it: a line in the normal score between each two of them, and on
/// beyond the outermost ones.
struct StepMargin {
  private let scores: [Double]
  private let values: [Double]

  /// - Parameters:
  ///   - quantiles: `[Q]`, not falling.
  ///   - levels: `[Q]`, ascending.
  init(_ quantiles: [Double], levels: [Double]) {
    (values, scores) = (quantiles, levels.map(Normal.quantile))
  }

  /// The value whose probability has a normal score.
  func value(at score: Double) -> Double {
    guard scores.count > 1 else { return values.first ?? .nan }
    let above = scores.firstIndex { $0 >= score } ?? scores.count - 1
    let high = min(max(above, 1), scores.count - 1)
    let slope = (values[high] - values[high - 1]) / (scores[high] - scores[high - 1])
    return values[high - 1] + slope * (score - scores[high - 1])
  }

  /// Where a value lies, as ``value(at:)`` takes it back there; where quantiles are alike, at the upper of them.
  func score(of value: Double) -> Double {
    guard scores.count > 1 else { return 0 }
    let above = values.firstIndex { $0 >= value } ?? values.count - 1
    let high = min(max(above, 1), values.count - 1)
    let rise = values[high] - values[high - 1]
    guard rise > 0 else { return scores[high] }
    let share = (value - values[high - 1]) / rise
    return scores[high - 1] + share * (scores[high] - scores[high - 1])
  }
}

/// Where what came lay in past forecasts of a model.
struct PastScores {
  /// Of each past forecast with all that came after it `[P]` scores, of all series together.
  private(set) var rows: [[Double]] = []

  /// - Parameters:
  ///   - model: The model; a baseline is fitted to all rows, as for the forecast.
  ///   - table: The rows as read, not yet measured.
  /// - Throws: `MeasureError`, `RecipeError`; series that cannot be forecast give no scores.
  init(_ model: Model, table: SeriesTable) throws {
    let measured = try table.measured(as: model.recipe.measure).series
    let most = max(4, SamplePaths.mostOrigins / max(1, measured.count))
    for series in measured {
      let last = series.count - model.horizon
      guard last > 1 else { continue }
      let origins = max(0, last - most)..<last
      guard let forecasts = try model.past(series, origins) else { continue }
      for (row, forecast) in zip(origins, forecasts) {
        let outcomes = series.values[row + 1...row + model.horizon]
        guard let forecast, outcomes.allSatisfy(\.isFinite) else { continue }
        rows.append(
          zip(forecast, outcomes).map { StepMargin($0, levels: model.levels).score(of: $1) })
      }
    }
  }
}

extension Model {
  /// Forecasts from past rows of a measured series.
  ///
  /// - Parameters:
  ///   - series: The series, with all rows after the origins.
  ///   - origins: The last row that each forecast reads.
  /// - Returns: Of each origin `[P][Q]`, nil where there is none; nil where the series cannot be forecast.
  /// - Throws: What is wrong with the columns.
  fileprivate func past(_ series: TimeSeries, _ origins: Range<Int>) throws -> [[[Double]]?]? {
    var all: [[[[Double]]]] = []
    var isThere = [Bool](repeating: true, count: origins.count)
    if !forecasters.isEmpty {
      let frame = try recipe.frame(series)
      isThere = origins.map { frame.isScaled[$0] }
      all += forecasters.map { SeriesForecast($0, frame: frame, rows: origins).quantiles }
    }
    let (rest, shifts) = (recipe.rest(of: series), recipe.shifts(series))
    for (rule, task) in baselines {
      var baseline = rule
      do {
        try baseline.fit(rest, task: task)
        let found = try baseline.forecasts(rest, origins: origins.map { $0 + 1 }, task: task)
        all.append(
          zip(origins, found).map { row, forecast in
            forecast.shifted(by: Array(shifts[row + 1...row + horizon])).quantiles
          })
      } catch is BaselineError {
        return nil
      }
    }
    return origins.indices.map { row in
      let place = row - origins.lowerBound
      return isThere[place] ? combined(all.map { $0[place] }) : nil
    }
  }
}

/// A Gaussian copula with the rank correlations of past scores.
struct JointScores {
  private let horizon: Int
  /// Normal scores of ranks, `[P][M]`, each step of length 1; empty where all scores of a step are alike.
  private let directions: [[Double]]

  /// - Parameters:
  ///   - rows: `[M][P]`.
  ///   - horizon: P.
  init(_ rows: [[Double]], horizon: Int) {
    self.horizon = horizon
    directions = (0..<horizon).map { step in
      let scores = Self.normalScores(rows.map { $0[step] })
      let length = scores.reduce(0) { $0 + $1 * $1 }.squareRoot()
      return length > 0 ? scores.map { $0 / length } : []
    }
  }

  /// Normal scores of mean ranks.
  private static func normalScores(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
    var (scores, start) = ([Double](repeating: 0, count: values.count), 0)
    while start < order.count {
      var end = start + 1
      while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
      let rank = 0.5 * Double(start + end)
      for place in start..<end {
        scores[order[place]] = Normal.quantile(rank / Double(values.count))
      }
      start = end
    }
    return scores
  }

  /// Draws standard normal scores with the correlations of the steps: a weighted sum of past scores with standard
  /// normal weights has them exactly, whatever their number.
  ///
  /// - Parameters:
  ///   - count: Draws, N.
  ///   - key: Decides them.
  /// - Returns: `[N][P]`.
  func draw(_ count: Int, key: RandomKey) -> [[Double]] {
    let past = directions.map(\.count).max() ?? 0
    // A step of which nothing is known has a weight of its own.
    let width = past + horizon
    return (0..<count).map { number in
      let weights = Tensor(normal: [width], key: key.derived(UInt64(number))).values
      return directions.enumerated().map { step, direction in
        guard !direction.isEmpty else { return Double(weights[past + step]) }
        var sum = 0.0
        for (place, score) in direction.enumerated() { sum += score * Double(weights[place]) }
        return sum
      }
    }
  }
}
