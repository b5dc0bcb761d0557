import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// What the golden fixtures of Llama, Mistral and Command R do not show.
@Suite("Decoders of the Llama family")
struct DecoderTests {
  static var tokens: Tensor { Tensor.randomIntegers([1, 13], below: 23, seed: 5) }

  static func model(
    _ name: String, layers: Int = 2, _ keys: [String: ConfigValue] = [:]
  ) throws -> LanguageModel {
    let architecture = try Architecture.named(name)
    let size = BackboneSize(width: 16, layers: layers, context: 16, vocabulary: 23)
    let base = try architecture.configured(size: size).json()
    let config = try Blueprint(json: base, overrides: keys)
    let model = try LanguageModel(config, key: RandomKey(seed: 3))
    for (index, parameter) in model.parameters.enumerated() {
      parameter.set(.random(parameter.shape, seed: UInt64(index), scale: 0.3))
    }
    return model
  }

  static func tensors(_ model: LanguageModel) -> [String: Tensor] {
    Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value) })
  }

  static func logits(_ model: LanguageModel, _ tokens: Tensor = tokens) -> [Float] {
    withoutGradient { model.logits(tokens).values }
  }

  @Test(
    "a file in half precision loads as its rounded weights",
    arguments: [.bfloat16, .float16] as [DType])
  func halves(dtype: DType) throws {
    let model = try Self.model("llama")
    try withTemporaryFolder { folder in
      try Safetensors.save(Self.tensors(model), to: folder + "/model.safetensors", as: dtype)
      let loaded = try LanguageModel(
        model.blueprint, checkpoint: Safetensors.load(folder))
      for (one, other) in zip(loaded.parameters, model.parameters) {
        let rounded = other.value.converted(to: dtype).converted(to: .float32)
        expectSameBits(one.value.values, rounded.values, one.name)
      }
    }
  }

  @Test("files with an index load as one")
  func shards() throws {
    let model = try Self.model("llama", ["tie_word_embeddings": false])
    let tensors = Self.tensors(model)
    try withTemporaryFolder { folder in
      let names = tensors.keys.sorted()
      var map: [String: String] = [:]
      for shard in 0..<3 {
        let file = "model-0000\(shard + 1)-of-00003.safetensors"
        let own = names.indices.filter { $0 % 3 == shard }.map { names[$0] }
        for name in own { map[name] = file }
        try Safetensors.save(
          tensors.filter { own.contains($0.key) }, to: "\(folder)/\(file)", as: .bfloat16)
      }
      try JSONSerialization.data(withJSONObject: ["weight_map": map])
        .write(to: URL(filePath: folder + "/model.safetensors.index.json"))
      let loaded = try LanguageModel(
        model.blueprint, checkpoint: Safetensors.load(folder))
      expectClose(Self.logits(loaded), Self.logits(model), absolute: 0.05)
      #expect(loaded.parameters.count == model.parameters.count)
    }
  }

  @Test("what does not fit is named", arguments: ["llama", "cohere"])
  func misfits(name: String) throws {
    let model = try Self.model(name)
    let missing = "model.layers.1.self_attn.k_proj.weight"
    func load(_ change: (inout [String: Tensor]) -> Void) throws {
      var tensors = Self.tensors(model)
      change(&tensors)
      _ = try LanguageModel(model.blueprint, checkpoint: tensors)
    }
    try load { $0["model.layers.0.self_attn.rotary_emb.inv_freq"] = Tensor(zeros: [4]) }
    try load { $0["lm_head.weight"] = $0["model.embed_tokens.weight"] }
    #expect(throws: CheckpointError.missingTensor(name: missing)) { try load { $0[missing] = nil } }
    #expect(
      throws: CheckpointError.shapeMismatch(name: missing, found: [4, 4], expected: [16, 16])
    ) { try load { $0[missing] = Tensor(zeros: [4, 4]) } }
    let bias = "model.layers.0.self_attn.q_proj.bias"
    #expect(throws: CheckpointError.unusedTensors(names: [bias])) {
      try load { $0[bias] = Tensor(zeros: [16]) }
    }
  }

  @Test("a head of its own is asked for unless it is tied")
  func tying() throws {
    let (tied, untied) = (
      try Self.model("llama"), try Self.model("llama", ["tie_word_embeddings": false])
    )
    #expect(!tied.parameters.contains { $0.name == "lm_head.weight" })
    #expect(throws: CheckpointError.missingTensor(name: "lm_head.weight")) {
      _ = try LanguageModel(
        untied.blueprint, checkpoint: Self.tensors(tied))
    }
  }

  @Test("types that share a configuration keep their own defaults, and null says none")
  func defaults() throws {
    func read(_ json: String) throws -> any ModelConfig {
      try Blueprint(json: Data(json.utf8)).config
    }
    let llama = try #require(try read(#"{"model_type": "llama"}"#) as? LlamaConfig)
    #expect(llama.intermediateSize == 11008 && llama.slidingWindow == nil)
    #expect(llama.numKeyValueHeads == nil && llama.maxPositionEmbeddings == 2048)
    let mistral = try #require(try read(#"{"model_type": "mistral"}"#) as? LlamaConfig)
    #expect(mistral.intermediateSize == 14336 && mistral.slidingWindow == 4096)
    #expect(mistral.numKeyValueHeads == 8 && mistral.maxPositionEmbeddings == 131072)
    let open = try read(#"{"model_type": "mistral", "sliding_window": null}"#)
    #expect((open as? LlamaConfig)?.slidingWindow == nil)
    let again = try Blueprint(json: open.json()).config
    #expect((again as? LlamaConfig)?.slidingWindow == nil, "null survives the way to JSON and back")
    let cohere = try #require(try read(#"{"model_type": "cohere2"}"#) as? CohereConfig)
    #expect(cohere.slidingWindow == 4096 && cohere.logitScale == 0.0625)
  }

  @Test("grouped heads equal as many heads with the same keys and values")
  func groups() throws {
    let keys: [String: ConfigValue] = ["num_attention_heads": 4, "head_dim": 6]
    let grouped = try Self.model("llama", keys.merging(["num_key_value_heads": 2]) { $1 })
    let whole = try Self.model("llama", keys.merging(["num_key_value_heads": 4]) { $1 })
    for (one, other) in zip(whole.parameters, grouped.parameters) {
      guard one.shape != other.shape else {
        one.set(other.value)
        continue
      }
      let rows = other.value.values
      let size = rows.count / 2  // of one key-value head
      one.set(
        Tensor((0..<4).flatMap { rows[$0 / 2 * size..<($0 / 2 + 1) * size] }, one.shape))
    }
    expectClose(Self.logits(whole), Self.logits(grouped), absolute: 1e-5)
  }

  @Test(
    "a token sees as many as the window says, itself included",
    arguments: ["llama", "cohere", "sliding", "gpt1", "transformer"])
  func window(name: String) throws {
    let banded: [String: ConfigValue] = ["sliding_window": nil, "attention_windows": [4, 0]]
    let keys = name == "transformer" ? banded : ["sliding_window": 4]
    let model = try Self.model(name, layers: 1, keys)
    func last(changing token: Int) -> [Float] {
      var ids = Self.tokens.integers
      ids[token] = (ids[token] + 1) % 23
      return Array(Self.logits(model, Tensor(ids, [1, 13])).suffix(23))
    }
    let plain = Array(Self.logits(model).suffix(23))
    expectSameBits(last(changing: 8), plain, "12 − 4 is out of sight")
    #expect(bitDisagreement(last(changing: 9), plain) != nil, "12 − 3 is in sight")
  }

  @Test("layers of cohere2 that see everything know no positions")
  func withoutPositions() throws {
    let model = try Self.model("cohere", layers: 1, ["sliding_window_pattern": 1])
    var ids = Self.tokens.integers
    let plain = Array(Self.logits(model).suffix(23))
    ids.swapAt(2, 7)
    ids.swapAt(0, 11)
    expectClose(
      Array(Self.logits(model, Tensor(ids, [1, 13])).suffix(23)), plain, absolute: 1e-5)
  }
}
