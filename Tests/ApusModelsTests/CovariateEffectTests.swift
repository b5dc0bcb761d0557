import ApusModels
import ApusTestSupport
import Foundation
import Testing

@Suite("Effect of covariates")
struct CovariateEffectTests {
  /// Monthly series with a trend and a season, and a promotion in one row of four.
  static func history(
    _ id: String, rows: Int = 60, level: Double, seed: UInt64,
    effect: (_ value: Double, _ promotion: Double) -> Double
  ) -> CovariateEffect.History {
    var generator = SplitMix(state: seed)
    var (values, inputs) = ([Double](), [[Double]]())
    for row in 0..<rows {
      let promotion = generator.uniform() < 0.25 ? 1.0 : 0
      let season = 1 + 0.2 * sin(Double(row) * .pi / 6)
      let value = level * season * exp(0.01 * Double(row) + 0.05 * generator.normal())
      values.append(effect(value, promotion))
      inputs.append([promotion])
    }
    return CovariateEffect.History(
      id: id, values: values, inputs: inputs, places: (0..<rows).map { $0 % 12 })
  }

  @Test("finds what multiplies values by 1.4, on series of any level")
  func multiplied() throws {
    let histories = (0..<20).map { number in
      Self.history("\(number)", level: pow(10, Double(number % 5)), seed: UInt64(number)) {
        $0 * (1 + 0.4 * $1)
      }
    }
    let effect = try #require(CovariateEffect(fitting: histories, season: 12))
    #expect(effect.form == .multiplied)
    for id in ["3", "7", "never seen"] {
      let own = effect.of(id)
      #expect(abs(own([1]).factor / own([0]).factor - 1.4) < 0.06, "\(id): \(own([1]))")
    }
  }

  @Test("finds what is added where values may be below zero, in the units of each series")
  func added() throws {
    let histories = (0..<6).map { number in
      let unit = pow(10, Double(number % 3))
      return Self.history("\(number)", level: unit, seed: UInt64(number + 40)) {
        $0 - 2 * unit + unit * $1
      }
    }
    let effect = try #require(CovariateEffect(fitting: histories, season: 12))
    #expect(effect.form == .added)
    for number in 0..<6 {
      let own = effect.of("\(number)")
      let found = (own([1]).offset - own([0]).offset) / pow(10, Double(number % 3))
      #expect(abs(found - 1) < 0.15, "\(number): \(found)")
    }
    #expect(effect.of("never seen") == .none)
  }

  @Test("tells series apart where they differ")
  func differing() throws {
    let histories = (0..<8).map { number in
      Self.history("\(number)", rows: 120, level: 100, seed: UInt64(number + 80)) {
        $0 * (number < 4 ? 1 + 0.2 * $1 : 1 + $1)
      }
    }
    let effect = try #require(CovariateEffect(fitting: histories, season: 12))
    func lift(_ id: String) -> Double {
      effect.of(id)([1]).factor / effect.of(id)([0]).factor
    }
    #expect(abs(lift("0") - 1.2) < 0.1 && abs(lift("7") - 2) < 0.2, "\(lift("0")), \(lift("7"))")
  }

  @Test("of noise is nothing, or next to nothing")
  func noise() {
    for seed in UInt64(0)..<20 {
      let histories = (0..<10).map { number in
        Self.history("\(number)", level: 50, seed: seed * 100 + UInt64(number)) { value, _ in value
        }
      }
      let own = CovariateEffect(fitting: histories, season: 12)?.of("0") ?? .none
      let (with, without) = (own([1]), own([0]))
      #expect(abs(with.factor / without.factor - 1) < 0.03, "seed \(seed)")
      #expect(abs(with.offset - without.offset) < 1.5, "seed \(seed)")
    }
  }

  @Test("needs rows, and bears missing values")
  func gaps() throws {
    var history = Self.history("a", rows: 96, level: 10, seed: 5) { $0 * (1 + 0.5 * $1) }
    for row in stride(from: 3, to: 96, by: 9) { history.values[row] = .nan }
    let own = try #require(CovariateEffect(fitting: [history], season: 12)).of(nil)
    #expect(abs(own([1]).factor / own([0]).factor - 1.5) < 0.1)
    let short = Self.history("a", rows: 9, level: 10, seed: 5) { $0 + $1 }
    #expect(CovariateEffect(fitting: [short], season: 12) == nil)
    #expect(CovariateEffect(fitting: [], season: 1) == nil)
  }
}
