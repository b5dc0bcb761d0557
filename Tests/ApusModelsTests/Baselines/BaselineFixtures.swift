import ApusModels
import ApusTestSupport
import Foundation

/// Reads a fixture that lies beside the script that made it.
func fixture<T: Decodable>(_ name: String, as type: T.Type) throws -> T {
  let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  let file = tests.appending(path: "Fixtures/\(name).json")
  return try JSONDecoder().decode(type, from: Data(contentsOf: file))
}

/// The same with keys in snake case.
func snakeFixture<T: Decodable>(_ name: String, as type: T.Type) throws -> T {
  let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  let decoder = JSONDecoder()
  decoder.keyDecodingStrategy = .convertFromSnakeCase
  return try decoder.decode(
    type, from: Data(contentsOf: tests.appending(path: "Fixtures/\(name).json")))
}

/// Returns whose size comes in clusters, as in markets.
func clusteredReturns(_ count: Int, seed: UInt64) -> [Double] {
  var generator = SplitMix(state: seed)
  var variance = 1.0
  return (0..<count).map { _ in
    let value = variance.squareRoot() * generator.normal()
    variance = 0.05 + 0.1 * value * value + 0.85 * variance
    return value
  }
}

/// A series of each kind: returns, a positive volatility, a wandering level.
func series(_ count: Int, seed: UInt64) -> [(kind: String, values: [Double])] {
  let returns = clusteredReturns(count, seed: seed)
  var level = 100.0
  return [
    ("returns", returns),
    ("volatility", returns.map { $0 * $0 + 0.01 }),
    (
      "level",
      returns.map {
        level += $0
        return level
      }
    ),
  ]
}

extension BaselineRule {
  /// A forecast from each origin, each by a memory of its own.
  func predict(_ series: [Double], origins: [Int], task: ForecastTask) throws -> [BaselineForecast]
  {
    try origins.map { origin in
      var memory = try memory(task)
      for value in series.prefix(origin) { memory.push(value) }
      return try memory.forecast()
    }
  }
}

extension AnchorRule {
  /// The anchor for an origin and a step from 1.
  func anchors(of series: [Double], task: ForecastTask) -> (Int, Int) -> Anchor {
    { origin, step in
      var anchors = anchors(task)
      for value in series.prefix(origin) { anchors.push(value) }
      return anchors.anchors(step)[step - 1]
    }
  }
}
