import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Jamba", .tags(.property))
struct JambaTests {
  /// The kinds of a configuration's layers, read off the names of its weights.
  private func layers(
    _ overrides: [String: ConfigValue]
  ) throws -> (attention: [Int], experts: [Int], count: Int) {
    let small: [String: ConfigValue] = [
      "hidden_size": 8, "intermediate_size": 4, "num_attention_heads": 2, "num_key_value_heads": 1,
      "mamba_d_state": 2, "vocab_size": 11, "num_experts": 2, "num_experts_per_tok": 1,
    ]
    let model = try model(small.merging(overrides) { $1 })
    let count = model.blueprint.facts.layers
    let names = Set(model.parameters.map(\.name))
    return (
      (0..<count).filter { names.contains("model.layers.\($0).self_attn.q_proj.weight") },
      (0..<count).filter { names.contains("model.layers.\($0).feed_forward.router.weight") }, count
    )
  }

  private func model(_ overrides: [String: ConfigValue]) throws -> LanguageModel {
    let config = try JambaConfig(json: nil, overrides: overrides)
    return try LanguageModel(Blueprint(config), key: RandomKey(seed: 1))
  }

  @Test("has attention and experts where the published schedule says")
  func schedule() throws {
    let released = try layers([:])
    #expect(released.attention == [4, 12, 20, 28])
    #expect(released.experts == (0..<32).filter { $0 % 2 == 1 })
    for (period, offset) in [(1, 0), (2, 0), (2, 1), (3, 2), (5, 1)] {
      let found = try layers([
        "num_hidden_layers": 7, "attn_layer_period": .integer(period),
        "attn_layer_offset": .integer(offset), "expert_layer_period": .integer(period),
        "expert_layer_offset": .integer(offset),
      ])
      #expect(found.attention == (0..<7).filter { $0 % period == offset })
      #expect(found.experts == found.attention)
    }
    #expect(try layers(["num_experts": 1, "num_hidden_layers": 4]).experts.isEmpty)
  }

  static let small: [String: ConfigValue] = [
    "hidden_size": 16, "intermediate_size": 12, "num_attention_heads": 4, "num_key_value_heads": 2,
    "mamba_d_state": 4, "vocab_size": 23, "num_experts": 4, "num_hidden_layers": 8,
  ]

  @Test("has no positions: silent state spaces leave the order of earlier tokens unseen")
  func noPositions() throws {
    let model = try model(Self.small)
    for parameter in model.parameters where parameter.name.hasSuffix("mamba.out_proj.weight") {
      parameter.set(Tensor(zeros: parameter.shape))
    }
    func last(_ ids: [Int32]) -> [Float] {
      let logits = withoutGradient { model.logits(Tensor(ids, [1, ids.count])) }.values
      return Array(logits.suffix(23))
    }
    expectClose(last([3, 1, 4, 15, 9, 2]), last([9, 4, 1, 3, 15, 2]), absolute: 1e-6)
    #expect(last([3, 1, 4, 15, 9, 2]) != last([3, 1, 4, 15, 8, 2]))
    // With its state spaces at work, the same model tells the orders apart.
    let whole = try self.model(Self.small)
    func lastOfWhole(_ ids: [Int32]) -> [Float] {
      Array(withoutGradient { whole.logits(Tensor(ids, [1, ids.count])) }.values.suffix(23))
    }
    let (a, b) = (lastOfWhole([3, 1, 4, 15, 9, 2]), lastOfWhole([9, 4, 1, 3, 15, 2]))
    #expect(zip(a, b).contains { abs($0 - $1) > 1e-4 })
  }

  @Test("remembers as many bytes as the formula says, and an eighth of attention's keys and values")
  func stateSize() throws {
    func bytes(_ overrides: [String: ConfigValue], tokens: Int) throws -> (kept: Int, all: Int) {
      let model = try model(Self.small.merging(overrides) { $1 })
      var state = model.initialState(batch: 2)
      let ids = Tensor([Int32](repeating: 3, count: 2 * tokens), [2, tokens])
      _ = model.logits(ids, state: &state)
      let kept = state.layers.reduce(0) { sum, layer in
        sum + ((layer as? AttentionState)?.byteCount ?? 0)
      }
      return (kept, state.byteCount)
    }
    let everywhere: [String: ConfigValue] = ["attn_layer_period": 1, "attn_layer_offset": 0]
    for tokens in [1, 33, 70] {
      let hybrid = try bytes([:], tokens: tokens)
      let attention = try bytes(everywhere, tokens: tokens)
      // Per token and sequence: keys and values of the layers with attention, in float.
      #expect(hybrid.kept == 2 * tokens * (2 * 1 * 2 * 4 * 4))
      #expect(attention.kept == 2 * tokens * (2 * 8 * 2 * 4 * 4) && attention.all == attention.kept)
      #expect(hybrid.kept * 8 == attention.kept)
      // Seven state spaces of E = 32, N = 4, K − 1 = 3, whatever the time.
      #expect(hybrid.all - hybrid.kept == 2 * 7 * (32 * 4 + 32 * 3) * 4)
    }
  }

  @Test("weighs experts by what the router says, not by shares of the chosen")
  func gates() throws {
    let backbone = try JambaConfig(json: nil, overrides: Self.small).makeBackbone(
      in: Scope(key: RandomKey(seed: 2)))
    let routes = try #require(backbone as? any RoutingBackbone).routes(
      .random([1, 9, 16], seed: 3))
    #expect(routes.count == 4)
    for route in routes {
      let weights = route.weights.values
      #expect((0..<9).allSatisfy { weights[2 * $0] + weights[2 * $0 + 1] < 0.999 })
    }
  }
}
