import ApusModels
import ApusTensor
import ApusTestSupport
import Testing

@Suite("Direct map")
struct DirectMapTests {
  /// A walk that mean-reverts by two lags: `x = 0.5 x₋₁ + 0.3 x₋₂ + e`.
  static func autoregression(_ count: Int, seed: UInt64, noise: Double = 1) -> [Double] {
    let shocks = Tensor(normal: [count], key: RandomKey(seed: seed)).values
    var values = [1.0, -0.5]
    for shock in shocks.prefix(count - 2) {
      let last = values.count
      values.append(0.5 * values[last - 1] + 0.3 * values[last - 2] + noise * Double(shock))
    }
    return values
  }

  static func map(
    _ values: [[Double]], units: [Double]? = nil, window: Int, horizon: Int,
    isRelative: Bool = false
  ) -> DirectMap {
    DirectMap(
      fitting: values.enumerated().map {
        DirectMap.History(values: $1, unit: units?[$0] ?? 1)
      }, window: window, horizon: horizon, isRelative: isRelative)
  }

  @Test("finds the weights of an autoregression, one and two steps ahead")
  func autoregression() {
    let map = Self.map([Self.autoregression(20_000, seed: 1)], window: 3, horizon: 2)
    // Two steps ahead: 0.5 (0.5 x + 0.3 x₋₁) + 0.3 x = 0.55 x + 0.15 x₋₁.
    for (found, expected) in zip(map.weights, [[0, 0.3, 0.5], [0, 0.15, 0.55]]) {
      for (one, other) in zip(found, expected) {
        #expect(abs(one - other) < 0.03, "\(map.weights)")
      }
    }
  }

  @Test("goes on exactly with what a linear rule made, relative to the last value")
  func exact() {
    let season = (0..<200).map { Double($0) * 0.5 + [3, -1, 4][$0 % 3] }
    let map = Self.map([season], window: 6, horizon: 4, isRelative: true)
    let last = season[199]
    for step in 1...4 {
      let window = season.suffix(6).map { $0 - last }
      let found = zip(map.weights[step - 1], window).reduce(last) { $0 + $1.0 * $1.1 }
      let expected = Double(199 + step) * 0.5 + [3, -1, 4][(199 + step) % 3]
      #expect(abs(found - expected) < 1e-6, "step \(step)")
    }
  }

  @Test("is nothing where nothing can be known, and where too few windows are")
  func nothing() {
    let noise = Tensor(normal: [400], key: RandomKey(seed: 2)).values.map(Double.init)
    let white = Self.map([noise], window: 16, horizon: 1)
    #expect(white.weights[0].allSatisfy { abs($0) < 0.1 })
    let short = Self.map([Array(noise.prefix(30))], window: 16, horizon: 1)
    #expect(short.ridge == nil && short.weights == [Array(repeating: 0, count: 16)])
    let empty = Self.map([[], [.nan, .nan]], window: 2, horizon: 1)
    #expect(empty.ridge == nil && empty.weights == [[0, 0]])
  }

  @Test("is the same in any unit, and a series of large numbers counts no more")
  func units() {
    let (one, two) = (Self.autoregression(600, seed: 3), Self.autoregression(600, seed: 4))
    let plain = Self.map([one, two], window: 4, horizon: 2)
    let scaled = Self.map(
      [one.map { $0 * 1024 }, two], units: [1024, 1], window: 4, horizon: 2)
    #expect(plain.weights == scaled.weights && plain.ridge == scaled.ridge)
  }

  @Test("a missing value counts as the one before it")
  func missing() {
    var holed = Self.autoregression(600, seed: 5)
    (holed[0], holed[100], holed[101]) = (.nan, .nan, .nan)
    var filled = Array(holed.dropFirst())
    (filled[99], filled[100]) = (filled[98], filled[98])
    #expect(
      Self.map([holed], window: 4, horizon: 2).weights
        == Self.map([filled], window: 4, horizon: 2).weights)
  }
}
