import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// The published algorithm against the published program, and what the two kinds of lists promise.
@Suite("Reformer", .tags(.golden))
struct ReformerTests {
  static let fixtures = ["reformer/sorted", "reformer/sorted-odd", "reformer/both-sides"]

  @Test("sorted lists give the reference's logits", arguments: fixtures)
  func logits(name: String) throws {
    let golden = try GoldenTests.load(name)
    let logits = withoutGradient { golden.model.logits(golden.ids) }
    expectClose(logits, golden.logits, absolute: golden.tolerance.logits)
  }

  @Test("sorted lists give the reference's loss and gradients", arguments: fixtures)
  func gradients(name: String) throws { try GoldenTests().gradients(name: name) }

  @Test(
    "a length that blocks do not divide is filled up as in the reference",
    arguments: fixtures + ["reformer-local", "reformer-short"])
  func filledUp(name: String) throws {
    let golden = try GoldenTests.load(name)
    let expected = try #require(golden.tensors["shorter_logits"])
    let ids = Tensor(Array(golden.ids.integers.prefix(expected.shape[1])), [1, expected.shape[1]])
    let logits = withoutGradient { golden.model.logits(ids) }
    expectClose(logits, expected, absolute: golden.tolerance.logits)
  }

  @Test("sequences within a block equal the reference's to 1e-6 of the largest logit")
  func withinBlock() throws {
    let golden = try GoldenTests.load("reformer-short")
    let logits = withoutGradient { golden.model.logits(golden.ids) }
    let largest = golden.logits.values.reduce(0) { max($0, abs($1)) }
    expectClose(logits, golden.logits, absolute: 1e-6 * Double(largest))
  }

  @Test("sorted lists are not causal, as published; lists local to buckets are")
  func onlyBucketLocalIsCausal() throws {
    let golden = try GoldenTests.load("reformer/sorted")
    let ids = golden.ids.integers.prefix(48)
    let changed = ids.prefix(40) + ids.suffix(8).map { ($0 + 7) % 31 }
    func differing(_ mode: String) throws -> Int {
      let config = try golden.model.blueprint.setting(["lsh_mode": .text(mode)])
      let model = try LanguageModel(
        config, checkpoint: Safetensors.load(fixturePath("reformer/sorted")))
      let (before, after) = withoutGradient {
        (
          model.logits(Tensor(Array(ids), [1, 48])).values,
          model.logits(Tensor(Array(changed), [1, 48])).values
        )
      }
      return (0..<40).count { t in
        (t * 31..<(t + 1) * 31).contains { before[$0] != after[$0] }
      }
    }
    #expect(try differing("sorted") > 0)
    #expect(try differing("bucket-local") == 0)
  }

  @Test("a stream over sorted lists gives at each token what its prefix gives")
  func streamOverSorted() throws {
    let golden = try GoldenTests.load("reformer/sorted-odd")
    var state = golden.model.initialState(batch: 3)
    for times in [0..<4, 4..<5, 5..<23] {
      let part = golden.model.logits(idSlice(golden.ids, times: times), state: &state)
      let prefix = withoutGradient {
        golden.model.logits(idSlice(golden.ids, times: 0..<times.upperBound))
      }
      expectClose(part, prefix[times: times], absolute: 1e-5, "\(times)")
    }
  }

  @Test("24 layers run backward to their input within 1e-4, in both kinds of lists")
  func reconstructs() throws {
    for mode in LSHLayout.Lists.allCases {
      var config = ReformerConfig()
      config.hiddenSize = 32
      config.attnLayers = (0..<24).map { $0 % 2 == 0 ? "local" : "lsh" }
      (config.numAttentionHeads, config.attentionHeadSize) = (2, 16)
      (config.lshAttnChunkLength, config.localAttnChunkLength) = (8, 8)
      (config.numHashes, config.numBuckets) = (2, .one(8))
      (config.positionEmbedding, config.lshMode) = ("rotary", mode)
      config.initializerRange = 0.2
      let model = try Reformer(config, in: Scope(key: RandomKey(seed: 4)))
      let x = Tensor.random([2, 64, 32], seed: 5)
      let steps = model.steps(at: Places(starts: [0, 0], time: 64))
      let (y, notes) = withoutGradient { forward(x, steps) }
      let (first, second) = y.reversed(steps, notes: notes)
      // Relative to what stands in the streams.
      let largest = Double(y.values.reduce(0) { max($0, abs($1)) })
      expectClose(first, x, absolute: 1e-4 * largest, "\(mode)")
      expectClose(second, x, absolute: 1e-4 * largest, "\(mode)")
    }
  }

  @Test(
    "refuses what it cannot be",
    arguments: [
      ("attn_layers", #"["lsh", "global"]"#), ("num_buckets", "7"), ("num_buckets", "[4, 3]"),
      ("num_buckets", "[65536, 65536]"), ("num_hashes", "0"), ("lsh_attn_chunk_length", "0"),
      ("lsh_num_chunks_after", "1"), ("tie_word_embeddings", "true"), ("hidden_act", #""swish""#),
      ("axial_pos_embds_dim", "[64, 64]"), ("axial_pos_shape", "[64]"), ("hash_seed", "-1"),
      ("position_embedding", #""sinus""#), ("attention_head_size", "0"),
    ])
  func refuses(key: String, value: String) throws {
    let json = Data(#"{"model_type": "reformer", "\#(key)": \#(value)}"#.utf8)
    #expect {
      try Blueprint(json: json)
    } throws: { error in
      if case ConfigError.invalid(let found, _, _) = error { found == key } else { false }
    }
  }

  @Test("bidirectional models need sorted lists")
  func bidirectional() {
    let json = Data(#"{"is_decoder": false, "lsh_mode": "bucket-local"}"#.utf8)
    #expect(throws: ConfigError.self) { try ReformerConfig(json: json) }
    #expect((try? ReformerConfig(json: Data(#"{"is_decoder": false}"#.utf8)))?.lists == .sorted)
    #expect(ReformerConfig().lists == .bucketLocal)
  }

  @Test("takes as many buckets as published programs do")
  func buckets() {
    func factors(_ positions: Int, _ chunk: Int) -> [Int] {
      var config = ReformerConfig()
      (config.maxPositionEmbeddings, config.lshAttnChunkLength) = (positions, chunk)
      return config.bucketFactors
    }
    // ReformerConfig of transformers 5.23 after a first pass of that many tokens.
    #expect(factors(4096, 64) == [128])
    #expect(factors(524_288, 64) == [128, 128])
    #expect(factors(96, 16) == [8])
    #expect(factors(10, 64) == [2])
  }

  @Test("a checkpoint without rotations gets those of its seed, and keeps them")
  func rotations() throws {
    let folder = try fixturePath("reformer-short")
    let name = "reformer.encoder.layers.2.attention.self_attention.rotations"
    let golden = try GoldenTests.load("reformer-short")
    func rotations(seed: Int) throws -> [Float] {
      var tensors = try Safetensors.load(folder)
      tensors[name] = nil
      let config = try golden.model.blueprint.setting(["hash_seed": .integer(seed)])
      let model = try LanguageModel(config, checkpoint: tensors)
      return try #require(model.parameters.first { $0.name == name }).value.values
    }
    #expect(try rotations(seed: 3) == rotations(seed: 3))
    #expect(try rotations(seed: 3) != rotations(seed: 4))
    let stored = try #require(golden.model.parameters.first { $0.name == name })
    #expect(stored.isFixed && !stored.isTrainable)
    stored.setTrainable(true)
    #expect(!stored.isTrainable)
  }

  /// The forward pass of a reversible network, with the notes that it left.
  private func forward(_ x: Tensor, _ steps: [ReversibleStep]) -> (Tensor, [Tensor?]) {
    var streams = (x, x)
    let notes = steps.map { step -> Tensor? in
      var note: Tensor?
      step.advance(&streams, note: &note)
      return note
    }
    return (Tensor(concatenating: [streams.0, streams.1]), notes)
  }
}
