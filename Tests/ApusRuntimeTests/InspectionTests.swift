import ApusModels
import ApusNN
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Inspection")
struct InspectionTests {
  static func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(filePath: path))
  }

  @Test("a folder tells what its model is made of", arguments: LanguageFolderTests.architectures)
  func folders(name: String) throws {
    let model = try LanguageFolderTests.model(name)
    let count = model.parameters.reduce(0) { $0 + $1.shape.count }
    try withTemporaryFolder { folder in
      for limit in [nil, 3000] as [Int?] {
        try ModelFolder.save(
          model, tokenizer: nil, format: WeightFormat(dtype: .bfloat16, largestShard: limit),
          to: folder)
        let found = try ModelInspection(at: folder)
        #expect(found.canRun && found.architecture == name, "\(found.obstacle ?? "")")
        #expect(found.parameters == count && found.dtypes == ["BF16": count])
        #expect(found.float32Bytes == 4 * count && found.tensors.count == model.parameters.count)
        #expect(found.bytesOnDisk > 2 * count && (found.shards.count > 1) == (limit != nil))
        #expect(found.state?.fixedBytes == model.initialState(batch: 1).byteCount)
      }
      // The same from the configuration alone, without a weight.
      let config = try ModelInspection(at: folder + "/config.json")
      #expect(config.parameters == count && config.shards.isEmpty && config.canRun)
      #expect(config.tensors.map(\.name) == model.parameters.map(\.name).sorted())
    }
  }

  @Test("the state of attention grows as said")
  func state() throws {
    let architecture = try Architecture.named("transformer")
    let config = try architecture.configured(
      size: BackboneSize(width: 48, layers: 3, context: 4096, vocabulary: 7))
    let grouped = try config.setting(["n_head": 6, "n_kv_head": 2])
    let model = try LanguageModel(grouped, key: RandomKey(seed: 1))
    try withTemporaryFolder { folder in
      try Self.write(String(decoding: grouped.json(), as: UTF8.self), to: folder + "/config.json")
      let found = try #require(try ModelInspection(at: folder + "/config.json").state)
      #expect(found.bytesPerToken == 3 * 2 * 2 * 8 * 4 && found.window == 4096)
      // The cache has room for what has passed, and for as much again.
      var state = model.initialState(batch: 1)
      _ = model.logits(Tensor(Array(repeating: Int32(1), count: 512), [1, 512]), state: &state)
      let bytes = state.byteCount / found.bytesPerToken
      #expect((512...2 * 512).contains(bytes))
    }
  }

  @Test("a model that no memory holds is looked at all the same")
  func large() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/config.json"
      try Self.write(
        """
        {"model_type": "gpt2", "n_embd": 12288, "n_layer": 96, "n_head": 96, "n_positions": 2048}
        """, to: path)
      let found = try ModelInspection(at: path)
      #expect(found.parameters == 174_604_259_328)
      #expect(found.canRun && found.bfloat16Bytes == 2 * found.parameters)
      // Holes on the disk, as large as a shard of such a model.
      let header = #"{"w":{"dtype":"BF16","shape":[1048576,8192],"data_offsets":[0,17179869184]}}"#
      let file = folder + "/model.safetensors"
      var bytes = Data((0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> ($0 * 8)) })
      bytes += Data(header.utf8)
      try bytes.write(to: URL(filePath: file))
      let handle = try #require(FileHandle(forWritingAtPath: file))
      try handle.truncate(atOffset: UInt64(bytes.count + 17_179_869_184))
      try handle.close()
      let alone = try ModelInspection(at: file)
      #expect(alone.parameters == 8_589_934_592 && !alone.canRun && alone.modelType == nil)
    }
  }

  @Test("a model that Apus does not know is listed, and the reason given")
  func unknown() throws {
    try withTemporaryFolder { folder in
      try Safetensors.save(["a.b": Tensor(zeros: [3, 5])], to: folder + "/model.safetensors")
      try Self.write(#"{"model_type": "frobnitz", "hidden_size": 5}"#, to: folder + "/config.json")
      try Self.write("{}", to: folder + "/tokenizer.json")
      let found = try ModelInspection(at: folder)
      #expect(!found.canRun && found.architecture == nil && found.parameters == 15)
      #expect(found.obstacle?.contains("frobnitz") == true && found.config == ["hidden_size": 5])
      #expect(found.tokenizer == ["tokenizer.json"] && found.tensors.map(\.name) == ["a.b"])
      #expect(throws: ModelFolderError.self) { try ModelInspection(at: folder + "/none") }
    }
  }

  @Test("a missing shard and impossible sizes are told, not fatal")
  func damaged() throws {
    try withTemporaryFolder { folder in
      try ModelFolder.save(
        try LanguageFolderTests.model("lstm"), tokenizer: nil,
        format: WeightFormat(largestShard: 1), to: folder)
      let first = try #require(
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
          .first { $0.hasPrefix("model-") })
      try FileManager.default.removeItem(atPath: folder + "/" + first)
      let found = try ModelInspection(at: folder)
      #expect(!found.canRun && found.obstacle?.contains(first) == true)
      #expect(found.shards.count { $0.bytes == nil } == 1)
      let path = folder + "/huge.json"
      try Self.write(#"{"model_type": "gpt2", "vocab_size": 9000000000000000000}"#, to: path)
      let huge = try ModelInspection(at: path)
      #expect(!huge.canRun && huge.obstacle?.contains("vocab_size") == true)
    }
  }

  @Test("experts that take no part are not counted as active")
  func experts() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/config.json"
      try Self.write(#"{"model_type": "mixtral"}"#, to: path)
      let found = try ModelInspection(at: path)
      // Of the released model 46.7 billion, of which a token meets 12.9.
      #expect(found.parameters == 46_702_792_704)
      #expect(found.activeParameters == 46_702_792_704 - 32 * 6 * 3 * 4096 * 14336)
      try Self.write(#"{"model_type": "other", "num_local_experts": 2}"#, to: path)
      let other = try ModelInspection(at: path)
      #expect(other.activeParameters == nil && other.config == ["num_local_experts": 2])
    }
  }
}
