import ApusModels
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// Three families of series, and three simple experts each of which suits one: does the router find out?
@Suite("Router on families of series")
struct FamiliesTests {
  private static let (context, horizon) = (96, 24)
  private static let levels = (1...9).map { Double($0) / 10 }
  /// Quantiles of the standard normal at the nine deciles.
  private static let deciles = [
    -1.2815515655, -0.8416212336, -0.5244005127, -0.2533471031, 0, 0.2533471031, 0.5244005127,
    0.8416212336, 1.2815515655,
  ]

  private func normal(_ generator: inout PhiloxGenerator) -> Double {
    let u = Double.random(in: 1e-12..<1, using: &generator)
    let v = Double.random(in: 0..<1, using: &generator)
    return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
  }

  /// A season, a random walk with drift, or noise.
  private func series(_ family: Int, _ generator: inout PhiloxGenerator) -> [Double] {
    let length = Self.context + Self.horizon
    switch family {
    case 0:
      let a = Double.random(in: 0.5...2, using: &generator)
      let p = Double(Int.random(in: 6...24, using: &generator))
      let phase = Double.random(in: 0..<2 * .pi, using: &generator)
      return (0..<length).map {
        a * sin(2 * .pi * Double($0) / p + phase) + 0.2 * normal(&generator)
      }
    case 1:
      let drift = Bool.random(using: &generator) ? 0.15 : -0.15
      var level = 0.0
      return (0..<length).map { _ in
        level += drift + 0.3 * normal(&generator)
        return level
      }
    default: return (0..<length).map { _ in normal(&generator) }
    }
  }

  private func deviation(_ values: [Double]) -> Double {
    let mean = values.reduce(0, +) / Double(values.count)
    return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)).squareRoot()
  }

  /// Locations and deviations of the three experts for each step ahead.
  private func forecasts(_ y: [Double]) -> [[(Double, Double)]] {
    let n = y.count
    let mean = y.reduce(0, +) / Double(n)
    func covariance(_ lag: Int) -> Double {
      (lag..<n).reduce(0) { $0 + (y[$1] - mean) * (y[$1 - lag] - mean) }
    }
    let period = (5...47).max { covariance($0) < covariance($1) } ?? 5
    let seasonal = deviation((period..<n).map { y[$0] - y[$0 - period] })
    let steps = (1..<n).map { y[$0] - y[$0 - 1] }
    let drift = (y[n - 1] - y[0]) / Double(n - 1)
    return [
      (1...Self.horizon).map { (y[n - period + ($0 - 1) % period], seasonal) },
      (1...Self.horizon).map {
        (y[n - 1] + drift * Double($0), deviation(steps) * Double($0).squareRoot())
      },
      (1...Self.horizon).map { _ in (mean, deviation(y)) },
    ]
  }

  private func examples(_ each: Int, seed: UInt64) -> RoutedExamples {
    var generator = PhiloxGenerator(RandomKey(seed: seed))
    var examples = RoutedExamples()
    for family in 0..<3 {
      for _ in 0..<each {
        let all = series(family, &generator)
        let past = Array(all[..<Self.context])
        let scale =
          zip(past.dropFirst(), past).reduce(0) { $0 + abs($1.0 - $1.1) }
          / Double(Self.context - 1)
        let losses = forecasts(past).map { expert -> Double in
          var sum = 0.0
          for (step, (location, spread)) in expert.enumerated() {
            for (level, quantile) in zip(Self.levels, Self.deciles) {
              let error = all[Self.context + step] - (location + spread * quantile)
              sum += max(level * error, (level - 1) * error)
            }
          }
          return 2 * sum / Double(expert.count * Self.levels.count) / scale
        }
        examples.append(features: SeriesFeatures.vector(past), losses: losses)
      }
    }
    return examples
  }

  @Test("it comes within 2 % of the best expert of each family, far below the best single one")
  func reference() throws {
    let router = Router(
      training: examples(150, seed: 1), validation: examples(50, seed: 2), isScaled: true)
    let test = examples(200, seed: 3)
    let report = router.report(test)
    let byFamily = (0..<3).map { family -> Double in
      let own = test.losses[family * 200..<(family + 1) * 200]
      return (0..<3).map { m in own.reduce(0) { $0 + $1[m] } / 200 }.min() ?? 0
    }
    let oracle = byFamily.reduce(0, +) / 3
    let best = try #require(report.single.min())
    // Without the base expert for what is unsure: the predictor alone.
    let routed = zip(test.features, test.losses).reduce(0.0) { sum, one in
      let foretold = router.decide(one.0).losses
      return sum + one.1[foretold.indices.min { foretold[$0] < foretold[$1] } ?? 0] / 600
    }
    #expect(routed <= 1.02 * oracle, "\(routed) against \(oracle)")
    #expect(routed <= 0.65 * best, "\(routed) against \(best)")
    #expect(report.routed <= 0.75 * best, "\(report.routed) against \(best)")
    #expect(report.hindsight < oracle)
  }
}
