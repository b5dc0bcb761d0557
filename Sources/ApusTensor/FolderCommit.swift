#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// Files of a folder that change together: whatever happens, a reader that asks ``Files/place(of:in:)``
/// finds all of the old ones or all of the new ones.
///
///     .tmp-save-<process>/   where new files are written and flushed
///     .saved/                the same folder after one rename: now its files are the folder's
///
/// Files in `.saved` stand for those of their names until they are moved to their places, one after the
/// other. What a crash leaves there, the next commit moves.
extension Files {
  private static let pending = ".saved"
  private static let obsoleteList = ".obsolete"

  /// Writes files into a folder at once, and removes what they make obsolete.
  ///
  /// Left-over files of dead processes are swept out.
  /// - Parameters:
  ///   - folder: The folder; made when missing.
  ///   - isObsolete: Which files go, by name, unless written anew: files of weights only.
  ///   - body: Writes the files.
  /// - Throws: `FileError`, and what `body` throws; then the old files stay.
  package func commit(
    to folder: String, removing isObsolete: (String) -> Bool = { _ in false },
    _ body: (FolderDraft) throws -> Void
  ) throws {
    try makeFolder(folder)
    guard let lock = try Self.lock(folder) else {
      throw FileError("lock the folder", folder, code: EWOULDBLOCK)
    }
    defer { Self.unlock(lock) }
    try finishCommit(in: folder)
    if let parent = Self.parent(of: folder) { try finishCommit(in: parent) }
    try sweep(folder)
    let draft = FolderDraft(path: "\(folder)/.tmp-save-\(Self.process)", files: self)
    do {
      try removeTree(draft.path)
      try makeFolder(draft.path)
      try body(draft)
      let written = try draft.names()
      let obsolete = try Self.names(in: folder).filter { isObsolete($0) && !written.contains($0) }
      if !obsolete.isEmpty {
        try draft.write(Self.obsoleteList, obsolete.joined(separator: "\n").utf8)
      }
      for name in written where Self.kind(of: "\(draft.path)/\(name)") == .folder {
        try syncFolder("\(draft.path)/\(name)")
      }
      try syncFolder(draft.path)
      try rename(draft.path, to: "\(folder)/\(Self.pending)")
    } catch {
      try? removeTree(draft.path)
      throw error
    }
    try syncFolder(folder)
    try finishCommit(in: folder)
  }

  /// Moves the files of a commit to their places.
  private func finishCommit(in folder: String) throws {
    let pending = "\(folder)/\(Self.pending)"
    guard Self.kind(of: pending) == .folder else { return }
    let names = try Self.names(in: pending)
    if names.contains(Self.obsoleteList) {
      let list = try MappedFile("\(pending)/\(Self.obsoleteList)")
      for name in String(decoding: list.bytes, as: UTF8.self).split(separator: "\n")
      where !name.contains("/") && name.contains(".safetensors") && !names.contains(String(name)) {
        try remove("\(folder)/\(name)")
      }
    }
    for name in names where name != Self.obsoleteList {
      try move("\(pending)/\(name)", to: "\(folder)/\(name)")
    }
    try remove("\(pending)/\(Self.obsoleteList)")
    try removeFolder(pending)
    try syncFolder(folder)
  }

  /// Moves a file, or the files of a folder one by one: others that lie there stay.
  private func move(_ path: String, to place: String) throws {
    guard Self.kind(of: path) == .folder else { return try rename(path, to: place) }
    if Self.kind(of: place) == nil { try makeFolder(place) }
    // A link would lead them out of the folder.
    guard Self.kind(of: place) == .folder else {
      throw FileError("write into", place, code: ENOTDIR)
    }
    for name in try Self.names(in: path) {
      try rename("\(path)/\(name)", to: "\(place)/\(name)")
    }
    try syncFolder(place)
    try removeFolder(path)
  }

  /// Where a file of a folder is: at its place, or still among those of a commit, of this folder or of
  /// the one that it stands in.
  package static func place(of name: String, in folder: String) -> String {
    var candidates = ["\(folder)/\(pending)/\(name)"]
    if let parent = parent(of: folder), let real = resolved(folder) {
      let own = real.dropFirst(parent.utf8.last == 0x2F ? parent.count : parent.count + 1)
      candidates.append("\(parent)/\(pending)/\(own)/\(name)")
    }
    return candidates.first { kind(of: $0) == .file } ?? "\(folder)/\(name)"
  }

  /// The folder that a folder stands in, where that has a commit to finish.
  private static func parent(of folder: String) -> String? {
    guard let real = resolved(folder) else { return nil }
    let parent = self.folder(of: real)
    return kind(of: "\(parent)/\(pending)") == .folder ? parent : nil
  }

  /// Removes what processes that are gone left half done: `.tmp-…-<process>`, and `….tmp-<process>`
  /// beside a file that was to be replaced.
  package func sweep(_ folder: String) throws {
    for name in try Self.names(in: folder) {
      guard let mark = name.firstRange(of: ".tmp-"), isOurs(name[..<mark.lowerBound]),
        let process = name.split(separator: "-").last.flatMap({ Int32($0) }),
        // Of our own number there can only be what an earlier process left: we have just begun.
        process == Self.process || !Self.isAlive(process: process)
      else { continue }
      try removeTree("\(folder)/\(name)")
    }
  }

  private func isOurs(_ name: Substring) -> Bool {
    ["", "LATEST", "BEST"].contains(name)
      || [".json", ".safetensors", ".html", ".svg"].contains { name.hasSuffix($0) }
  }
}

/// The new files of a folder while they are written.
package struct FolderDraft {
  let path: String
  fileprivate let files: Files

  /// Writes a file and flushes it.
  ///
  /// - Parameters:
  ///   - name: Its name in the folder, or in a folder of it: `winner/config.json`.
  ///   - body: Fills it.
  /// - Throws: ``FileError``, and what `body` throws.
  package func write(_ name: String, _ body: (FileWriter) throws -> Void) throws {
    let place = "\(path)/\(name)"
    try files.makeFolder(Files.folder(of: place))
    try files.write(place, body)
  }

  /// Writes a file of bytes in memory.
  package func write(_ name: String, _ bytes: some Sequence<UInt8>) throws {
    try write(name) { try $0.write(Array(bytes)) }
  }

  /// Writes a file of the bytes of another.
  package func copy(_ source: String, to name: String) throws {
    let file = try MappedFile(source)
    try write(name) { try $0.write(file.bytes) }
  }

  fileprivate func names() throws -> Set<String> { Set(try Files.names(in: path)) }
}
