#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// The operations that change files, done so that a crash at any instant leaves the old state or
/// the new one: what is written is flushed to the disk before a name points to it.
package struct Files {
  /// One change, before it happens.
  package struct Operation {
    /// What is about to be done.
    package enum Kind: String, Sendable { case makeFolder, create, write, sync, rename, remove }
    /// What is about to be done.
    package let kind: Kind
    /// To which file or folder.
    package let path: String
  }

  /// Called before every operation; what it throws is what the operation throws. For tests that
  /// end a run, or fill the disk, at any chosen instant.
  package var before: (Operation) throws -> Void

  /// Creates the file layer.
  package init(before: @escaping (Operation) throws -> Void = { _ in }) { self.before = before }

  /// Makes a folder, and those above it, unless it exists.
  package func makeFolder(_ path: String) throws {
    if Self.isFolder(path) { return }
    let parent = Self.folder(of: path)
    if parent != path, !Self.isFolder(parent) { try makeFolder(parent) }
    try before(Operation(kind: .makeFolder, path: path))
    guard mkdir(path, 0o777) == 0 || (errno == EEXIST && Self.isFolder(path)) else {
      throw FileError("create the folder", path)
    }
  }

  /// Makes a file in the place of one that has its name, lets `body` fill it, and flushes it to the
  /// disk. A link of that name is replaced, never followed.
  package func write(_ path: String, _ body: (FileWriter) throws -> Void) throws {
    try before(Operation(kind: .create, path: path))
    func make() -> Int32 {
      uninterrupted { open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666) }
    }
    var descriptor = make()
    if descriptor < 0, errno == EEXIST, unlink(path) == 0 { descriptor = make() }
    guard descriptor >= 0 else { throw FileError("create", path) }
    do {
      let writer = FileWriter(descriptor: descriptor, path: path, before: before)
      try body(writer)
      try sync(descriptor, path)
    } catch {
      _ = close(descriptor)
      throw error
    }
    // Some file systems report a full disk only here. An interrupted close has closed.
    guard close(descriptor) == 0 || errno == EINTR else { throw FileError("write", path) }
  }

  /// Replaces a file as a whole: a reader finds the old contents or the new, and an old one
  /// that is open or mapped stays as it was.
  package func replace(_ path: String, _ body: (FileWriter) throws -> Void) throws {
    // A device or a pipe is no file to put another in the place of.
    guard Self.kind(of: path) != .other else { throw FileError("replace", path, code: EINVAL) }
    let temporary = "\(path).tmp-\(getpid())"
    do {
      try write(temporary, body)
      try rename(temporary, to: path)
    } catch {
      try? remove(temporary)
      throw error
    }
    try syncFolder(Self.folder(of: path))
  }

  /// Replaces a file by bytes in memory.
  package func replace(_ path: String, with bytes: some Sequence<UInt8>) throws {
    try replace(path) { try $0.write(Array(bytes)) }
  }

  /// Gives a file or folder another name, in one instant.
  package func rename(_ path: String, to new: String) throws {
    try before(Operation(kind: .rename, path: new))
    #if canImport(Darwin)
      let status = Darwin.rename(path, new)
    #elseif canImport(Musl)
      let status = Musl.rename(path, new)
    #else
      let status = Glibc.rename(path, new)
    #endif
    guard status == 0 else { throw FileError("rename '\(path)' to", new) }
  }

  /// Removes whatever has this name: a file, a link itself, or a folder with all that is in it. No link
  /// is followed, so nothing that lies elsewhere is touched.
  package func removeTree(_ path: String) throws {
    guard let kind = Self.kind(of: path) else { return }
    guard kind == .folder else { return try remove(path) }
    let descriptor = uninterrupted { open(path, Self.folderFlags | O_NOFOLLOW) }
    guard descriptor >= 0 else { throw FileError("open the folder", path) }
    defer { _ = close(descriptor) }
    try removeContents(of: descriptor, path, depth: 0)
    try removeFolder(path)
  }

  /// By descriptors, so that no part of the path can become a link in the meantime.
  private func removeContents(of folder: Int32, _ path: String, depth: Int) throws {
    guard depth < 64 else { throw FileError("remove", path, code: ELOOP) }
    for name in try Self.names(in: folder, path) {
      let full = "\(path)/\(Self.text(name))"
      try before(Operation(kind: .remove, path: full))
      if unlinkat(folder, name, 0) == 0 || errno == ENOENT { continue }
      let reason = errno
      let inner = uninterrupted { openat(folder, name, Self.folderFlags | O_NOFOLLOW) }
      guard inner >= 0 else { throw FileError("remove", full, code: reason) }
      defer { _ = close(inner) }
      try removeContents(of: inner, full, depth: depth + 1)
      guard unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT else {
        throw FileError("remove the folder", full)
      }
    }
  }

  private static let folderFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC

  /// Removes a file, if there is one.
  package func remove(_ path: String) throws {
    try before(Operation(kind: .remove, path: path))
    guard unlink(path) == 0 || errno == ENOENT else { throw FileError("remove", path) }
  }

  /// Removes an empty folder, if there is one.
  package func removeFolder(_ path: String) throws {
    try before(Operation(kind: .remove, path: path))
    guard rmdir(path) == 0 || errno == ENOENT else { throw FileError("remove the folder", path) }
  }

  /// Flushes the names in a folder to the disk.
  package func syncFolder(_ path: String) throws {
    let descriptor = uninterrupted { open(path, Self.folderFlags) }
    guard descriptor >= 0 else { throw FileError("open the folder", path) }
    defer { _ = close(descriptor) }
    try sync(descriptor, path)
  }

  private func sync(_ descriptor: Int32, _ path: String) throws {
    try before(Operation(kind: .sync, path: path))
    #if canImport(Darwin)
      // fsync leaves the data in the drive's cache there; not every file system knows the other.
      if fcntl(descriptor, F_FULLFSYNC) == 0 { return }
    #endif
    // A few file systems cannot flush a folder, and say so.
    guard uninterrupted({ fsync(descriptor) }) == 0 || errno == EINVAL else {
      throw FileError("flush", path)
    }
  }
}

// MARK: Looking

extension Files {
  /// The parent folder of a path.
  package static func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// What has a name, links not followed.
  package enum Kind: Sendable { case file, folder, link, other }

  /// What has this name, a link being one itself; nil when nothing has.
  package static func kind(of path: String) -> Kind? {
    var status = stat()
    guard lstat(path, &status) == 0 else { return nil }
    return switch status.st_mode & S_IFMT {
    case S_IFREG: .file
    case S_IFDIR: .folder
    case S_IFLNK: .link
    default: .other
    }
  }

  /// The names in a folder, in any order.
  package static func names(in folder: String) throws -> [String] {
    let descriptor = uninterrupted { open(folder, folderFlags) }
    guard descriptor >= 0 else { throw FileError("open the folder", folder) }
    defer { _ = close(descriptor) }
    return try names(in: descriptor, folder).map(text)
  }

  private static func text(_ name: [CChar]) -> String {
    String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The same of an open one, byte for byte.
  private static func names(in folder: Int32, _ path: String) throws -> [[CChar]] {
    let own = uninterrupted { openat(folder, ".", folderFlags) }
    guard own >= 0, let stream = fdopendir(own) else { throw FileError("read the folder", path) }
    defer { _ = closedir(stream) }
    var names: [[CChar]] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else { break }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        Array(bytes.prefix { $0 != 0 }.map { CChar(bitPattern: $0) }) + [0]
      }
      if name != [46, 0], name != [46, 46, 0] { names.append(name) }
    }
    guard errno == 0 else { throw FileError("read the folder", path) }
    return names
  }

  /// Whether there is a folder of this name, also by way of a link.
  package static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Whether there is a regular file of this name, also by way of a link.
  package static func isFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  /// Where a path leads when all links are followed; nil when it leads nowhere.
  package static func resolved(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
  }

  /// Whether a file lies in a folder when all links are followed, or among the `blobs` of the cache of
  /// the Hugging Face hub, to which the files of `snapshots/<revision>` are links.
  package static func isPart(_ path: String, of folder: String) -> Bool {
    guard let real = resolved(path), let home = resolved(folder) else { return false }
    let revisions = self.folder(of: home)
    let isHub = revisions.hasSuffix("/snapshots")
    return real.hasPrefix(home + "/")
      || (isHub && self.folder(of: real) == self.folder(of: revisions) + "/blobs")
  }

  /// Bytes that a user may still write on the disk of `path`; nil when the system does not say.
  package static func freeBytes(at path: String) -> Int? {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return nil }
    let (bytes, overflow) = UInt64(status.f_bavail)
      .multipliedReportingOverflow(by: UInt64(status.f_frsize))
    return overflow ? .max : Int(clamping: bytes)
  }

  /// Whether a process of this number lives.
  package static func isAlive(process: Int32) -> Bool { kill(process, 0) == 0 || errno == EPERM }

  /// The number of this process.
  package static var process: Int32 { getpid() }

  /// Takes the lock of a folder, or of a file, which is made when there is none, until the process
  /// ends or ``unlock(_:)``. Nil when another holds it.
  package static func lock(_ path: String) throws -> Int32? {
    let isFolder = isFolder(path)
    let descriptor = uninterrupted {
      open(path, isFolder ? folderFlags : O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o666)
    }
    guard descriptor >= 0 else { throw FileError(isFolder ? "open" : "create", path) }
    if uninterrupted({ flock(descriptor, LOCK_EX | LOCK_NB) }) == 0 { return descriptor }
    let reason = errno
    _ = close(descriptor)
    // A file system without locks must not keep anybody from working.
    guard reason != EWOULDBLOCK else { return nil }
    return -1
  }

  /// Gives a lock back.
  package static func unlock(_ descriptor: Int32) {
    if descriptor >= 0 { _ = close(descriptor) }
  }
}

/// Writes to one open file, in order.
package final class FileWriter {
  private let descriptor: Int32
  private let path: String
  private let before: (Files.Operation) throws -> Void

  fileprivate init(
    descriptor: Int32, path: String, before: @escaping (Files.Operation) throws -> Void
  ) {
    self.descriptor = descriptor
    self.path = path
    self.before = before
  }

  /// Appends bytes, all of them.
  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    // In pieces, because systems take at most 2 GB at once and so that tests can tear a file.
    let most = 8 << 20
    var written = 0
    while written < bytes.count {
      try before(Files.Operation(kind: .write, path: path))
      let piece = UnsafeRawBufferPointer(
        rebasing: bytes[written..<min(bytes.count, written + most)])
      let count = put(piece)
      if count < 0, errno == EINTR { continue }
      // Nothing written, and no reason given, would go on forever.
      guard count > 0 else { throw FileError("write", path, code: count < 0 ? errno : EIO) }
      written += count
    }
  }

  /// Appends bytes, all of them.
  package func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

  private func put(_ bytes: UnsafeRawBufferPointer) -> Int {
    #if canImport(Darwin)
      Darwin.write(descriptor, bytes.baseAddress, bytes.count)
    #elseif canImport(Musl)
      Musl.write(descriptor, bytes.baseAddress, bytes.count)
    #else
      Glibc.write(descriptor, bytes.baseAddress, bytes.count)
    #endif
  }
}

/// Calls the system again where a signal came between.
func uninterrupted(_ call: () -> Int32) -> Int32 {
  while true {
    let status = call()
    if status >= 0 || errno != EINTR { return status }
  }
}

/// What the system says when a file operation fails.
public struct FileError: Error, Equatable {
  /// What was tried, as in "write".
  public let action: String
  /// On which file or folder.
  public let path: String
  /// The system's number for the reason.
  public let code: Int32

  /// Records a failure.
  package init(_ action: String, _ path: String, code: Int32? = nil) {
    self.action = action
    self.path = path
    self.code = code ?? errno
  }

  /// The system's words for the reason.
  public var reason: String {
    code == ESPIPE ? "It is a pipe or a device" : String(cString: strerror(code))
  }

  /// Whether the disk or the user's share of it is full.
  public var isFull: Bool { code == ENOSPC || code == EDQUOT }

  /// Whether what was to be read is no regular file, or larger than such a file is.
  public var isRefused: Bool {
    action.hasPrefix("read") && [EISDIR, ESPIPE, EFBIG].contains(code)
  }

  /// Whether what was to be read is not there.
  public var isMissing: Bool { [ENOENT, ENOTDIR].contains(code) && action == "open" }
}

extension FileError: ApusError {
  public var exitStatus: ExitStatus {
    isMissing ? .missingInput : isRefused ? .badData : .inputOutput
  }

  /// A sentence: what was found, what to do.
  public var description: String {
    let advice =
      switch code {
      case ENOSPC, EDQUOT: "Free some space or choose another disk."
      case EACCES, EPERM, EROFS: "Check who may read and write there, or choose another place."
      case ENOENT: "Check the path."
      case EISDIR, ESPIPE: "Name a regular file."
      case EFBIG where isRefused: "It is not the file it should be."
      case ENOMEM: "Close other programs, or take less at once."
      default: "Check the path and the disk."
      }
    return "Cannot \(action) '\(path)': \(reason). \(advice)"
  }
}
