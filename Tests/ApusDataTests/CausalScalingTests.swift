import ApusData
import Foundation
import Testing

@Suite("Causal scaling")
struct CausalScalingTests {
  static let kinds = ScaleKind.allCases

  @Test("never looks ahead: changing later rows changes no bit of earlier ones", arguments: kinds)
  func ignoresTheFuture(kind: ScaleKind) {
    for seed in 0..<100 {
      var random = SeededRandom(seed: UInt64(seed))
      var values = (0..<60).map { _ in random.normal() }
      if seed % 3 == 0 { values[random.below(60)] = .nan }
      let cut = 1 + random.below(59)
      var scaler = CausalScaler(kind, window: seed % 2 == 0 ? 5 : nil)
      let before = values.map { scaler.push($0) }
      for row in cut..<60 { values[row] *= 1 + 100 * random.uniform() }
      scaler = CausalScaler(kind, window: seed % 2 == 0 ? 5 : nil)
      let after = values.map { scaler.push($0) }
      #expect(Array(before[..<cut]) == Array(after[..<cut]), "seed \(seed), cut \(cut)")
    }
  }

  @Test("goes on from a copy of its state to the bit", arguments: kinds)
  func streamsLikeABatch(kind: ScaleKind) throws {
    for seed in 0..<100 {
      var random = SeededRandom(seed: UInt64(seed))
      let values = (0..<47).map { _ in random.uniform() < 0.1 ? .nan : 50 + random.normal() }
      var whole = CausalScaler(kind, window: seed % 2 == 0 ? 5 : nil)
      let batch = values.map { whole.push($0) }
      var stream = CausalScaler(kind, window: seed % 2 == 0 ? 5 : nil)
      for value in values[..<20] { _ = stream.push(value) }
      let copy = stream
      _ = stream.push(1e9)
      stream = copy
      #expect(values[20...].map { stream.push($0) } == Array(batch[20...]), "seed \(seed)")
      #expect(stream == whole)
    }
  }

  @Test("counts are over one more than their mean, and say how many they are")
  func counts() {
    var scaler = CausalScaler(.count, decays: [0.5])
    #expect(scaler.featureCount == 4)
    var row = scaler.push(0)
    #expect(row.location == 0 && row.scale == 1 && row.isScaled)
    #expect(row.features == [0, 0, 0, 0])
    row = scaler.push(6)
    // (0.5 · 0 + 6) / 1.5 = 4
    #expect(row.scale == 5 && row.location == 0)
    #expect(abs(row.features[0] - asinh(1.2)) < 1e-15 && abs(row.features[1] - asinh(0.4)) < 1e-15)
    #expect(abs(row.features[2] - log(5) / 4) < 1e-15)
    #expect(scaler.push(.nan).scale == 5)
  }

  @Test(
    "scales with the series, but for counts", arguments: kinds.filter { $0 != .count },
    [0.001, 0.25, 3, 4096])
  func isEquivariant(kind: ScaleKind, factor: Double) {
    var random = SeededRandom(seed: 7)
    let values = (0..<200).map { _ in 10 + random.normal() }
    var (plain, larger) = (CausalScaler(kind), CausalScaler(kind))
    for value in values {
      let row = plain.push(value)
      let scaled = larger.push(value * factor)
      #expect(abs(scaled.location - row.location * factor) <= 1e-12 * abs(row.location * factor))
      #expect(abs(scaled.scale - row.scale * factor) <= 1e-9 * row.scale * factor)
      for (a, b) in zip(row.features, scaled.features) { #expect(abs(a - b) < 1e-6) }
    }
  }

  @Test("with a window forecasts are in its deviation, or in half a step where that is more")
  func window() {
    var scaler = CausalScaler(.level, decays: [0.5], window: 3)
    #expect(scaler.featureCount == 4)
    var row = scaler.push(1)
    for value in [2.0, 4, 7] { row = scaler.push(value) }
    // The last three, 2, 4 and 7, have the variance 23 − (13/3)²; the steps 1, 2 and 3 the size 4.25/1.75.
    let deviation = (23 - 169.0 / 9).squareRoot()
    let step = 4.25 / 1.75 * (Double.pi / 2).squareRoot()
    #expect(row.location == 7 && abs(row.scale - deviation) < 1e-12)
    #expect(abs(row.features[2] - log(step / deviation)) < 1e-12 && row.features[3] == 0)
    // A missing value leaves the window as it is.
    #expect(scaler.push(.nan).scale == row.scale)
    var swing = CausalScaler(.level, decays: [0.5], window: 2)
    for value in [0.0, 10, 0, 10] { row = swing.push(value) }
    // Two values ten apart deviate by 5 from their mean, less than half of a step of 10.
    #expect(abs(row.scale - 5 * (Double.pi / 2).squareRoot()) < 1e-12)
  }

  @Test("equals an example worked by hand")
  func agreesWithHand() {
    var scaler = CausalScaler(.returns, decays: [0.5])
    #expect(scaler.push(2).scale == 2)
    // (0.5·4 + 16) / (0.5 + 1) = 12
    #expect(abs(scaler.push(-4).scale - 12.0.squareRoot()) < 1e-15)
    var level = CausalScaler(.level, decays: [0.5])
    _ = level.push(10)
    let row = level.push(13)
    #expect(row.location == 13)
    #expect(abs(row.scale - 3 * 1.2533141373155003) < 1e-12)
  }

  @Test("stays finite on hostile values", arguments: kinds)
  func staysFinite(kind: ScaleKind) {
    let hostile: [[Double]] = [
      Array(repeating: 0, count: 50), Array(repeating: 5, count: 50),
      Array(repeating: .nan, count: 5),
      [.infinity, -.infinity, 1, 1e300, -1e139, .leastNonzeroMagnitude, 0, 2],
      [1e-200, 0, 0, 1e-200], [.nan, 3, .nan, 3, -3],
      [1] + Array(repeating: 0, count: 30_000) + [1],
    ]
    for values in hostile {
      var scaler = CausalScaler(kind)
      for value in values {
        let row = scaler.push(value)
        #expect(row.scale > 0 && row.scale.isFinite && row.location.isFinite)
        #expect(row.features.count == scaler.featureCount)
        #expect(row.features.allSatisfy { $0.isFinite && abs($0) < 1_000 }, "\(values.prefix(8))")
      }
    }
  }

  @Test("carries its state over a missing value and says so")
  func carriesOverMissing() {
    var scaler = CausalScaler(.level)
    _ = scaler.push(1)
    let before = scaler.push(2)
    let state = scaler
    let missing = scaler.push(.nan)
    #expect(scaler == state)
    #expect(missing.location == before.location && missing.scale == before.scale)
    #expect(missing.features.last == 1 && before.features.last == 0)
  }
}
