import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Heads")
struct HeadTests {
  static let heads: [ForecastHead] = [.quantiles, .studentT, .mixture(components: 3), .counts]

  static func config(
    _ head: ForecastHead, levels: [Double] = [0.1, 0.5, 0.9], patch: Int = 1, known: Int = 0
  ) throws -> ForecasterConfig {
    try ForecasterConfig(
      .named("lstm"), size: BackboneSize(width: 16, layers: 1, context: 24), inputs: 1,
      horizon: 2, levels: levels, patch: patch, window: 2, known: known, head: head)
  }

  /// Rows of a forecaster; the scale of counts, which ends them, is 1 or more.
  static func rows(_ model: Forecaster, _ shape: [Int], seed: UInt64) -> Tensor {
    var rows = Tensor.random(Shape(shape + [model.rowWidth]), seed: seed)
    guard model.config.head == .counts else { return rows }
    let width = model.rowWidth
    rows.withMutableFloats { values in
      for place in stride(from: width - 1, to: values.count, by: width) {
        values[place] = 1 + abs(values[place])
      }
    }
    return rows
  }

  struct Fixture: Decodable {
    struct Case: Decodable {
      let family: String
      let outputs: [Float]
      let target, unit: Float
      let loss: Double
      let gradient, quantiles: [Double]
    }
    let levels: [Double]
    let cases: [Case]
  }

  @Test("lose what torch says, have its gradients, and the quantiles of scipy", .tags(.golden))
  func golden() throws {
    let golden = try fixture("heads", as: Fixture.self)
    for one in golden.cases {
      let count = one.outputs.count
      let likelihood: Likelihood =
        switch one.family {
        case "student-t": .studentT
        case "mixture": .mixture(components: count / 3)
        default: .counts
        }
      #expect(likelihood.outputs == count)
      let outputs = Tensor(one.outputs, [1, count]).tracked()
      let unit = Tensor([one.unit], [1])
      let loss = outputs.negativeLogLikelihood(
        likelihood, targets: Tensor([one.target], [1]), units: unit)
      loss.backward()
      let gradient = try #require(outputs.gradient).values
      // Values are floats of 24 bits.
      #expect(abs(Double(loss.scalar) - one.loss) <= 2e-7 * max(1, abs(one.loss)), "\(one)")
      for (found, expected) in zip(gradient, one.gradient) {
        #expect(abs(Double(found) - expected) <= 2e-6 * abs(expected) + 1e-9, "\(one) \(gradient)")
      }
      let head = try #require(
        one.family == "mixture"
          ? .mixture(components: count / 3) : ForecastHead(named: one.family))
      let quantiles = HeadRule(head, levels: golden.levels).quantiles(outputs, units: unit)
      for (found, expected) in zip(quantiles, one.quantiles) {
        let tolerance = head == .counts ? 0 : 2e-7 * max(1, abs(expected))
        let value = head == .counts ? Double(found * one.unit).rounded() : Double(found)
        #expect(abs(value - expected) <= tolerance, "\(one) \(quantiles)")
      }
    }
  }

  @Test("quantiles ascend, whatever the weights are", arguments: heads)
  func ascend(head: ForecastHead) throws {
    let levels = [0.001, 0.2, 0.4, 0.5, 0.51, 0.9, 0.999]
    let model = try Forecaster(Self.config(head, levels: levels), key: RandomKey(seed: 1))
    for parameter in model.parameters {
      parameter.set(.random(parameter.shape, seed: 2, scale: 1.5))
    }
    let q = model.quantiles(Self.rows(model, [2, 20], seed: 3))
    #expect(q.shape == [2, 20, 14])
    for start in stride(from: 0, to: q.count, by: 7) {
      let own = q.values[start..<start + 7]
      #expect(zip(own, own.dropFirst()).allSatisfy(<=), "\(own)")
      #expect(own.allSatisfy { $0.isFinite })
    }
  }

  @Test("the two of normalized values start as about the standard normal")
  func start() throws {
    for head in [ForecastHead.studentT, .mixture(components: 1), .mixture(components: 3)] {
      let model = try Forecaster(Self.config(head), key: RandomKey(seed: 1))
      let q = model.quantiles(Self.rows(model, [1, 3], seed: 3)).values
      let expected = (0..<6).flatMap { _ in [-1.2816 as Float, 0, 1.2816] }
      expectClose(q, expected, absolute: 0.12)
    }
  }

  @Test("row by row equals the whole window", arguments: heads, [(1, 0), (4, 0), (1, 2), (4, 2)])
  func streaming(head: ForecastHead, form: (patch: Int, known: Int)) throws {
    let model = try ForecasterTests.model(
      Self.config(head, patch: form.patch, known: form.known), seed: 4)
    let rows = Self.rows(model, [2, 20], seed: 5)
    let whole = model.quantiles(rows)
    var state = model.initialState(batch: 2)
    model.advance(rows[times: 0..<7], state: &state)
    for t in 7..<20 {
      let part = model.quantiles(rows[times: t..<t + 1], state: &state)
      expectClose(part, whole[times: t..<t + 1], absolute: 2e-5, "row \(t)")
    }
  }

  @Test("one batch can be learned", arguments: heads, [1, 4])
  func learns(head: ForecastHead, patch: Int) throws {
    let model = try Forecaster(Self.config(head, patch: patch), key: RandomKey(seed: 6))
    let rows = Self.rows(model, [2, 12], seed: 7)
    var targets = Tensor.random([2, 12, 2], seed: 8)
    if head == .counts {
      let scales = rows.values.enumerated().filter { $0.offset % model.rowWidth == 3 }.map(
        \.element)
      targets.withMutableFloats { values in
        for place in 0..<values.count {
          values[place] = abs(values[place] * 4).rounded() / scales[place / 2]
        }
      }
    }
    let weights = Tensor(repeating: 1, [2, 12, 2])
    /// The mean distance of medians from what came.
    func error() -> Float {
      let (q, y) = (model.quantiles(rows).values, targets.values)
      return y.indices.reduce(0) { $0 + abs(q[3 * $1 + 1] - y[$1]) } / Float(y.count)
    }
    var optimizer = TestOptimizer(model.parameters)
    var losses: [Float] = []
    let before = error()
    for _ in 1...300 {
      let current = model.loss(rows, targets: targets, weights: weights)
      current.backward()
      optimizer.update(rate: 0.01)
      losses.append(current.scalar)
    }
    let (first, last) = (losses[0], losses[299])
    #expect(last < first - 0.2, "from \(first) to \(last)")
    #expect(error() < 0.5 * before, "from \(before) to \(error())")
  }

  @Test("a configuration keeps its head, and one without has quantiles")
  func configuration() throws {
    for head in Self.heads + [.mixture(components: 5)] {
      let config = try Self.config(head)
      let data = try JSONEncoder().encode(config)
      #expect(try JSONDecoder().decode(ForecasterConfig.self, from: data) == config)
      let text = String(decoding: data, as: UTF8.self)
      #expect(text.contains("\"head\"") == (head != .quantiles))
      #expect(head == .mixture(components: 5) || ForecastHead(named: head.name) == head)
    }
    func key(_ change: (String) -> String) throws -> String? {
      let data = try JSONEncoder().encode(Self.config(.mixture(components: 3)))
      do {
        _ = try JSONDecoder().decode(
          ForecasterConfig.self, from: Data(change(String(decoding: data, as: UTF8.self)).utf8))
      } catch ConfigError.invalid(let key, _, _) { return key }
      return nil
    }
    #expect(try key { $0 } == nil)
    #expect(try key { $0.replacing("\"mixture\"", with: "\"gamma\"") } == "head")
    for count in ["0", "17", "-1"] {
      #expect(
        try key { $0.replacing("\"components\":3", with: "\"components\":\(count)") }
          == "components")
    }
  }

  @Test("counts of any size have whole quantiles")
  func counts() {
    let levels = [0.05, 0.5, 0.95]
    for mean in [1e-6, 0.3, 7, 4e3, 2e7, 1e12] {
      for dispersion in [1e-6, 0.02, 1, 40, 1e3] {
        let binomial = NegativeBinomial(mean: mean, dispersion: dispersion)
        let found = binomial.quantiles(levels)
        for (level, quantile) in zip(levels, found) {
          #expect(quantile >= 0 && quantile == quantile.rounded())
          #expect(binomial.cumulative(quantile) >= level - 1e-8, "\(binomial) \(quantile)")
          if quantile > 0 {
            #expect(binomial.cumulative(quantile - 1) < level + 1e-8, "\(binomial) \(quantile)")
          }
        }
        #expect(found[0] <= found[1] && found[1] <= found[2])
      }
    }
    #expect(NegativeBinomial(mean: .nan, dispersion: 1).quantiles(levels).allSatisfy { $0.isNaN })
    #expect(
      NegativeBinomial(mean: 3, dispersion: 1).quantiles([-.infinity, -0.2, 0.9])[..<2] == [0, 0])
  }

  @Test("Student's t is found at many degrees of freedom at once")
  func studentT() {
    let levels = [1e-6, 0.001, 0.025, 0.2, 0.4999, 0.5, 0.75, 0.95, 0.99999]
    let shapes = StudentTQuantiles(levels)
    for freedom in [2, 2.01, 2.5, 3, 3.7, 5, 8, 12.3, 30, 100, 499, 1002.01] {
      for (found, level) in zip(shapes(degreesOfFreedom: freedom), levels) {
        let expected = StudentT(degreesOfFreedom: freedom).quantile(level)
        #expect(abs(found - expected) <= 1e-9 * abs(expected), "\(freedom) \(level)")
      }
    }
    for (found, level) in zip(shapes(degreesOfFreedom: .infinity), levels) where level != 0.5 {
      #expect(abs(found - Normal.quantile(level)) <= 1e-9 * abs(found))
    }
  }
}
