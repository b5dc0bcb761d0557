import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// Numbers that the reference implementation made of the same weights, and what encoders owe beyond.
@Suite("BERT", .tags(.golden))
struct EncoderTests {
  struct Case {
    let bert: Bert
    let tensors: [String: Tensor]
    let tokens: PackedTokens
    /// Places of the padded batch that hold a token.
    let places: [Int]

    init(_ name: String) throws {
      let folder = try fixturePath("encoders/" + name)
      let config = try BertConfig(
        json: Data(contentsOf: URL(filePath: folder + "/config.json")))
      bert = try Bert(config, checkpoint: Safetensors.load(folder))
      tensors = try Safetensors.load(folder + "/case.safetensors")
      let (ids, mask) = (
        try #require(tensors["input_ids"]), try #require(tensors["attention_mask"])
      )
      tokens = PackedTokens(padded: ids, mask: mask, segments: tensors["token_type_ids"])
      let keep = mask.integers
      places = keep.indices.filter { keep[$0] != 0 }
    }

    /// The rows of a padded `[B, T, …]` that hold a token.
    func rows(_ name: String) throws -> [Float] {
      let (all, mask) = (try #require(tensors[name]), try #require(tensors["attention_mask"]))
      let (width, values) = (all.count / mask.count, all.values)
      return places.flatMap { Array(values[$0 * width..<($0 + 1) * width]) }
    }

    func expectGradients() throws {
      for parameter in bert.parameters {
        let reference = try #require(tensors["grad." + parameter.name], "\(parameter.name)")
        let gradient = try #require(parameter.gradient, "\(parameter.name)")
        expectClose(gradient, reference, absolute: 2e-6, parameter.name)
      }
      #expect(tensors.keys.count { $0.hasPrefix("grad.") } == bert.parameters.count)
    }
  }

  @Test("logits, loss and gradients equal the reference's", arguments: ["bert", "bert-odd"])
  func maskedLanguage(name: String) throws {
    let golden = try Case(name)
    let logits = try #require(
      withoutGradient { golden.bert.logits(golden.bert.hidden(golden.tokens)) })
    expectClose(logits.values, try golden.rows("logits"), absolute: 1e-5)
    for parameter in golden.bert.parameters { parameter.setTrainable(true) }
    let labels = try #require(golden.tensors["labels"]).integers
    let loss = try #require(
      golden.bert.loss(golden.tokens, targets: golden.places.map { labels[$0] }))
    loss.backward()
    let expected = try #require(golden.tensors["loss"]).scalar
    #expect(abs(loss.scalar - expected) <= 2e-6)
    try golden.expectGradients()
  }

  @Test("sentence vectors and their gradients equal the reference's")
  func sentences() throws {
    let golden = try Case("minilm")
    let encoder = SentenceEncoder(encoder: golden.bert)
    for parameter in golden.bert.parameters { parameter.setTrainable(true) }
    let vectors = encoder(golden.tokens)
    let expected = try #require(golden.tensors["vectors"])
    expectClose(vectors, expected, absolute: 1e-6)
    let hidden = golden.bert.hidden(golden.tokens)
    let pooled = try #require(golden.bert.pooled(hidden, lengths: golden.tokens.lengths))
    expectClose(pooled, try #require(golden.tensors["pooled"]), absolute: 1e-6)
    vectors.backward(gradient: try #require(golden.tensors["seed.vectors"]))
    pooled.backward(gradient: try #require(golden.tensors["seed.pooled"]))
    try golden.expectGradients()
  }

  @Test("a sequence's numbers do not depend on what else is in the batch")
  func batches() throws {
    let golden = try Case("minilm")
    let encoder = SentenceEncoder(encoder: golden.bert)
    let together = withoutGradient { encoder(golden.tokens) }.values
    var start = 0
    for (row, length) in golden.tokens.lengths.enumerated() {
      let own = Array(golden.tokens.ids[start..<start + length])
      let alone = withoutGradient { encoder(PackedTokens([own])) }.values
      let width = encoder.dimensions
      expectClose(Array(together[row * width..<(row + 1) * width]), alone, absolute: 1e-6)
      #expect(abs(alone.reduce(0) { $0 + $1 * $1 } - 1) < 1e-6)
      start += length
    }
  }

  @Test("the names of the first release and the prefix of heads are understood")
  func oldNames() throws {
    let golden = try Case("bert")
    var old: [String: Tensor] = [:]
    for parameter in golden.bert.parameters {
      let name = parameter.name
        .replacingOccurrences(of: "LayerNorm.weight", with: "LayerNorm.gamma")
        .replacingOccurrences(of: "LayerNorm.bias", with: "LayerNorm.beta")
      old[name] = parameter.value
    }
    old["cls.predictions.decoder.weight"] = old["bert.embeddings.word_embeddings.weight"]
    old["bert.embeddings.position_ids"] = Tensor(zeros: [1, 32])
    old["cls.seq_relationship.bias"] = Tensor(zeros: [2])
    let again = try Bert(golden.bert.config, checkpoint: old)
    #expect(again.parameters.map(\.name) == golden.bert.parameters.map(\.name))
    expectSameBits(
      withoutGradient { again.hidden(golden.tokens).values },
      withoutGradient { golden.bert.hidden(golden.tokens).values })
    let bare = Dictionary(
      uniqueKeysWithValues: golden.bert.parameters.filter { $0.name.hasPrefix("bert.") }
        .map { (String($0.name.dropFirst(5)), $0.value) })
    let encoder = try Bert(golden.bert.config, checkpoint: bare)
    #expect(!encoder.hasMaskedLanguageHead && encoder.logits(Tensor(zeros: [1, 24])) == nil)
    var broken = old
    broken["classifier.weight"] = Tensor(zeros: [2, 24])
    #expect(throws: CheckpointError.unusedTensors(names: ["classifier.weight"])) {
      try Bert(golden.bert.config, checkpoint: broken)
    }
  }

  @Test(
    "configurations that mean something else are refused",
    arguments: [
      "hidden_size": "7", "is_decoder": "true", "position_embedding_type": "\"relative_key\"",
      "hidden_act": "\"quick_gelu\"", "layer_norm_eps": "0", "vocab_size": "0",
      "max_position_embeddings": "1000000000000", "num_attention_heads": "0",
    ])
  func badConfig(key: String, value: String) {
    #expect(throws: ConfigError.self) {
      try BertConfig(json: Data("{\"model_type\": \"bert\", \"\(key)\": \(value)}".utf8))
    }
  }
}
