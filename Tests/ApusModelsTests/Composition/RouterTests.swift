import ApusModels
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Router")
struct RouterTests {
  /// Clusters of vectors, centers five deviations apart; expert m is good at cluster m.
  private func clusters(_ experts: Int, size: Int, each: Int, seed: UInt64) -> RoutedExamples {
    var generator = PhiloxGenerator(RandomKey(seed: seed))
    var examples = RoutedExamples()
    for cluster in 0..<experts {
      for _ in 0..<each {
        var vector = (0..<size).map { _ in normal(&generator) }
        vector[cluster] += 5
        let losses = (0..<experts).map { ($0 == cluster ? 1.0 : 2) + 0.1 * normal(&generator) }
        examples.append(features: vector, losses: losses)
      }
    }
    return examples
  }

  @Test("finds separable clusters")
  func separable() {
    let router = Router(
      training: clusters(5, size: 16, each: 200, seed: 1),
      validation: clusters(5, size: 16, each: 60, seed: 2), isScaled: true)
    let test = clusters(5, size: 16, each: 100, seed: 3)
    let right = test.features.indices.count { index in
      let losses = router.decide(test.features[index]).losses
      return losses.indices.min { losses[$0] < losses[$1] } == index / 100
    }
    #expect(Double(right) / 500 >= 0.99)
    let report = router.report(test)
    #expect(report.routed < 1.12 && (report.single.min() ?? 0) > 1.7)
    #expect(abs(report.shares.reduce(0, +) - 1) < 1e-9 && report.examples == 500)
  }

  @Test("sends what it has never seen to the base expert")
  func outOfScope() {
    let router = Router(
      training: clusters(3, size: 16, each: 200, seed: 4),
      validation: clusters(3, size: 16, each: 100, seed: 5), isScaled: false)
    var generator = PhiloxGenerator(RandomKey(seed: 6))
    var away = 0
    for _ in 0..<200 {
      var vector = (0..<16).map { _ in normal(&generator) }
      vector[9] -= 8
      let decision = router.decide(vector)
      if decision.reason == .outOfScope, decision.expert == router.base { away += 1 }
    }
    #expect(away >= 190)
  }

  @Test("with one expert, with equal ones and with nothing to learn takes the base for all")
  func constant() {
    let one = clusters(1, size: 4, each: 30, seed: 7)
    let single = Router(training: one, validation: one, isScaled: true)
    #expect(single.decide([1, 2, 3, 4]).expert == 0)
    var equal = clusters(2, size: 4, each: 30, seed: 8)
    equal.losses = equal.losses.map { [$0[0], $0[0]] }
    let tied = Router(training: equal, validation: equal, isScaled: true)
    #expect(equal.features.allSatisfy { tied.decide($0).expert == 0 })
    let report = tied.report(equal)
    #expect(abs(report.routed - report.single[0]) < 1e-12 && report.standardError == 0)
    // Losses that have nothing to do with the request.
    var noise = clusters(2, size: 4, each: 200, seed: 9)
    var generator = PhiloxGenerator(RandomKey(seed: 10))
    noise.losses = noise.losses.map { _ in [1 + normal(&generator), 0.8 + normal(&generator)] }
    var other = clusters(2, size: 4, each: 200, seed: 11)
    other.losses = other.losses.map { _ in [1 + normal(&generator), 0.8 + normal(&generator)] }
    let router = Router(training: noise, validation: other, isScaled: true)
    let held = router.report(other)
    #expect(held.routed <= (held.single.min() ?? 0) + 2 * held.standardError)
  }

  @Test("does not depend on the order of requests")
  func order() {
    let training = clusters(3, size: 6, each: 40, seed: 12)
    let router = Router(training: training, validation: training, isScaled: true)
    let asked = clusters(3, size: 6, each: 10, seed: 13).features
    let forward = asked.map { router.decide($0) }
    let backward = Array(asked.reversed().map { router.decide($0) }.reversed())
    #expect(forward == backward)
  }

  @Test("survives the way to JSON and back, and refuses what does not fit")
  func coding() throws {
    let training = clusters(3, size: 6, each: 40, seed: 14)
    let router = Router(training: training, validation: training, isScaled: true)
    let data = try JSONEncoder().encode(router)
    let again = try JSONDecoder().decode(Router.self, from: data)
    #expect(again == router)
    try again.validate(experts: 3, size: 6)
    #expect(throws: RouterError.inconsistent(experts: 2, size: 6)) {
      try again.validate(experts: 2, size: 6)
    }
    #expect(throws: RouterError.self) { try again.validate(experts: 3, size: 5) }
  }

  private func normal(_ generator: inout PhiloxGenerator) -> Double {
    (0..<12).reduce(-6) { sum, _ in sum + Double.random(in: 0..<1, using: &generator) }
  }
}

@Suite("Features of series and texts")
struct RequestFeatureTests {
  @Test("tell a sine from a trend from noise")
  func regimes() {
    func named(_ values: [Double]) -> [String: Double] {
      Dictionary(
        uniqueKeysWithValues: zip(SeriesFeatures.names, SeriesFeatures.vector(values)))
    }
    let sine = named((0..<96).map { sin(2 * .pi * Double($0) / 12) })
    #expect(abs((sine["its lag"] ?? 0) * 96 - 12) < 1e-9 && (sine["spectral entropy"] ?? 1) < 0.01)
    let line = named((0..<96).map { 3 + 0.5 * Double($0) })
    #expect(abs((line["trend strength"] ?? 0) - 1) < 1e-9)
    #expect((sine["trend strength"] ?? 1) < 0.05)
    var generator = PhiloxGenerator(RandomKey(seed: 3))
    let noise = named((0..<96).map { _ in Double.random(in: -1...1, using: &generator) })
    #expect(
      (noise["spectral entropy"] ?? 0) > 0.8 && abs(noise["first autocorrelation"] ?? 1) < 0.3)
  }

  @Test("do not depend on unit or, but for the variation, on level", arguments: [7, 64, 257])
  func invariance(length: Int) {
    var generator = PhiloxGenerator(RandomKey(seed: 4))
    var level = 0.0
    let values = (0..<length).map { _ -> Double in
      level += Double.random(in: -1...1, using: &generator)
      return level
    }
    let variation = SeriesFeatures.names.firstIndex(of: "variation")
    let plain = SeriesFeatures.vector(values)
    let moved = SeriesFeatures.vector(values.map { 1000 * $0 + 77 })
    for index in plain.indices where index != variation {
      #expect(abs(plain[index] - moved[index]) < 1e-6, "\(SeriesFeatures.names[index])")
    }
  }

  @Test("are finite whatever the series holds", arguments: 0..<7)
  func hostile(kind: Int) {
    let series: [[Double]] = [
      [], [1], [5, 5, 5, 5, 5, 5, 5], [.nan, .nan, .nan], [.nan, 1, .nan, 2, .infinity, 3],
      [1e300, -1e300, 1e300, 0], [0, 0, 0, 0, .leastNonzeroMagnitude, 0, 0],
    ]
    let vector = SeriesFeatures.vector(series[kind])
    #expect(vector.count == SeriesFeatures.names.count)
    #expect(vector.allSatisfy { $0.isFinite }, "\(vector)")
  }

  @Test("weigh rare words more, and tell texts apart")
  func texts() throws {
    let (ships, bread) = (
      (0..<20).map { "the ship sails the stormy sea, captain \($0)" },
      (0..<20).map { "the baker bakes the warm bread with flour \($0)" }
    )
    let features = TextFeatures(fitting: ships + bread)
    func similarity(_ a: String, _ b: String) -> Double {
      let (x, y) = (features.vector(a), features.vector(b))
      func dot(_ p: [Double], _ q: [Double]) -> Double { zip(p, q).reduce(0) { $0 + $1.0 * $1.1 } }
      return dot(x, y) / (dot(x, x) * dot(y, y)).squareRoot()
    }
    let near = similarity("a ship on the stormy sea", ships[3])
    let far = similarity("a ship on the stormy sea", bread[3])
    #expect(near > far + 0.3)
    #expect(features.vector("").allSatisfy { $0 == 0 })
    #expect(features.vector("Ship") == features.vector("ship!"))
    let again = try JSONDecoder().decode(
      TextFeatures.self, from: JSONEncoder().encode(features))
    #expect(again == features)
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode(
        TextFeatures.self,
        from: Data(#"{"size": 4, "documents": 2, "frequencies": [1, 2, 3]}"#.utf8))
    }
  }
}
