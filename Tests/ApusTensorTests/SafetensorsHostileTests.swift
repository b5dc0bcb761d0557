import ApusTensor
import Foundation
import Testing

/// Files made to break a reader: each must end in a typed error, none in a trap.
@Suite("Hostile safetensors")
struct SafetensorsHostileTests {
  let folder = TemporaryFolder()

  /// The header of one tensor.
  private func header(
    dtype: String = "F32", shape: String = "[2]", offsets: String = "[0,8]", more: String = ""
  ) -> String {
    "{\"x\":{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}\(more)}"
  }

  private let eight = [UInt8](repeating: 0, count: 8)

  @Test(
    "refuses a header length that cannot be",
    arguments: [9, 1 << 20, 100_000_001, 1 << 32, 1 << 63, .max - 7, .max] as [UInt64])
  func headerLength(length: UInt64) throws {
    let path = try folder.write(header: "{}      ", length: length, data: [])
    let before = Machine.bytesInUse
    let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
    #expect(error?.description.contains(path) == true)
    #expect(Machine.bytesInUse - before < 16 << 20)
  }

  @Test("refuses every truncation of a good file")
  func truncations() throws {
    let path = folder / "good.safetensors"
    try Safetensors.save(["a": floats([1, 2, 3], [3]), "b": floats([4], [1])], to: path)
    let good = try Data(contentsOf: URL(fileURLWithPath: path))
    let cut = folder.url("cut.safetensors")
    for count in 0..<good.count {
      try good.prefix(count).write(to: cut)
      #expect(throws: SafetensorsError.self, "\(count) bytes") { try Safetensors.load(cut.path) }
    }
    try (good + [0]).write(to: cut)
    #expect(throws: SafetensorsError.self) { try Safetensors.load(cut.path) }
  }

  @Test(
    "refuses offsets that leave the data",
    arguments: [
      "[0,9]", "[8,16]", "[4,8]", "[8,0]", "[-8,0]", "[0,-8]", "[0,18446744073709551615]",
      "[9223372036854775800,9223372036854775807]", "[99999999999999999999999,0]", "[0]", "[]",
      "[0,8,16]", "[0.0,8]", "[0,8e0]", "[00,8]", "[\"0\",8]", "null", "[0,8", "{}", "[true,8]",
    ])
  func offsets(text: String) throws {
    let path = try folder.write(header: header(offsets: text), data: eight)
    #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
  }

  @Test(
    "refuses shapes that do not fit the bytes",
    arguments: [
      "[3]", "[1]", "[]", "[0]", "[-2]", "[4611686018427387904,2]", "[4611686018427387905]",
      "[4294967296,4294967296]", "[9223372036854775807,9223372036854775807]", "[2,0]",
      "[0,9223372036854775807,9223372036854775807]", "[18446744073709551618]", "[1.0,2]", "2",
    ])
  func shapes(text: String) throws {
    let path = try folder.write(header: header(shape: text), data: eight)
    #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
  }

  @Test("refuses a shape whose zero hides an overflow")
  func hiddenOverflow() throws {
    for shape in ["[0,4611686018427387904,4]", "[4611686018427387904,4,0]"] {
      let path = try folder.write(header: header(shape: shape, offsets: "[0,0]"), data: [])
      #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
    }
  }

  @Test(
    "refuses types it does not know, naming them",
    arguments: ["F64", "U8", "BOOL", "F8_E4M3", "F4", "f32", "", "U64"])
  func types(dtype: String) throws {
    let sizes = ["F64": 8, "U64": 8, "U8": 1, "BOOL": 1, "F8_E4M3": 1]
    let shape = "[\(8 / (sizes[dtype] ?? 8))]"
    let path = try folder.write(header: header(dtype: dtype, shape: shape), data: eight)
    #expect(throws: SafetensorsError.unsupportedType(path: path, tensor: "x", found: dtype)) {
      try Safetensors.load(path)
    }
  }

  @Test("refuses tensors that overlap, leave holes or leave a rest")
  func layout() throws {
    func second(_ offsets: String) -> String {
      ",\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":\(offsets)}"
    }
    for (offsets, bytes) in [("[0,8]", 8), ("[4,12]", 12), ("[12,20]", 20), ("[8,16]", 20)] {
      let path = try folder.write(
        header: header(more: second(offsets)), data: [UInt8](repeating: 0, count: bytes))
      #expect(throws: SafetensorsError.self, "\(offsets)") { try SafetensorsFile(path: path) }
    }
    let fine = try folder.write(
      header: header(more: second("[8,16]")), data: [UInt8](repeating: 0, count: 16))
    #expect(try Safetensors.load(fine).count == 2)
  }

  @Test(
    "refuses JSON that is not strict",
    arguments: [
      "", " {}", "[]", "null", "{", "}", "{}{}", "{},", "{\"x\"}", "{\"x\":}", "{\"x\":1}",
      "{\"x\":{}}", "{\"x\":{\"dtype\":\"F32\"}}", "{\"__metadata__\":{\"a\":1}}",
      "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "{\"__metadata__\":{},\"__metadata__\":{}}",
      "{\"__metadata__\":{\"\u{1}\":\"\"}}", "{\"__metadata__\":{\"\\ud800\":\"\"}}",
      "{\"__metadata__\":{\"\\ud800\\u0041\":\"\"}}", "{\"__metadata__\":{\"\\udc00\":\"\"}}",
      "{\"__metadata__\":{\"\\x\":\"\"}}", "{\"__metadata__\":{\"\\u12\":\"\"}}",
      "{\"__metadata__\":{\"\\u12G4\":\"\"}}", "{\"__metadata__\":{\"a\":\"b\"},}",
      "{\"__metadata__\":{\"a\":\"", "{\"__metadata__\":{\"a\":\"\\", "{'__metadata__':{}}",
    ])
  func json(text: String) throws {
    let path = try folder.write(header: text, data: [])
    let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
    guard case .malformedHeader(path, _, let offset) = error else {
      Issue.record("\(text) gave \(error.map(String.init(describing:)) ?? "nothing")")
      return
    }
    #expect(offset >= 8 && offset <= 8 + text.utf8.count)
  }

  @Test("refuses the same name twice, also written in two ways, and keys it does not know")
  func duplicates() throws {
    let tensor = "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
    for more in [",\"x\":\(tensor)", ",\"\\u0078\":\(tensor)"] {
      let path = try folder.write(header: header(more: more), data: eight)
      #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
    }
    for member in ["\"dtype\":\"F32\"", "\"strides\":[1]"] {
      let path = try folder.write(
        header: "{\"x\":{\(member),\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        data: eight)
      #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
    }
  }

  @Test("refuses text that is not UTF-8")
  func invalidText() throws {
    let bytes: [UInt8] = Array("{\"".utf8) + [0xC3, 0x28] + Array("\":{}}".utf8)
    let url = folder.url("bad.safetensors")
    try Data(littleEndian(UInt64(bytes.count)) + bytes).write(to: url)
    #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: url.path) }
  }

  @Test("refuses deep nesting without recursing")
  func depth() throws {
    for opening in ["[", "{\"a\":"] {
      let deep = String(repeating: opening, count: 500_000)
      for text in [deep, "{\"x\":\(deep)", header(shape: deep), "{\"__metadata__\":\(deep)"] {
        let path = try folder.write(header: text, data: [])
        #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
      }
    }
  }

  @Test("refuses sizes that add up past 64 bits")
  func sums() throws {
    let huge = "{\"dtype\":\"F32\",\"shape\":[2305843009213693951],\"data_offsets\":"
    let path = try folder.write(
      header: """
        {"a":\(huge)[0,9223372036854775804]},"b":\(huge)[9223372036854775804,18446744073709551608]}}
        """, data: eight)
    #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
  }

  @Test("keeps messages short, whatever a file calls its tensors")
  func messages() throws {
    let name = String(repeating: "n", count: 50_000)
    let path = try folder.write(
      header: "{\"\(name)\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", data: eight)
    let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
    #expect((error?.description.count ?? 10_000) < 1000)
  }

  @Test("never traps on flipped bytes", arguments: 0..<8 as Range<UInt64>)
  func fuzz(seed: UInt64) throws {
    let path = folder / "good.safetensors"
    try Safetensors.save(
      ["a.weight": floats([1, 2, 3, 4], [2, 2]), "ids": Tensor([Int32(1), 2], [2])], to: path)
    let good = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
    var random = PhiloxGenerator(RandomKey(seed: seed))
    let url = folder.url("flipped.safetensors")
    var refused = 0
    for _ in 0..<500 {
      var bad = good
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let index = Int.random(in: 0..<bad.count, using: &random)
        bad[index] = UInt8.random(in: 0...255, using: &random)
      }
      try Data(bad).write(to: url)
      do {
        for tensor in try Safetensors.load(url.path).values { #expect(bytes(tensor).count <= 24) }
      } catch is SafetensorsError {
        refused += 1
      }
    }
    #expect(refused > 100)
  }

  @Test("never traps on tiny files", arguments: 0..<4 as Range<UInt64>)
  func tiny(seed: UInt64) throws {
    var random = PhiloxGenerator(RandomKey(seed: seed, stream: 1))
    let url = folder.url("tiny.safetensors")
    for count in 0...64 {
      var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      try Data(bytes).write(to: url)
      #expect(throws: SafetensorsError.self) { try Safetensors.load(url.path) }
      guard count >= 8 else { continue }
      bytes.replaceSubrange(0..<8, with: littleEndian(UInt64(count - 8)))
      try Data(bytes).write(to: url)
      #expect(throws: SafetensorsError.self) { try Safetensors.load(url.path) }
    }
  }
}
