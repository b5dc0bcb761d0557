import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Folders of language models")
struct LanguageFolderTests {
  /// Every registered architecture at tiny size.
  static let architectures = Architecture.all.map(\.name)

  static func model(_ name: String) throws -> LanguageModel {
    let architecture = try Architecture.named(name)
    let config = try architecture.configured(
      size: BackboneSize(width: 16, layers: 2, context: 16, vocabulary: 23))
    return try LanguageModel(config, key: RandomKey(seed: 3))
  }

  static var tokens: Tensor { Tensor([3, 1, 4, 1, 5, 9, 2, 6] as [Int32], [1, 8]) }

  static func logits(_ model: LanguageModel) -> [Float] {
    withoutGradient { model.logits(tokens) }.values
  }

  static func object(_ path: String) throws -> [String: Any] {
    let data = try #require(FileManager.default.contents(atPath: path + "/config.json"))
    return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  @Test("a model comes back to the bit, from one file or many", .slow, arguments: architectures)
  func roundTrip(name: String) throws {
    let model = try Self.model(name)
    try withTemporaryFolder { folder in
      for limit in [nil, 3000, 1] as [Int?] {
        try ModelFolder.save(
          model, tokenizer: nil, format: WeightFormat(largestShard: limit), to: folder)
        let again = try ModelFolder.open(folder).language().load().model
        expectSameBits(Self.logits(again), Self.logits(model), "shards of \(limit ?? 0)")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(files.contains("model.safetensors") == (limit == nil))
        #expect(files.contains("model.safetensors.index.json") == (limit != nil))
        if limit == 1 {
          #expect(files.count { $0.hasPrefix("model-") } == model.parameters.count)
        }
        #expect(!files.contains { $0.hasPrefix(".") })
      }
    }
  }

  @Test("a model saved where it is mapped from stays whole", arguments: [nil, 2000] as [Int?])
  func overItself(limit: Int?) throws {
    let model = try Self.model("transformer")
    try withTemporaryFolder { folder in
      let format = WeightFormat(largestShard: limit)
      try ModelFolder.save(model, tokenizer: nil, format: format, to: folder)
      let loaded = try ModelFolder.open(folder).language().load()
      try ModelFolder.save(loaded.model, tokenizer: nil, format: format, to: folder)
      expectSameBits(Self.logits(loaded.model), Self.logits(model))
      expectSameBits(
        Self.logits(try ModelFolder.open(folder).language().load().model), Self.logits(model))
    }
  }

  @Test("weights in float32 are used where they lie in the file")
  func mapped() throws {
    let model = try Self.model("transformer")
    try withTemporaryFolder { folder in
      try ModelFolder.save(model, tokenizer: nil, to: folder)
      let before = Machine.bytesInUse
      let loaded = try ModelFolder.open(folder).language().load().model
      let bytes = loaded.parameters.reduce(0) { $0 + $1.shape.count * 4 }
      #expect(Machine.bytesInUse - before < bytes / 2)
      #expect(loaded.parameters.allSatisfy { !$0.isTrainable })
    }
  }

  @Test("halves lose no more than their last bit", arguments: [DType.bfloat16, .float16])
  func halves(dtype: DType) throws {
    let model = try Self.model("mamba")
    try withTemporaryFolder { folder in
      try ModelFolder.save(model, tokenizer: nil, format: WeightFormat(dtype: dtype), to: folder)
      let file = try SafetensorsFile(path: folder + "/model.safetensors")
      #expect(file.entries.allSatisfy { $0.storedType == dtype.rawValue })
      let name = dtype == .bfloat16 ? "bfloat16" : "float16"
      #expect(try Self.object(folder)["dtype"] as? String == name)
      let again = try ModelFolder.open(folder).language().load().model
      for (one, other) in zip(again.parameters, model.parameters) {
        expectClose(
          one.value, other.value, relative: dtype == .bfloat16 ? 1.0 / 256 : 1.0 / 2048,
          absolute: 1e-7, one.name)
      }
    }
  }

  @Test("a weight that float16 cannot hold is refused, and nothing is written")
  func tooLarge() throws {
    let model = try Self.model("transformer")
    model.parameters[0].set(Tensor(repeating: 70000, model.parameters[0].shape))
    try withTemporaryFolder { folder in
      #expect(throws: ModelFolderError.self) {
        try ModelFolder.save(
          model, tokenizer: nil, format: WeightFormat(dtype: .float16), to: folder)
      }
      let left = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(left.isEmpty)
    }
  }

  @Test("keys that only others read are kept")
  func publishedKeys() throws {
    let model = try Self.model("mamba")
    let published = try #require(
      String(data: model.blueprint.json(), encoding: .utf8)?.replacingOccurrences(
        of: "\"expand\"",
        with: """
          "architectures": ["MyMamba"], "torch_dtype": "bfloat16", "residual_in_fp32": true,
          "nested": {"one": [1, 2.5, null]}, "expand"
          """))
    try withTemporaryFolder { folder in
      try ModelFolder.save(
        model, tokenizer: nil, publishedConfig: Data(published.utf8), to: folder)
      let found = try Self.object(folder)
      #expect(found["architectures"] as? [String] == ["MyMamba"])
      #expect(found["torch_dtype"] as? String == "float32" && found["dtype"] == nil)
      #expect(found["residual_in_fp32"] as? Bool == true)
      let nested = try #require(found["nested"] as? [String: Any])
      #expect((nested["one"] as? [Any])?.count == 3)
      let loaded = try ModelFolder.open(folder).language().load()
      #expect(try loaded.model.blueprint.json() == model.blueprint.json())
    }
  }

  @Test("what only Apus computes is not called by another's name")
  func classNames() throws {
    try withTemporaryFolder { folder in
      try ModelFolder.save(try Self.model("mamba"), tokenizer: nil, to: folder)
      #expect(try Self.object(folder)["architectures"] as? [String] == ["MambaForCausalLM"])
      // Rotary positions under the keys of GPT-2.
      try ModelFolder.save(try Self.model("transformer"), tokenizer: nil, to: folder)
      #expect(try Self.object(folder)["architectures"] == nil)
    }
  }
}
