import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Testing

@Suite("Forecaster")
struct ForecasterTests {
  static let architectures = Architecture.builtIn.map(\.name)

  static func config(
    _ architecture: String, levels: [Double] = [0.1, 0.5, 0.9], patch: Int = 1, window: Int = 0
  ) throws -> ForecasterConfig {
    try ForecasterConfig(
      .named(architecture), size: BackboneSize(width: 16, layers: 2, context: 24),
      inputs: 3 - window, horizon: 2, levels: levels, patch: patch, window: window)
  }

  /// The forecaster of a configuration, where it has a window with a linear map of large weights.
  static func model(_ config: ForecasterConfig, seed: UInt64) throws -> Forecaster {
    let model = try Forecaster(config, key: RandomKey(seed: seed))
    for parameter in model.parameters where parameter.name.hasPrefix("direct") {
      parameter.set(.random(parameter.shape, seed: 12))
    }
    return model
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
    "row by row equals the whole window, whatever was advanced", arguments: architectures,
    [(1, 0), (4, 0), (1, 2), (4, 2)])
  func streaming(architecture: String, form: (patch: Int, window: Int)) throws {
    let model = try Self.model(
      Self.config(architecture, patch: form.patch, window: form.window), seed: 4)
    let rows = Tensor.random([2, 20, 3], seed: 5)
    let whole = model.quantiles(rows)
    var state = model.initialState(batch: 2)
    model.advance(rows[times: 0..<7], state: &state)
    for t in 7..<20 {
      let part = model.quantiles(rows[times: t..<t + 1], state: &state)
      expectClose(part, whole[times: t..<t + 1], absolute: 1e-5, "row \(t)")
    }
  }

  @Test(
    "values after the cut change nothing before it", arguments: architectures,
    [(1, 0), (4, 0), (1, 2), (4, 2)])
  func causality(architecture: String, form: (patch: Int, window: Int)) throws {
    let model = try Self.model(
      Self.config(architecture, patch: form.patch, window: form.window), seed: 4)
    let rows = Tensor.random([1, 20, 3], seed: 5)
    var other = rows
    other.withMutableFloats { for index in 11 * 3..<60 { $0[index] = 9 - $0[index] } }
    expectSameBits(
      model.quantiles(other)[times: 0..<11].values,
      model.quantiles(rows)[times: 0..<11].values)
  }

  @Test("a forecast is what the linear map makes of the window, and what the backbone adds")
  func window() throws {
    let model = try Forecaster(Self.config("lstm", window: 2), key: RandomKey(seed: 4))
    let rows = Tensor.random([1, 6, 3], seed: 5)
    let plain = model.quantiles(rows).values
    let direct = try #require(model.parameters.first { $0.name == "direct.weight" })
    #expect(direct.shape == [2, 2] && !direct.isTrainable)
    direct.set(Tensor([2, 3, -1, 0.5], [2, 2]))
    let found = model.quantiles(rows)
    let values = rows.values
    for row in 0..<6 {
      let (old, new) = (values[row * 3 + 1], values[row * 3 + 2])
      let starts = [2 * old + 3 * new, -old + 0.5 * new]
      for step in 0..<2 {
        for level in 0..<3 {
          let place = (row * 2 + step) * 3 + level
          #expect(abs(found.values[place] - plain[place] - starts[step]) < 1e-5)
        }
      }
    }
    let last = model.quantiles(rows, last: 2)
    #expect(last.shape == [1, 2, 6])
    expectClose(last.values, Array(found.values.suffix(12)), absolute: 1e-6)
  }

  @Test("the loss counts the last rows alone, less what the linear map says", arguments: [1, 4])
  func lastRows(patch: Int) throws {
    let model = try Self.model(Self.config("lstm", patch: patch, window: 2), seed: 4)
    let (rows, targets) = (Tensor.random([2, 11, 3], seed: 4), Tensor.random([2, 5, 2], seed: 6))
    let loss = model.loss(rows, targets: targets, weights: Tensor(repeating: 1, [2, 5, 2]))
    let (q, y) = (model.quantiles(rows, last: 5).values, targets.values)
    var sum = 0.0
    for (place, target) in y.enumerated() {
      for (level, quantile) in zip([0.1, 0.5, 0.9], q[place * 3..<place * 3 + 3]) {
        let error = Double(target - quantile)
        sum += max(level * error, (level - 1) * error)
      }
    }
    #expect(abs(Double(loss.scalar) - sum / Double(q.count)) < 1e-5)
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
    #expect(key { $0.window = 25 } == "window", "it is longer than the context")
    #expect(key { $0.window = -1 } == "window")
  }
}
