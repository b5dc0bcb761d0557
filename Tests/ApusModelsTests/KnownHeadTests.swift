import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Inputs known ahead")
struct KnownHeadTests {
  /// Three steps ahead of which two numbers are known: rows of 2 features, 2 of a window, 6 known.
  static func config(_ architecture: String, patch: Int = 1) throws -> ForecasterConfig {
    try ForecasterConfig(
      .named(architecture), size: BackboneSize(width: 16, layers: 1, context: 8), inputs: 2,
      horizon: 3, levels: [0.1, 0.5, 0.9], patch: patch, window: 2, known: 2)
  }

  static func model(_ config: ForecasterConfig) throws -> Forecaster {
    let model = try Forecaster(config, key: RandomKey(seed: 1))
    for parameter in model.parameters where parameter.name == "known.output.weight" {
      parameter.set(.random(parameter.shape, seed: 2))
    }
    return model
  }

  @Test(
    "change the forecast of their own step, and of no other",
    arguments: Architecture.builtIn.map(\.name))
  func ownStep(architecture: String) throws {
    let model = try Self.model(Self.config(architecture))
    let rows = Tensor.random([1, 8, 10], seed: 3)
    let before = model.quantiles(rows, last: 1).values
    for step in 0..<3 {
      var values = rows.values
      values[7 * 10 + 4 + 2 * step + 1] += 1
      let after = model.quantiles(Tensor(values, rows.shape), last: 1).values
      for other in 0..<3 {
        let isSame = before[other * 3..<other * 3 + 3] == after[other * 3..<other * 3 + 3]
        #expect(isSame == (other != step), "step \(step), forecast \(other)")
      }
    }
  }

  @Test("are read the same row by row, with patches too", arguments: [1, 2, 4])
  func stream(patch: Int) throws {
    let model = try Self.model(Self.config("mamba", patch: patch))
    let rows = Tensor.random([1, 8, 10], seed: 5)
    let whole = model.quantiles(rows).values
    var state = model.initialState()
    let steps = (0..<8).flatMap { row in
      model.quantiles(rows[times: row..<row + 1], state: &state).values
    }
    expectClose(steps, whole, absolute: 2e-5)
  }

  @Test("teach every weight that reads them", arguments: [1, 4])
  func gradients(patch: Int) throws {
    let model = try Self.model(Self.config("lstm", patch: patch))
    let loss = model.loss(
      .random([2, 8, 10], seed: 6), targets: .random([2, 4, 3], seed: 7),
      weights: Tensor([Float](repeating: 1, count: 24), [2, 4, 3]))
    loss.backward()
    let known = model.parameters.filter { $0.name.hasPrefix("known.") }
    #expect(known.count == 5)
    for parameter in known {
      #expect(parameter.gradient?.values.contains { $0 != 0 } == true, "\(parameter.name)")
    }
  }

  @Test("change nothing before training, and a configuration without them is as it was")
  func start() throws {
    let config = try Self.config("lstm")
    let model = try Forecaster(config, key: RandomKey(seed: 1))
    let rows = Tensor.random([1, 8, 10], seed: 3)
    var without = rows.values
    for row in 0..<8 { for place in 4..<10 { without[row * 10 + place] = 0 } }
    #expect(model.quantiles(rows).values == model.quantiles(Tensor(without, rows.shape)).values)
    var plain = config
    plain.known = 0
    #expect(try !String(decoding: JSONEncoder().encode(plain), as: UTF8.self).contains("known"))
    let names = try Forecaster(plain, key: RandomKey(seed: 1)).parameters.map(\.name)
    #expect(!names.contains { $0.hasPrefix("known") })
  }
}
