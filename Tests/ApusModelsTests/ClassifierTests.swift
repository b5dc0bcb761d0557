import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// What a classifier owes around any backbone.
@Suite("Classifier", .tags(.property))
struct ClassifierTests {
  /// An architecture and a pool.
  struct Case: Sendable, CustomTestStringConvertible {
    let architecture: String
    let pooling: ClassifierConfig.Pooling
    var testDescription: String { "\(architecture), \(pooling.rawValue)" }

    /// Whether the loss has no jumps, as the choice of a bucket makes them.
    var isSmooth: Bool { architecture != "reformer" }

    static let all = Architecture.all.flatMap { architecture in
      ClassifierConfig.Pooling.allCases.map { Case(architecture: architecture.name, pooling: $0) }
    }

    func config(
      _ input: ClassifierConfig.Input, classes: Int = 3, settings: [String: ConfigValue] = [:]
    ) throws -> ClassifierConfig {
      ClassifierConfig(
        try Architecture.named(architecture).configured(
          size: BackboneSize(width: 24, layers: 2, context: 48), settings: settings),
        input: input, classes: classes, pooling: pooling)
    }

    /// What makes the loss smooth in the weights of experts.
    func smoothing() throws -> [String: ConfigValue] {
      let config = try Architecture.named(architecture).configured(
        size: BackboneSize(width: 24, layers: 2, context: 48))
      return Specimen.routing(config, isQuiet: true, takesAllExperts: true)
    }

    /// Weights away from their start, so that no term vanishes.
    func shaken(
      _ input: ClassifierConfig.Input, settings: [String: ConfigValue] = [:]
    ) throws -> Classifier {
      let model = try Classifier(config(input, settings: settings), key: RandomKey(seed: 1))
      for (index, parameter) in model.parameters.enumerated() {
        let noise = Tensor.random(parameter.shape, seed: 100 + UInt64(index), scale: 0.2)
        parameter.set(withoutGradient { parameter.value + noise })
      }
      return model
    }
  }

  static func tokens(_ batch: Int, _ time: Int, seed: UInt64) -> Tensor {
    .randomIntegers([batch, time], below: 11, seed: seed)
  }

  @Test("what stands behind an end changes nothing", arguments: Case.all)
  func padding(one: Case) throws {
    let model = try one.shaken(.tokens(vocabulary: 11))
    let (first, second) = (Self.tokens(1, 13, seed: 1), Self.tokens(1, 9, seed: 2))
    func together(_ filler: [Int32]) -> [Float] {
      let ids = first.integers + second.integers + filler
      return withoutGradient {
        model.logits(Tensor(ids, [2, 13]), lengths: [13, 9]).values
      }
    }
    expectSameBits(together([0, 0, 0, 0]), together([7, 3, 10, 1]))
    let alone = [first, second].flatMap { ids in withoutGradient { model.logits(ids).values } }
    expectClose(together([0, 0, 0, 0]), alone, absolute: 1e-5)
  }

  @Test("the last token counts", arguments: Case.all)
  func counts(one: Case) throws {
    let model = try one.shaken(.tokens(vocabulary: 11))
    var ids = Self.tokens(1, 9, seed: 2).integers
    let before = withoutGradient { model.logits(Tensor(ids, [1, 9])).values }
    ids[8] = (ids[8] + 5) % 11
    let after = withoutGradient { model.logits(Tensor(ids, [1, 9])).values }
    #expect(bitDisagreement(after, before) != nil)
  }

  @Test(
    "gradients equal finite differences", .tags(.gradient), arguments: Case.all.filter(\.isSmooth))
  func finiteDifferences(one: Case) throws {
    for input in [ClassifierConfig.Input.tokens(vocabulary: 11), .features(count: 2)] {
      let model = try one.shaken(input, settings: one.smoothing())
      let isTokens = input == .tokens(vocabulary: 11)
      let sequences = isTokens ? Self.tokens(3, 7, seed: 4) : Tensor.random([3, 7, 2], seed: 4)
      let labels = Tensor([2, 0, 1] as [Int32], [3])
      func loss() -> Tensor { model.loss(sequences, lengths: [7, 4, 1], labels: labels) }
      loss().backward()
      for (index, parameter) in model.parameters.enumerated() where parameter.isTrainable {
        // Along one random direction: every element takes part.
        let start = parameter.value.copied()
        let analytic = try #require(parameter.gradient, "\(parameter.name)").values
        let direction = Tensor.random(parameter.shape, seed: UInt64(index), scale: 1)
        let length = direction.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        let expected =
          zip(analytic, direction.values).reduce(0) { $0 + Double($1.0) * Double($1.1) } / length
        func value(_ distance: Double) -> Double {
          withoutGradient {
            parameter.set(start + direction * Float(distance / length))
            return Double(loss().scalar)
          }
        }
        let step = 1.0 / 32
        let numeric =
          (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step)
        parameter.set(start)
        let size = analytic.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        #expect(size > 0, "\(parameter.name): all zeros")
        #expect(
          abs(numeric - expected) < 2e-3 * size + 5e-5,
          "\(parameter.name): \(expected), but by differences \(numeric), of a gradient of \(size)")
      }
    }
  }

  @Test("one batch can be learned by heart", arguments: Case.all)
  func overfits(one: Case) throws {
    let model = try Classifier(
      one.config(.tokens(vocabulary: 11), classes: 4), key: RandomKey(seed: 3))
    let tokens = Self.tokens(8, 17, seed: 12)
    let labels = Tensor((0..<8).map { Int32($0 % 4) }, [8])
    let lengths = [17, 3, 9, 17, 1, 12, 16, 5]
    var optimizer = TestOptimizer(model.parameters)
    var (loss, first) = (Float.infinity, Float.nan)
    for step in 1...300 where loss >= 0.05 {
      let current = model.loss(tokens, lengths: lengths, labels: labels)
      current.backward()
      optimizer.update(rate: 0.01)
      loss = current.scalar
      if step == 1 { first = loss }
    }
    #expect(abs(first - log(4)) < 0.3, "the loss starts at \(first)")
    #expect(loss < 0.05, "the loss ends at \(loss)")
  }

  @Test("settings reach the backbone, unknown ones are refused")
  func settings() throws {
    let mamba = Case(architecture: "mamba", pooling: .mean)
    let config = try mamba.config(
      .features(count: 2), settings: ["selective": false, "state_size": 5])
    let names = try Classifier(config, key: RandomKey(seed: 1)).parameters.map(\.name)
    #expect(names.contains("backbone.layers.0.mixer.BC"))
    #expect(!names.contains("backbone.layers.0.mixer.x_proj.weight"))
    #expect(throws: ConfigError.self) {
      try mamba.config(.features(count: 2), settings: ["selectivity": false])
    }
  }

  @Test("sizes that make no model are refused, and the key named")
  func breaches() throws {
    let good = try Case(architecture: "lstm", pooling: .last).config(.features(count: 2))
    func key(_ change: (inout ClassifierConfig) -> Void) -> String? {
      var config = good
      change(&config)
      do {
        _ = try Classifier(config, key: RandomKey(seed: 1))
        return nil
      } catch ConfigError.invalid(let key, _, _) {
        return key
      } catch {
        return "\(error)"
      }
    }
    #expect(key { $0.classes = 1 } == "classes")
    #expect(key { $0.input = .tokens(vocabulary: 0) } == "vocabulary")
    #expect(key { $0.input = .features(count: -1) } == "features")
    #expect(key { _ in } == nil)
  }

  @Test(
    "a configuration survives the way to JSON and back",
    arguments: [ClassifierConfig.Input.tokens(vocabulary: 11), .features(count: 2)])
  func json(input: ClassifierConfig.Input) throws {
    let config = try Case(architecture: "mamba", pooling: .last).config(
      input, settings: ["use_bias": true, "state_size": 3, "time_step_max": 0.5])
    let data = try JSONEncoder().encode(config)
    #expect(try JSONDecoder().decode(ClassifierConfig.self, from: data) == config)
  }
}
