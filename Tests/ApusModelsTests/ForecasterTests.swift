import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Testing

@Suite("Forecaster")
struct ForecasterTests {
  static let architectures = Architecture.builtIn.map(\.name)

  static func config(
    _ architecture: String, levels: [Double] = [0.1, 0.5, 0.9], patch: Int = 1
  ) throws -> ForecasterConfig {
    try ForecasterConfig(
      .named(architecture), size: BackboneSize(width: 16, layers: 2, context: 24), inputs: 3,
      horizon: 2, levels: levels, patch: patch)
  }

  @Test("quantiles ascend", arguments: architectures)
  func monotone(architecture: String) throws {
    let levels = [0.01, 0.2, 0.4, 0.5, 0.9, 0.99]
    let model = try Forecaster(Self.config(architecture, levels: levels), key: RandomKey(seed: 1))
    for parameter in model.parameters {
      parameter.set(.random(parameter.shape, seed: 2, scale: 0.7))
    }
    let q = model.quantiles(.random([2, 20, 3], seed: 3, scale: 3))
    #expect(q.shape == [2, 20, 12])
    let values = q.values
    for start in stride(from: 0, to: values.count, by: 6) {
      let own = values[start..<start + 6]
      #expect(zip(own, own.dropFirst()).allSatisfy(<=), "\(own)")
    }
  }

  @Test("starts as the standard normal", arguments: architectures)
  func start(architecture: String) throws {
    let model = try Forecaster(Self.config(architecture), key: RandomKey(seed: 1))
    let q = model.quantiles(.random([1, 9, 3], seed: 3)).values
    let expected = (0..<18).flatMap { _ in [-1.2816 as Float, 0, 1.2816] }
    expectClose(q, expected, absolute: 0.1)
  }

  @Test(
    "row by row equals the whole window, whatever was advanced", arguments: architectures, [1, 4])
  func streaming(architecture: String, patch: Int) throws {
    let model = try Forecaster(Self.config(architecture, patch: patch), key: RandomKey(seed: 4))
    let rows = Tensor.random([2, 20, 3], seed: 5)
    let whole = model.quantiles(rows)
    var state = model.initialState(batch: 2)
    model.advance(rows[times: 0..<7], state: &state)
    for t in 7..<20 {
      let part = model.quantiles(rows[times: t..<t + 1], state: &state)
      expectClose(part, whole[times: t..<t + 1], absolute: 1e-5, "row \(t)")
    }
  }

  @Test("values after the cut change nothing before it", arguments: architectures, [1, 4])
  func causality(architecture: String, patch: Int) throws {
    let model = try Forecaster(Self.config(architecture, patch: patch), key: RandomKey(seed: 4))
    let rows = Tensor.random([1, 20, 3], seed: 5)
    var other = rows
    other.withMutableFloats { for index in 11 * 3..<60 { $0[index] = 9 - $0[index] } }
    expectSameBits(
      model.quantiles(other)[times: 0..<11].values,
      model.quantiles(rows)[times: 0..<11].values)
  }

  @Test("one batch can be overfitted", arguments: architectures)
  func overfits(architecture: String) throws {
    let model = try Forecaster(Self.config(architecture), key: RandomKey(seed: 6))
    let (rows, targets) = (Tensor.random([2, 12, 3], seed: 7), Tensor.random([2, 12, 2], seed: 8))
    let weights = Tensor(repeating: 1, [2, 12, 2])
    var optimizer = TestOptimizer(model.parameters)
    var (loss, first) = (Float.infinity, Float.nan)
    for step in 1...400 where loss >= 0.02 {
      let current = model.loss(rows, targets: targets, weights: weights)
      current.backward()
      optimizer.update(rate: 0.01)
      loss = current.scalar
      if step == 1 { first = loss }
    }
    #expect(first > 0.1)
    #expect(loss < 0.05, "from \(first) to \(loss)")
  }

  @Test("a configuration that breaks a rule is refused, and the key named")
  func configuration() throws {
    let good = try Self.config("mamba")
    func key(_ change: (inout ForecasterConfig) -> Void) -> String? {
      var config = good
      change(&config)
      do {
        _ = try Forecaster(config, key: RandomKey(seed: 1))
      } catch ConfigError.invalid(let key, _, _) {
        return key
      } catch {
        return "\(error)"
      }
      return nil
    }
    #expect(key { _ in } == nil)
    #expect(key { $0.inputs = 0 } == "inputs")
    #expect(key { $0.horizon = 0 } == "horizon")
    #expect(key { $0.levels = [] } == "levels")
    #expect(key { $0.levels = [0.5, 0.1] } == "levels")
    #expect(key { $0.levels = [0.5, .nan] } == "levels")
    #expect(key { $0.levels = [0, 0.5] } == "levels")
    #expect(key { $0.context = 0 } == "context")
    #expect(key { $0.patch = 0 } == "patch")
    #expect(key { $0.patch = 5 } == "patch", "it does not divide the context")
  }
}
