import ApusModels

/// How a row of a live series compares with what was forecast for it.
struct Surprise: Sendable, Equatable {
  /// The place of the row's value in the distribution forecast by the row before, as a number of standard
  /// normal deviations, within ±50; nil where there was no forecast or is no value.
  var anomaly: Double?
  /// The mean pinball loss of about the last 50 rows over that of all rows; nil before 100 rows.
  var drift: Double?
}

/// Watches the errors of a live series one row ahead.
struct ErrorWatch: Sendable, Equatable {
  private let levels: [Double]
  /// The standard normal's quantiles at the levels.
  private let scores: [Double]
  private var memory = Memory()

  /// What is remembered between rows.
  struct Memory: Sendable, Equatable, Codable {
    /// The weighted mean of the last losses, and the weight of it.
    var recent = 0.0
    var weight = 0.0
    var total = 0.0
    var count = 0
    /// The quantiles that the next row is compared with.
    var expected: [Double]?
  }

  /// About 50 rows.
  private static let decay = 0.98
  private static let fewest = 100
  private static let largest = 50.0

  /// Creates a watch for forecasts with such quantile levels.
  init(levels: [Double]) {
    self.levels = levels
    scores = levels.map(normalQuantile)
  }

  /// Sets what is forecast for the next row: its quantiles; nil for nothing.
  mutating func expect(_ quantiles: [Double]?) { memory.expected = quantiles }

  /// Compares the next row with its forecast.
  ///
  /// - Parameter value: The measured value; NaN where missing.
  /// - Returns: Nothing where there was no forecast, or is no value.
  mutating func take(_ value: Double) -> Surprise {
    guard let expected = memory.expected, value.isFinite else { return Surprise() }
    memory.expected = nil
    let losses = zip(levels, expected).map { level, quantile in
      value >= quantile ? level * (value - quantile) : (1 - level) * (quantile - value)
    }
    let loss = losses.reduce(0, +) / Double(max(1, losses.count))
    memory.recent = Self.decay * memory.recent + (1 - Self.decay) * loss
    memory.weight = Self.decay * memory.weight + (1 - Self.decay)
    memory.total += loss
    memory.count += 1
    return Surprise(anomaly: deviation(value, expected), drift: drift)
  }

  private var drift: Double? {
    let mean = memory.total / Double(max(1, memory.count))
    guard memory.count >= Self.fewest, mean > 0, mean.isFinite else { return nil }
    return memory.recent / memory.weight / mean
  }

  /// Between two quantiles, and beyond the outermost two, the distribution is a normal one.
  private func deviation(_ value: Double, _ quantiles: [Double]) -> Double? {
    let above = quantiles.firstIndex { $0 >= value } ?? quantiles.count
    var (low, high) = (max(0, min(above - 1, quantiles.count - 2)), 0)
    high = low + 1
    guard high < quantiles.count else { return nil }
    // Quantiles that coincide say nothing about distances: the next wider pair does.
    while quantiles[high] <= quantiles[low], low > 0 || high < quantiles.count - 1 {
      (low, high) = (max(0, low - 1), min(quantiles.count - 1, high + 1))
    }
    let width = quantiles[high] - quantiles[low]
    let middle = (scores[low] + scores[high]) / 2
    guard width > 0 else {
      return value == quantiles[low] ? middle : (value > quantiles[low] ? 1 : -1) * Self.largest
    }
    let share = (value - quantiles[low]) / width
    let score = scores[low] + share * (scores[high] - scores[low])
    return min(max(score, -Self.largest), Self.largest)
  }
}

extension ErrorWatch {
  /// A watch that goes on from what another one remembered; what cannot be is left out.
  func resumed(_ memory: Memory) -> ErrorWatch {
    let numbers = [memory.recent, memory.weight, memory.total]
    let expected = memory.expected ?? levels
    guard numbers.allSatisfy({ $0.isFinite && $0 >= 0 }), memory.count >= 0,
      expected.count == levels.count, expected.allSatisfy(\.isFinite)
    else { return self }
    var resumed = self
    resumed.memory = memory
    return resumed
  }

  /// What is remembered.
  var remembered: Memory { memory }
}
