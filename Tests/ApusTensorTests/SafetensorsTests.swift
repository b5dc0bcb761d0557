import ApusTensor
import Foundation
import Testing

@Suite("Safetensors")
struct SafetensorsTests {
  let folder = TemporaryFolder()

  @Test("keeps every type to the bit")
  func roundTrip() throws {
    let special = floats([1, -0.0, .infinity, .leastNonzeroMagnitude, .nan, 3.25], [2, 3])
    let tensors = [
      "plain": special, "half": special.converted(to: .float16), "odd": floats([1, 2, 3], [3]),
      "brain": floats([1, 2, 3], [3]).converted(to: .bfloat16), "scalar": Tensor(7),
      "ids": Tensor([Int32.min, -1, Int32.max], [3, 1]), "empty": Tensor([Float](), [0, 4]),
      "name \"with\" \\ ünïcode \u{1F426} \n": floats([5], [1]),
    ]
    let path = folder / "model.safetensors"
    try Safetensors.save(tensors, to: path, metadata: ["a": "b\t\"c\"", "format": "pt"])
    let file = try SafetensorsFile(path: path)
    #expect(file.metadata == ["a": "b\t\"c\"", "format": "pt"])
    let loaded = try Safetensors.load(path)
    #expect(Set(loaded.keys) == Set(tensors.keys))
    for (name, tensor) in tensors {
      let found = try #require(loaded[name])
      #expect(found.shape == tensor.shape && found.dtype == tensor.dtype, "\(name)")
      #expect(bytes(found) == bytes(tensor), "\(name)")
      #expect(found.contents.storage.isMapped || found.count == 0, "\(name) was copied")
    }
  }

  @Test("writes equal files for equal tensors")
  func deterministic() throws {
    let tensors = ["b": floats([1, 2], [2]), "a": floats([3], []), "c": floats([1], [1])]
    try Safetensors.save(tensors, to: folder / "one.safetensors")
    try Safetensors.save(tensors, to: folder / "two.safetensors")
    let one = try Data(contentsOf: folder.url("one.safetensors"))
    let two = try Data(contentsOf: folder.url("two.safetensors"))
    #expect(one == two)
  }

  @Test("saves over the very file that is mapped")
  func saveOverSource() throws {
    let path = folder / "model.safetensors"
    let values = (0..<10_000).map { Float($0) }
    try Safetensors.save(["a": Tensor(values, [100, 100])], to: path)
    var loaded = try Safetensors.load(path)
    try Safetensors.save(loaded, to: path)
    #expect(loaded["a"]?.values == values)
    loaded = try Safetensors.load(path)
    #expect(loaded["a"]?.values == values)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
  }

  @Test("copies what is not aligned in the file")
  func unaligned() throws {
    // Three bytes of BOOL put the float at an odd address, and a header may have any length.
    let data: [UInt8] = [1, 0, 1] + [1.5, -2].flatMap { littleEndian(Float($0).bitPattern) }
    let path = try folder.write(
      header: """
        {"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]},\
        "x":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}}
        """, data: data)
    #expect(try SafetensorsFile(path: path).tensor("x").values == [1.5, -2])
    #expect(try Safetensors.load(path) { $0 == "x" }.keys.sorted() == ["x"])
    #expect(
      throws: SafetensorsError.unsupportedType(path: path, tensor: "mask", found: "BOOL")
    ) {
      try Safetensors.load(path)
    }
  }

  @Test("reads 64-bit integers that fit into 32 bits, and names the one that does not")
  func wideIntegers() throws {
    func file(_ values: [Int64]) throws -> String {
      try folder.write(
        header: """
          {"ids":{"dtype":"I64","shape":[\(values.count)],"data_offsets":[0,\(8 * values.count)]}}
          """, data: values.flatMap { littleEndian($0) })
    }
    let good: [Int64] = [0, -1, Int64(Int32.max), Int64(Int32.min)]
    #expect(try SafetensorsFile(path: file(good)).tensor("ids").integers == good.map(Int32.init))
    let path = try file([5, 1 << 31])
    #expect(
      throws: SafetensorsError.integerOutOfRange(
        path: path, tensor: "ids", index: 1, found: 1 << 31)
    ) {
      try SafetensorsFile(path: path).tensor("ids")
    }
  }

  @Test("accepts an empty set, no metadata, padding and escapes")
  func leniency() throws {
    #expect(try Safetensors.load(folder.write(header: "{}", data: [])).isEmpty)
    #expect(try Safetensors.load(folder.write(header: "{ }  \n", data: [])).isEmpty)
    let path = try folder.write(
      header: """
        { "\\u0061\\ud83d\\ude00\\/" : {"shape":[],"data_offsets":[0, 4],"dtype":"F32"} }
        """, data: [0, 0, 128, 63])
    #expect(try SafetensorsFile(path: path).tensor("a\u{1F600}/").scalar == 1)
  }

  @Test("refuses to write a tensor under the name of the metadata")
  func reservedName() {
    #expect(throws: SafetensorsError.self) {
      try Safetensors.save(["__metadata__": Tensor(1)], to: folder / "a.safetensors")
    }
    #expect(!FileManager.default.fileExists(atPath: folder / "a.safetensors"))
  }

  @Test("leaves the old file and no other when the disk fills at any moment")
  func fullDisk() throws {
    let path = folder / "model.safetensors"
    try Safetensors.save(["a": floats([1], [1])], to: path)
    let old = try Data(contentsOf: URL(fileURLWithPath: path))
    for failing in 0..<100 {
      var count = 0
      let files = Files { operation in
        defer { count += 1 }
        if count == failing { throw FileError("write", operation.path, code: ENOSPC) }
      }
      do {
        try Safetensors.save(["a": floats([2], [1])], with: files.replace, path)
        #expect(failing > 4)
        return
      } catch let error as FileError {
        #expect(error.isFull)
        let now = try Data(contentsOf: URL(fileURLWithPath: path))
        let written = try Safetensors.load(path)["a"]?.values
        // Only after the rename may the new one stand there.
        #expect(now == old || written == [2])
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
      }
    }
  }
}

@Suite("Safetensors in shards")
struct SafetensorsShardTests {
  let folder = TemporaryFolder()

  private func index(_ map: String) throws {
    try Data("{\"metadata\":{\"total_size\":8,\"x\":[1.5e3,null]},\"weight_map\":{\(map)}}".utf8)
      .write(to: folder.url("model.safetensors.index.json"))
  }

  @Test("reads all shards of a folder")
  func shards() throws {
    try Safetensors.save(["a": floats([1, 2], [2])], to: folder / "m-1.safetensors")
    try Safetensors.save(["b": floats([3], [1])], to: folder / "m-2.safetensors")
    try index("\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"")
    let loaded = try Safetensors.load(folder.path)
    #expect(loaded.mapValues(\.values) == ["a": [1, 2], "b": [3]])
    #expect(try Safetensors.load(folder.path) { $0 == "b" }.count == 1)
    try index("\"c\":\"m-1.safetensors\"")
    #expect(throws: SafetensorsError.self) { try Safetensors.load(folder.path) }
    // A single file goes first, as elsewhere.
    try Safetensors.save(["whole": floats([1], [])], to: folder / "model.safetensors")
    #expect(try Safetensors.load(folder.path).keys.sorted() == ["whole"])
  }

  @Test(
    "refuses an index that points elsewhere",
    arguments: [
      "../m.safetensors", "/etc/m.safetensors", "a/../m.safetensors", "..", ".", "",
      "m\\u0000.safetensors", "m.safetensors\\u0000", "m.bin", "gone.safetensors",
      "..\\\\m.safetensors", "link.safetensors", String(repeating: "m", count: 4096),
      String(repeating: "m", count: 300) + ".safetensors",
    ])
  func escapes(shard: String) throws {
    let outside = TemporaryFolder()
    try Safetensors.save(["a": floats([1], [1])], to: outside / "m.safetensors")
    try FileManager.default.createSymbolicLink(
      atPath: folder / "link.safetensors", withDestinationPath: outside / "m.safetensors")
    try Safetensors.save(["a": floats([1], [1])], to: folder / "m.safetensors")
    try index("\"a\":\"\(shard)\"")
    let error = #expect(throws: SafetensorsError.self) { try Safetensors.load(folder.path) }
    guard case .badShard(_, "a", _, _) = error else {
      Issue.record("\(shard.prefix(40)) gave \(error.map(String.init(describing:)) ?? "nothing")")
      return
    }
    #expect(String(describing: error).count < 1000)
  }

  @Test("follows the links of a hub cache")
  func hubCache() throws {
    let (blobs, snapshot) = (folder / "models--a--b/blobs", folder / "models--a--b/snapshots/1f")
    for path in [blobs, snapshot] {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    try Safetensors.save(["a": floats([4], [1])], to: blobs + "/0123")
    try FileManager.default.createSymbolicLink(
      atPath: snapshot + "/m.safetensors", withDestinationPath: "../../blobs/0123")
    try Data("{\"weight_map\":{\"a\":\"m.safetensors\"}}".utf8)
      .write(to: URL(fileURLWithPath: snapshot + "/model.safetensors.index.json"))
    #expect(try Safetensors.load(snapshot)["a"]?.values == [4])
  }

  @Test(
    "refuses a broken index",
    arguments: [
      "", "{", "[]", "{}", "{\"weight_map\":[]}", "{\"weight_map\":{\"a\":1}}",
      "{\"weight_map\":{\"a\":\"m.safetensors\",\"a\":\"m.safetensors\"}}",
      "{\"metadata\":\(String(repeating: "[", count: 1_000_000)),\"weight_map\":{}}",
      "{\"metadata\":\(String(repeating: "{\"a\":", count: 100_000)),\"weight_map\":{}}",
      "{\"metadata\":1e999,\"weight_map\":{}}", "{\"weight_map\":{}} x",
    ])
  func brokenIndex(text: String) throws {
    try Data(text.utf8).write(to: folder.url("model.safetensors.index.json"))
    #expect(throws: SafetensorsError.self) { try Safetensors.load(folder.path) }
  }

  @Test(
    "refuses formats that run code, naming safetensors",
    arguments: ["w.bin", "w.pt", "w.PTH", "w.pkl", "w.h5", "w.ckpt", "w.npz", "w.keras"])
  func foreign(name: String) throws {
    try Data([0x80, 2, 0x63]).write(to: folder.url(name))
    let error = #expect(throws: SafetensorsError.self) { try Safetensors.load(folder / name) }
    #expect(error?.description.contains("safetensors") == true)
    #expect(error?.description.contains(name) == true)
  }

  @Test("names safetensors when a folder holds only pickles, or nothing")
  func foreignFolder() throws {
    #expect(throws: SafetensorsError.noWeights(path: folder.path)) {
      try Safetensors.load(folder.path)
    }
    try Data([1]).write(to: folder.url("pytorch_model.bin"))
    let error = #expect(throws: SafetensorsError.self) { try Safetensors.load(folder.path) }
    #expect(error?.description.contains("safetensors") == true)
  }

  @Test("says which file it cannot open")
  func missingFile() throws {
    let error = #expect(throws: FileError.self) {
      try Safetensors.load(folder / "gone.safetensors")
    }
    #expect(error?.description.contains("gone.safetensors") == true)
    #expect(throws: FileError.self) { try SafetensorsFile(path: folder.path) }
    #expect(throws: FileError.self) { try SafetensorsFile(path: "/dev/null") }
    #expect(throws: FileError.self) { try SafetensorsFile(path: "a\0b") }
  }
}

// MARK: Support

func floats(_ values: [Float], _ shape: Shape) -> Tensor { Tensor(values, shape) }

func bytes(_ tensor: Tensor) -> [UInt8] { tensor.withBytes { Array($0) } }

func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// A folder that goes with the test that made it.
final class TemporaryFolder: Sendable {
  let path: String

  init() {
    path = NSTemporaryDirectory() + "apus-" + UUID().uuidString
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func url(_ name: String) -> URL { URL(fileURLWithPath: "\(path)/\(name)") }

  static func / (folder: TemporaryFolder, name: String) -> String { "\(folder.path)/\(name)" }

  /// Writes a safetensors file part by part, and returns its path.
  func write(header: String, length: UInt64? = nil, data: [UInt8]) throws -> String {
    let path = self / "\(UUID().uuidString).safetensors"
    let all = littleEndian(length ?? UInt64(header.utf8.count)) + Array(header.utf8) + data
    try Data(all).write(to: URL(fileURLWithPath: path))
    return path
  }
}
