import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// A process that ends here does nothing afterwards.
private struct Crash: Error {}

@Suite("Folders of models")
struct ModelFolderTests {
  private static func edit(_ path: String, _ change: (String) -> String) throws {
    let data = try #require(FileManager.default.contents(atPath: path))
    let text = change(String(decoding: data, as: UTF8.self))
    try text.write(toFile: path, atomically: false, encoding: .utf8)
  }

  private static func copy(_ name: String, from source: String, to target: String) throws {
    try? FileManager.default.removeItem(atPath: "\(target)/\(name)")
    try FileManager.default.copyItem(atPath: "\(source)/\(name)", toPath: "\(target)/\(name)")
  }

  /// Saves two models of one shape whose weights differ, each into a folder of its own.
  private func withTwoModels(
    _ save: (_ seed: UInt64, _ folder: String) throws -> Void,
    _ body: (_ one: String, _ other: String) throws -> Void
  ) throws {
    try withTemporaryFolder { folder in
      try save(1, folder + "/one")
      try save(2, folder + "/other")
      try body(folder + "/one", folder + "/other")
    }
  }

  private func language(seed: UInt64, shard: Int?, to folder: String) throws {
    let architecture = try Architecture.named("mamba")
    let config = try architecture.configured(
      size: BackboneSize(width: 16, layers: 2, context: 16, vocabulary: Int(20 + seed)))
    try ModelFolder.save(
      try LanguageModel(config, key: RandomKey(seed: seed)), tokenizer: nil,
      format: WeightFormat(largestShard: shard), to: folder)
  }

  @Test("say what they hold")
  func kinds() throws {
    try withTemporaryFolder { folder in
      try language(seed: 1, shard: nil, to: folder)
      let opened = try ModelFolder.open(folder)
      #expect(try opened.language().architecture.name == "mamba")
      #expect(
        throws: ModelFolderError.wrongTask(path: folder, found: "language", expected: "forecast")
      ) { try opened.forecaster() }
      try Self.edit(folder + "/config.json") { $0.replacing("\"mamba\"", with: "\"other\"") }
      try Self.edit(folder + "/apus.json") { _ in "{\"task\": \"language\"}" }
      #expect(throws: ConfigError.self) { try ModelFolder.open(folder).language() }
      #expect(throws: ModelFolderError.self) { try ModelFolder.open(folder + "/none") }
    }
  }

  @Test(
    "are refused when one file is another model's, whichever it is",
    arguments: [nil, 3000] as [Int?]
  )
  func mixed(shard: Int?) throws {
    try withTwoModels {
      try language(seed: $0, shard: shard, to: $1)
    } _: { one, other in
      let names = try Files.names(in: one).filter { !$0.hasSuffix("index.json") }
      #expect(names.count == (shard == nil ? 3 : 2 + names.count { $0.hasPrefix("model-") }))
      for name in names {
        // Shards of gains that nothing has trained are equal.
        let bytes = [one, other].map { FileManager.default.contents(atPath: "\($0)/\(name)") }
        if bytes[0] == bytes[1] { continue }
        try withTemporaryFolder { folder in
          for file in try Files.names(in: one) {
            try Self.copy(file, from: file == name ? other : one, to: folder)
          }
          #expect(throws: ModelFolderError.self, "\(name)") {
            try ModelFolder.open(folder).language().load()
          }
          #expect(throws: ModelFolderError.self, "\(name)") { try ModelInspection(at: folder) }
        }
      }
    }
  }

  @Test("may be laid out anew, and changed by somebody who says so")
  func edited() throws {
    try withTemporaryFolder { folder in
      try language(seed: 1, shard: nil, to: folder)
      try Self.edit(folder + "/config.json") { "\n" + $0.replacing("\n", with: "\n ") }
      _ = try ModelFolder.open(folder).language().load()
      try Self.edit(folder + "/config.json") { $0.replacing("}", with: ", \"more\": 1}") }
      #expect(throws: ModelFolderError.mixed(path: folder, file: "config.json")) {
        try ModelFolder.open(folder)
      }
      try Self.edit(folder + "/apus.json") { _ in "{\"format\": 2, \"task\": \"language\"}" }
      _ = try ModelFolder.open(folder).language().load()
    }
  }

  @Test("of a newer Apus are refused as that, and not as damage")
  func newer() throws {
    try withTemporaryFolder { folder in
      try language(seed: 1, shard: nil, to: folder)
      try Self.edit(folder + "/apus.json") {
        $0.replacing("\"format\" : 2", with: "\"format\" : 4, \"unheard\" : [1]")
      }
      let error = ModelFolderError.newerFormat(path: folder + "/apus.json", found: 4, known: 3)
      #expect(throws: error) { try ModelFolder.open(folder) }
      #expect("\(error)".contains("Use a newer Apus"))
    }
  }

  @Test("say which key of theirs is wrong")
  func damaged() throws {
    try withTemporaryFolder { folder in
      let model = try StreamTests.model("lstm")
      try ModelFolder.save(
        model.forecaster, recipe: model.recipe, target: model.target, to: folder)
      let path = folder + "/apus.json"
      let good = try #require(FileManager.default.contents(atPath: path))
      for (from, to, key) in [
        ("\"inputs\" :", "\"inputs\" : \"x\", \"was\" :", "forecaster.inputs"),
        ("\"horizon\" : 3", "\"horizon\" : 1e30", "forecaster.horizon"),
        ("\"task\" : \"forecast\"", "\"task\" : \"dance\"", "task"),
      ] {
        try good.write(to: URL(fileURLWithPath: path))
        try Self.edit(path) { $0.replacing(from, with: to) }
        let error = #expect(throws: JSONFileError.self, "\(key)") { try ModelFolder.open(folder) }
        #expect("\(error.map { "\($0)" } ?? "")".contains("'\(key)'"))
      }
    }
  }

  @Test("keep their bits when a task is added, but for the new task's file")
  func pathways() throws {
    try withTemporaryFolder { folder in
      var config = PathwaysConfig()
      (config.width, config.blocks, config.experts, config.expertWidth) = (16, 2, 2, 16)
      config.tasks = [PathwaysTask(name: "a", head: .language)]
      let model = try Pathways(config, key: RandomKey(seed: 1))
      try PathwaysFolder.save(model, to: folder)
      let before = try Files.names(in: folder).map {
        ($0, FileManager.default.contents(atPath: "\(folder)/\($0)"))
      }
      let grown = try model.adding(
        "b", head: .language, parent: "a", key: RandomKey(seed: 2))
      try PathwaysFolder.save(grown, to: folder)
      for (name, data) in before where name != "pathways.json" {
        #expect(FileManager.default.contents(atPath: "\(folder)/\(name)") == data, "\(name)")
      }
      let again = try ModelFolder.open(folder).pathways().load()
      for (one, other) in zip(again.parameters, grown.parameters) {
        expectSameBits(one.value.values, other.value.values, one.name)
      }
      // The task of another model in its place.
      let stranger = try Pathways(config, key: RandomKey(seed: 3))
      try PathwaysFolder.save(stranger, to: folder + "/other")
      try Self.copy("task-a.safetensors", from: folder + "/other", to: folder)
      #expect(throws: ModelFolderError.mixed(path: folder, file: "task-a.safetensors")) {
        try ModelFolder.open(folder).pathways().load()
      }
    }
  }

  @Test("are converted without following links out of them")
  func links() throws {
    try withTemporaryFolder { base in
      let (source, outside, target) = (base + "/model", base + "/outside", base + "/made")
      try language(seed: 1, shard: nil, to: source)
      for path in [outside, target] {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      }
      try "{\"secret\": 1}".write(
        toFile: outside + "/config.json", atomically: false, encoding: .utf8)
      let link = source + "/1_Pooling"
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: outside)
      #expect(throws: ModelFolderError.leavesFolder(path: link + "/config.json")) {
        try ModelFolder.convert(source, to: target)
      }
      // The way back: what is written does not leave by a link either.
      try FileManager.default.removeItem(atPath: link)
      try FileManager.default.createDirectory(atPath: link, withIntermediateDirectories: false)
      try "{}".write(toFile: link + "/config.json", atomically: false, encoding: .utf8)
      try FileManager.default.createSymbolicLink(
        atPath: target + "/1_Pooling", withDestinationPath: outside)
      #expect(throws: FileError.self) { try ModelFolder.convert(source, to: target) }
      #expect(
        FileManager.default.contents(atPath: outside + "/config.json")
          == Data("{\"secret\": 1}".utf8))
    }
  }
}
