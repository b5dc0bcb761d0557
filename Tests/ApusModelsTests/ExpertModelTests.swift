import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// What models with experts owe beyond the contract of all architectures.
@Suite("Models with experts", .tags(.property))
struct ExpertModelTests {
  static let specimens = Specimen.all.filter {
    ["mixtral", "dbrx", "jamba"].contains($0.architecture.name)
      && !$0.variant.hasPrefix("dense")
  }

  /// A backbone of the specimen with fresh weights, and an input for it.
  private func backbone(_ specimen: Specimen) throws -> (any RoutingBackbone, Tensor) {
    let made = try specimen.config().makeBackbone(in: Scope(key: RandomKey(seed: 5)))
    return (try #require(made as? any RoutingBackbone), .random([2, 13, 24], seed: 6))
  }

  @Test("tell what their routers did", arguments: specimens)
  func routes(specimen: Specimen) throws {
    let (backbone, x) = try backbone(specimen)
    let routes = backbone.routes(x)
    #expect(!routes.isEmpty)
    for route in routes {
      #expect(route.experts.shape == [26, route.perToken])
      #expect(route.counts.reduce(0, +) == 26 * route.perToken)
      let ids = route.experts.integers
      #expect(
        route.counts == (0..<route.expertCount).map { expert in ids.count { Int($0) == expert } })
    }
  }

  @Test("have a router's loss on request, near its value at balance", arguments: specimens)
  func auxiliaryLoss(specimen: Specimen) throws {
    let (backbone, x) = try backbone(specimen)
    let loss = try #require(backbone.output(x).auxiliaryLoss).scalar
    // 0.01 or 0.01 k of balance, and 0.001 (ln X)² of squared log-sums, up to imbalance.
    #expect(loss > 0.01 && loss < 0.08, "\(loss)")
    let quiet = try specimen.quiet.config().makeBackbone(
      in: Scope(key: RandomKey(seed: 5)))
    #expect(quiet.output(x).auxiliaryLoss == nil)
  }

  @Test("lose and learn the same when blocks are computed again", arguments: specimens)
  func recomputation(specimen: Specimen) throws {
    let model = try specimen.shakenModel()
    let tokens = specimen.tokens(2, 11, seed: 7)
    let targets = following(tokens)
    func gradients(_ loss: Tensor) -> [[Float]] {
      loss.backward()
      defer { model.parameters.forEach { $0.clearGradient() } }
      return model.parameters.map { $0.gradient?.values ?? [] }
    }
    let plain = model.loss(tokens, targets: targets)
    let again = withRecomputation { model.loss(tokens, targets: targets) }
    #expect(plain.scalar == again.scalar)
    let expected = gradients(plain)
    let found = withRecomputation { gradients(again) }
    for (index, parameter) in model.parameters.enumerated() {
      expectClose(found[index], expected[index], relative: 1e-5, absolute: 1e-7, parameter.name)
    }
  }

  @Test("give a sequence the same logits alone and in a batch", arguments: specimens)
  func batches(specimen: Specimen) throws {
    let model = try specimen.shakenModel()
    let tokens = specimen.tokens(5, 19, seed: 8)
    let together = withoutGradient { model.logits(tokens) }.values
    for row in 0..<5 {
      let alone = Tensor(Array(tokens.integers[row * 19..<(row + 1) * 19]), [1, 19])
      let count = 19 * Specimen.vocabulary
      expectClose(
        withoutGradient { model.logits(alone) }.values,
        Array(together[row * count..<(row + 1) * count]), absolute: 1e-5, "row \(row)")
    }
  }

  @Test(
    "load experts that a file keeps in two tensors",
    arguments: ["mixtral", "mixtral-odd", "jamba", "jamba-odd"])
  func fusedExperts(name: String) throws {
    let folder = try fixturePath(name)
    let config = try Blueprint(
      json: Data(contentsOf: URL(filePath: folder + "/config.json")))
    let published = try Safetensors.load(folder)
    let kinds =
      name.hasPrefix("jamba") ? ["gate_proj", "up_proj", "down_proj"] : ["w1", "w3", "w2"]
    var tensors: [String: Tensor] = [:]
    var layers: Set<String> = []
    for (key, tensor) in published {
      let parts = key.components(separatedBy: ".experts.")
      if parts.count == 2 { layers.insert(parts[0]) } else { tensors[key] = tensor }
    }
    for layer in layers {
      let experts = published.keys.count { $0.hasPrefix(layer + ".experts.") } / 3
      func all(_ kind: String) throws -> [Tensor] {
        try (0..<experts).map { try #require(published["\(layer).experts.\($0).\(kind).weight"]) }
      }
      let (gates, ups, downs) = (try all(kinds[0]), try all(kinds[1]), try all(kinds[2]))
      let (rows, columns) = (gates[0].shape[0], gates[0].shape[1])
      tensors[layer + ".experts.gate_up_proj"] = Tensor(
        zip(gates, ups).flatMap { $0.values + $1.values }, [experts, 2 * rows, columns])
      tensors[layer + ".experts.down_proj"] = Tensor(
        downs.flatMap(\.values), [experts, columns, rows])
    }
    if name.hasPrefix("mixtral") {
      tensors = Dictionary(
        uniqueKeysWithValues: tensors.map {
          ($0.replacingOccurrences(of: ".block_sparse_moe.", with: ".mlp."), $1)
        })
    }
    let expected = try LanguageModel(config, checkpoint: published)
    let found = try LanguageModel(config, checkpoint: tensors)
    let ids = Tensor([1, 5, 2, 7, 0] as [Int32], [1, 5])
    expectSameBits(
      withoutGradient { found.logits(ids) }.values, withoutGradient { expected.logits(ids) }.values)
    // A tensor of another number of experts is refused.
    let some = try #require(tensors.keys.first { $0.hasSuffix("experts.down_proj") })
    tensors[some] = Tensor(zeros: [99, 2, 2])
    #expect(throws: CheckpointError.self) {
      try LanguageModel(config, checkpoint: tensors)
    }
  }
}

@Suite("Configurations of models with experts")
struct ExpertConfigTests {
  private func json(_ text: String) -> Data { Data(text.utf8) }

  @Test("nested keys take their defaults one by one, and null stays null")
  func nested() throws {
    let config = try DBRXConfig(
      json: json(
        """
        {"d_model": 96, "n_heads": 6, "attn_config": {"kv_n_heads": 3, "clip_qkv": null},
         "ffn_config": {"moe_num_experts": 6, "moe_normalize_expert_weights": null,
                        "moe_jitter_eps": null, "model_type": ""}}
        """))
    #expect(config.attnConfig.kvNHeads == 3 && config.attnConfig.clipQkv == nil)
    #expect(config.ffnConfig.moeNumExperts == 6 && config.ffnConfig.moeTopK == 4)
    #expect(config.ffnConfig.moeNormalizeExpertWeights == nil)
    let again = try DBRXConfig(json: try config.json())
    #expect(again.ffnConfig.moeNormalizeExpertWeights == nil)
    #expect(try DBRXConfig(json: nil).ffnConfig.moeNormalizeExpertWeights == 1)
  }

  @Test("a person's unknown nested key is refused")
  func unknown() {
    #expect(throws: ConfigError.self) {
      try DBRXConfig(json: nil, overrides: ["ffn_config": ["moe_topk": 2]])
    }
  }

  @Test("values that cannot be are refused with the key's name")
  func refused() {
    func key(_ make: () throws -> some ModelConfig) -> String? {
      do {
        _ = try make()
        return nil
      } catch ConfigError.invalid(let key, _, _) {
        return key
      } catch {
        return "\(error)"
      }
    }
    let wrong: [(String, ConfigValue, String)] = [
      ("num_experts_per_tok", 9, "num_experts_per_tok"),
      ("num_local_experts", 0, "num_local_experts"),
      ("router_jitter_noise", 0.1, "router_jitter_noise"),
      ("rope_parameters", ["rope_type": "yarn"], "rope_parameters.rope_type"),
      ("hidden_act", "gelu", "hidden_act"), ("num_key_value_heads", 5, "num_key_value_heads"),
    ]
    for (name, value, expected) in wrong {
      #expect(key { try MixtralConfig(json: nil, overrides: [name: value]) } == expected)
    }
    let jamba: [(String, ConfigValue, String)] = [
      ("attn_layer_offset", 8, "attn_layer_offset"),
      ("expert_layer_period", 0, "expert_layer_period"),
      ("mamba_d_state", 0, "mamba_d_state"), ("num_experts_per_tok", 17, "num_experts_per_tok"),
    ]
    for (name, value, expected) in jamba {
      #expect(key { try JambaConfig(json: nil, overrides: [name: value]) } == expected)
    }
    let dbrx: [(String, ConfigValue, String)] = [
      ("ffn_config", ["moe_top_k": 17], "ffn_config.moe_top_k"),
      ("attn_config", ["clip_qkv": -1.0], "attn_config.clip_qkv"),
      ("tie_word_embeddings", true, "tie_word_embeddings"),
    ]
    for (name, value, expected) in dbrx {
      #expect(key { try DBRXConfig(json: nil, overrides: [name: value]) } == expected)
    }
  }

  @Test("the parameters of the released models are as many as published")
  func counts() throws {
    // From the facts of the layers: the models themselves would not fit.
    #expect(try Blueprint(MixtralConfig()).languageTotal.parameters == 46_702_792_704)
  }
}
