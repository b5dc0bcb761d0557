import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// A process that ends here does nothing afterwards.
private struct Crash: Error {}

@Suite("Files that change together")
struct FolderCommitTests {
  private static let old = ["a.json": "old a", "model.safetensors": "old", "in/c.json": "old c"]
  private static let new = ["a.json": "new a", "b.json": "new b", "in/c.json": "new c"]

  private func write(_ contents: [String: String], to folder: String, _ files: Files = Files())
    throws
  {
    try files.commit(to: folder, removing: { $0 == "model.safetensors" }) { draft in
      for (name, text) in contents.sorted(by: { $0.key < $1.key }) {
        try draft.write(name, text.utf8)
      }
    }
  }

  private func read(_ names: some Sequence<String>, in folder: String) -> [String: String] {
    var found: [String: String] = [:]
    for name in names {
      let data = FileManager.default.contents(atPath: Files.place(of: name, in: folder))
      found[name] = data.map { String(decoding: $0, as: UTF8.self) }
    }
    return found
  }

  @Test("are all old or all new wherever the process ends, and the next writer tidies up")
  func crashes() throws {
    var operations = 0
    try withTemporaryFolder { folder in
      try write(Self.old, to: folder + "/m")
      try write(Self.new, to: folder + "/m", Files { _ in operations += 1 })
    }
    #expect(operations > 20)
    var outcomes: Set<Bool> = []
    for stop in 0..<operations {
      try withTemporaryFolder { base in
        let folder = base + "/m"
        try write(Self.old, to: folder)
        var done = 0
        #expect(throws: Crash.self) {
          try write(
            Self.new, to: folder,
            Files { _ in
              if done >= stop { throw Crash() }
              done += 1
            })
        }
        let found = read(["a.json", "in/c.json"], in: folder)
        let isNew = found == ["a.json": "new a", "in/c.json": "new c"]
        #expect(isNew || found == ["a.json": "old a", "in/c.json": "old c"], "stop \(stop)")
        if !isNew { #expect(read(Self.old.keys, in: folder) == Self.old, "stop \(stop)") }
        // From outside, through the folder's parent, a file of `in` is the same.
        #expect(
          read(["c.json"], in: folder + "/in") == ["c.json": isNew ? "new c" : "old c"],
          "stop \(stop)")
        outcomes.insert(isNew)
        try write(Self.new, to: folder)
        #expect(try Files.names(in: folder).sorted() == ["a.json", "b.json", "in"])
        #expect(read(Self.new.keys, in: folder) == Self.new)
      }
    }
    #expect(outcomes == [true, false])
  }

  @Test("do not leave the folder by a link, planted inside or in the place of a file")
  func links() throws {
    try withTemporaryFolder { base in
      let (folder, outside) = (base + "/m", base + "/outside")
      for path in [folder, outside] {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      }
      try Data("kept".utf8).write(to: URL(fileURLWithPath: outside + "/c.json"))
      func link(_ name: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(
          atPath: folder + "/" + name, withDestinationPath: target)
      }
      try link("in", to: outside)
      try link(".tmp-save-\(Files.process)", to: outside)
      try link("a.json", to: outside + "/c.json")
      #expect(throws: FileError.self) { try write(Self.new, to: folder) }
      #expect(read(["c.json"], in: outside) == ["c.json": "kept"])
      try Files().removeTree(folder)
      #expect(read(["c.json"], in: outside) == ["c.json": "kept"])
      #expect(Files.kind(of: folder) == nil)
    }
  }

  @Test("leave devices and other people's files alone")
  func others() throws {
    #expect(throws: FileError("replace", "/dev/null", code: EINVAL)) {
      try Files().replace("/dev/null", with: "x".utf8)
    }
    try withTemporaryFolder { folder in
      for name in [".tmp-save-999999999", "x.json.tmp-999999999", "notes.tmp-999999999"] {
        try Data().write(to: URL(fileURLWithPath: folder + "/" + name))
      }
      try Files().sweep(folder)
      #expect(try Files.names(in: folder) == ["notes.tmp-999999999"])
    }
  }
}
