#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

extension Files {
  /// The bytes of a regular file, read whole; its size is looked at before any of them.
  ///
  /// Read rather than mapped, so that a program which shortens the file meanwhile does no harm.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - limit: The most bytes it may have.
  /// - Returns: The bytes.
  /// - Throws: ``FileError``: `EISDIR` for a folder, `ESPIPE` for a pipe or a device, `EFBIG` for a file
  ///   above the limit, or what the system says.
  package static func contents(of path: String, limit: Int) throws(FileError) -> [UInt8] {
    let (descriptor, size) = try openForReading(path)
    defer { _ = close(descriptor) }
    let tooLarge = FileError("read more than \(limit) bytes of", path, code: EFBIG)
    guard size <= limit else { throw tooLarge }
    guard size <= Machine.memoryBytes / 2 else { throw FileError("read", path, code: ENOMEM) }
    var bytes: [UInt8] = []
    while true {
      // A byte more than the size tells a file that has grown.
      let room = min(max(size - bytes.count, 65_535), limit - bytes.count) + 1
      var count = 0
      let piece = [UInt8](unsafeUninitializedCapacity: room) { buffer, filled in
        count = readSome(descriptor, into: UnsafeMutableRawBufferPointer(buffer))
        filled = max(count, 0)
      }
      guard count >= 0 else { throw FileError("read", path) }
      guard count > 0 else { return bytes }
      bytes = bytes.isEmpty ? piece : bytes + piece
      guard bytes.count <= limit else { throw tooLarge }
    }
  }

  /// Opens a regular file.
  ///
  /// - Returns: The descriptor, which the caller closes, and the size in bytes.
  static func openForReading(_ path: String) throws(FileError) -> (descriptor: Int32, size: Int) {
    guard !path.utf8.contains(0) else { throw FileError("open", path, code: ENOENT) }
    // Non-blocking, so that a pipe of this name cannot hold us up.
    let descriptor = uninterrupted { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    guard descriptor >= 0 else { throw FileError("open", path) }
    var status = stat()
    var code: Int32 = 0
    if fstat(descriptor, &status) != 0 {
      code = errno
    } else if status.st_mode & S_IFMT == S_IFDIR {
      code = EISDIR
    } else if status.st_mode & S_IFMT != S_IFREG {
      code = ESPIPE
    }
    guard code == 0 else {
      _ = close(descriptor)
      throw FileError("read", path, code: code)
    }
    return (descriptor, Int(status.st_size))
  }

  /// Reads what is there, at most as much as fits; 0 at the end, less than 0 when the system refuses.
  static func readSome(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    while true {
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 || errno != EINTR { return count }
    }
  }
}

/// Lines of an open file as they come, of which no more than a limit is ever kept.
public struct LineReader {
  /// The most bytes of a line: 1 MiB.
  public static let limit = 1 << 20
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var position = 0

  /// Reads a descriptor that is open, and stays so. Default: 0, standard input.
  public init(descriptor: Int32 = 0) { self.descriptor = descriptor }

  /// The next line without its end, a line feed with or without a carriage return; nil at the end.
  ///
  /// Of a line longer than ``limit`` only the first `limit + 1` bytes come, which identifies it;
  /// the rest is passed over. What is no UTF-8 becomes U+FFFD.
  ///
  /// - Throws: ``FileError``.
  public mutating func next() throws(FileError) -> String? {
    var line: [UInt8] = []
    while true {
      if position == buffer.count, try !fill() {
        return line.isEmpty ? nil : String(decoding: line, as: UTF8.self)
      }
      let end = buffer[position...].firstIndex(of: 0x0A)
      line += buffer[position..<(end ?? buffer.count)].prefix(Self.limit + 1 - line.count)
      position = end.map { $0 + 1 } ?? buffer.count
      guard end != nil else { continue }
      if line.last == 0x0D { line.removeLast() }
      return String(decoding: line, as: UTF8.self)
    }
  }

  /// Waits until something can be read or the time is over.
  ///
  /// - Parameter milliseconds: The time.
  /// - Returns: Whether ``next()`` has something to look at without waiting; at the end it has.
  package func waits(atMost milliseconds: Int32) -> Bool {
    if position < buffer.count { return true }
    var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&wanted, 1, milliseconds) != 0
  }

  /// The next line and those that have come with it, without waiting for more.
  ///
  /// - Parameter most: The most lines.
  /// - Returns: One line at least, or none at the end.
  /// - Throws: ``FileError``.
  public mutating func nextLines(most: Int) throws(FileError) -> [String] {
    guard let first = try next() else { return [] }
    var lines = [first]
    while lines.count < most, buffer[position...].contains(0x0A), let line = try next() {
      lines.append(line)
    }
    return lines
  }

  /// Takes in what is there; false at the end.
  private mutating func fill() throws(FileError) -> Bool {
    var count = 0
    buffer = [UInt8](unsafeUninitializedCapacity: 262_144) { buffer, filled in
      count = Files.readSome(descriptor, into: UnsafeMutableRawBufferPointer(buffer))
      filled = max(count, 0)
    }
    position = 0
    guard count >= 0 else { throw FileError("read", "standard input") }
    return count > 0
  }
}
