/// The mean of several baselines, level by level, each of which counts the same.
///
/// Equal weights are hard to beat by fitted ones: Clemen, 1989, *Combining forecasts: A review and annotated
/// bibliography*; Smith and Wallis, 2009, *A Simple Explanation of the Forecast Combination Puzzle*. What is
/// averaged are quantiles (`averageQuantiles(_:weights:)`) and point forecasts.
struct Combination: BaselineRule {
  private(set) var members: [Baseline]

  mutating func learn(_ history: [Double], task: ForecastTask) throws {
    for place in members.indices { try members[place].fit(history, task: task) }
  }

  func memory(_ task: ForecastTask) throws -> Memory {
    Memory(streams: try members.map { try $0.stream(task) })
  }

  struct Memory: BaselineMemory {
    var streams: [BaselineStream]

    mutating func push(_ value: Double) {
      for place in streams.indices { streams[place].push(value) }
    }

    func forecast() throws -> BaselineForecast {
      let forecasts = try streams.map { try $0.forecast() }
      let weight = 1 / Double(forecasts.count)
      let means = forecasts.map(\.mean)
      return BaselineForecast(
        quantiles: averageQuantiles(
          forecasts.map(\.quantiles), weights: forecasts.map { _ in weight }),
        mean: means[0].indices.map { step in means.reduce(0) { $0 + weight * $1[step] } })
    }
  }
}

extension Baseline {
  /// The mean of several baselines, such as "ols+nlinear"; fitted where all of them are.
  ///
  /// - Parameter members: Baselines of one task, at least one.
  /// - Returns: The baseline whose name is theirs with plus signs between.
  public static func combination(_ members: [Baseline]) -> Baseline {
    Baseline(
      members.map(\.name).joined(separator: "+"), Combination(members: members),
      isFitted: members.allSatisfy(\.isFitted))
  }

  /// The names of the members of a combination; of any other baseline its own.
  package static func members(of name: String) -> [String] {
    name.split(separator: "+", omittingEmptySubsequences: false).map(String.init)
  }

  /// The most members that a name may have.
  static let mostMembers = 8
}
