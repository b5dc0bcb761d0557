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

  /// Makes a folder, and those above it, unless it stands already.
  package func makeFolder(_ path: String) throws {
    if Self.isFolder(path) { return }
    let parent = Self.folder(of: path)
    if parent != path, !Self.isFolder(parent) { try makeFolder(parent) }
    try before(Operation(kind: .makeFolder, path: path))
    guard mkdir(path, 0o777) == 0 || (errno == EEXIST && Self.isFolder(path)) else {
      throw FileError("create the folder", path)
    }
  }

  /// Creates or empties a file, lets `body` fill it, and flushes it to the disk.
  package func write(_ path: String, _ body: (FileWriter) throws -> Void) throws {
    try before(Operation(kind: .create, path: path))
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileError("create", path) }
    do {
      let writer = FileWriter(descriptor: descriptor, path: path, before: before)
      try body(writer)
      try sync(descriptor, path)
    } catch {
      _ = close(descriptor)
      throw error
    }
    // Some file systems report a full disk only here.
    guard close(descriptor) == 0 else { throw FileError("write", path) }
  }

  /// Replaces a file as a whole: whoever opens it finds the old contents or the new, and an old one
  /// that is open or mapped stays as it was.
  package func replace(_ path: String, _ body: (FileWriter) throws -> Void) throws {
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
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
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
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw FileError("flush", path) }
  }
}

// MARK: Looking

extension Files {
  /// The folder a path stands in.
  package static func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
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

  /// Takes the lock of a file, which is made when there is none, until the process ends or
  /// ``unlock(_:)``. Nil when another process holds it.
  package static func lock(_ path: String) throws -> Int32? {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileError("create", path) }
    if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return descriptor }
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
      if count < 0 {
        if errno == EINTR { continue }
        throw FileError("write", path)
      }
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

  /// Whether the disk or the user's share of it is full.
  public var isFull: Bool { code == ENOSPC || code == EDQUOT }

  /// Whether what was to be read is not there.
  public var isMissing: Bool { code == ENOENT && action == "open" }
}

extension FileError: CustomStringConvertible {
  /// What was found, what to do.
  public var description: String {
    let advice =
      switch code {
      case ENOSPC, EDQUOT: "Free some space or choose another disk."
      case EACCES, EPERM, EROFS: "Check who may write there, or choose another place."
      case ENOENT: "Check the path."
      default: "Check the path and the disk."
      }
    return "Cannot \(action) '\(path)': \(String(cString: strerror(code))). \(advice)"
  }
}
