import ApusTensor
import Foundation
import Testing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

@Suite("Reading files")
struct FileReadingTests {
  /// A folder that goes away.
  private func inFolder(_ body: (String) throws -> Void) throws {
    let path = FileManager.default.temporaryDirectory.path + "/apus-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
  }

  @Test("takes a file up to its limit, and not a byte more", arguments: [0, 1, 65_536, 200_000])
  func limit(size: Int) throws {
    try inFolder { folder in
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try Data(bytes).write(to: URL(filePath: folder + "/file"))
      #expect(try Files.contents(of: folder + "/file", limit: size) == bytes)
      #expect(try Files.contents(of: folder + "/file", limit: 1 << 30) == bytes)
      guard size > 0 else { return }
      let error = #expect(throws: FileError.self) {
        try Files.contents(of: folder + "/file", limit: size - 1)
      }
      #expect(error?.code == EFBIG && error?.isRefused == true)
    }
  }

  @Test("a file that grows too large while it is written is a failure of the disk, not bad data")
  func writing() {
    #expect(FileError("write", "model", code: EFBIG).exitStatus == .inputOutput)
    #expect(FileError("read more than 3 bytes of", "model", code: EFBIG).exitStatus == .badData)
  }

  @Test("takes a file of the system, whose size is said to be 0")
  func system() throws {
    guard FileManager.default.fileExists(atPath: "/proc/self/status") else { return }
    #expect(try Files.contents(of: "/proc/self/status", limit: 1 << 20).count > 100)
    #expect(throws: FileError.self) { try Files.contents(of: "/proc/self/status", limit: 10) }
  }

  @Test("refuses at once what is no file")
  func special() throws {
    try inFolder { folder in
      #expect(mkfifo(folder + "/pipe", 0o600) == 0)
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/zero", withDestinationPath: "/dev/zero")
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/loop", withDestinationPath: "loop")
      let expected = [
        ("pipe", ESPIPE), ("zero", ESPIPE), (".", EISDIR), ("loop", ELOOP), ("none", ENOENT),
      ]
      for (name, code) in expected {
        let error = #expect(throws: FileError.self) {
          try Files.contents(of: folder + "/" + name, limit: 100)
        }
        #expect(error?.code == code && error?.description.hasSuffix(".") == true)
        #expect(throws: FileError.self) { try MappedFile(folder + "/" + name) }
      }
    }
  }

  @Test("gives lines as they come, and of one that is too long no more than tells it")
  func lines() throws {
    try inFolder { folder in
      let long = String(repeating: "x", count: 3 << 20)
      let text = "one\r\n\ntwo \u{E9}\n\(long)\nthree\rfour"
      let file = folder + "/lines"
      try Data(text.utf8).write(to: URL(filePath: file))
      let handle = try #require(FileHandle(forReadingAtPath: file))
      var reader = LineReader(descriptor: handle.fileDescriptor)
      var lines: [String] = []
      while let line = try reader.next() { lines.append(line) }
      #expect(lines.count == 5)
      #expect(lines[0] == "one" && lines[1].isEmpty && lines[2] == "two \u{E9}")
      #expect(lines[3].utf8.count == LineReader.limit + 1)
      #expect(lines[4].utf8.elementsEqual("three\rfour".utf8))
      #expect(try reader.next() == nil)
    }
  }
}
