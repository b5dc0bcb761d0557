#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// Standard output or standard error of the process.
package struct StandardStream: Sendable {
  /// Where results go.
  package static let output = StandardStream(descriptor: STDOUT_FILENO, name: "standard output")
  /// Where messages go.
  package static let errors = StandardStream(descriptor: STDERR_FILENO, name: "standard error")

  private let descriptor: Int32
  private let name: String

  /// Whether a person looks at it.
  package var isTerminal: Bool { isatty(descriptor) == 1 }

  /// Lets nothing that a stream meets end the process, and no file take the place of a closed stream.
  ///
  /// To be called once, before any file is opened. A pipe that nobody reads any more is an error of
  /// ``write(_:)`` rather than a signal. Where a stream is closed, its number is taken by one that
  /// cannot be used: otherwise the next file that is opened gets the number, and messages are written
  /// into it.
  package static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    for (descriptor, access) in [(0, O_WRONLY), (1, O_RDONLY), (2, O_RDONLY)]
    where fcntl(Int32(descriptor), F_GETFD) == -1 && errno == EBADF {
      _ = open("/dev/null", access)  // the lowest free number is this one
    }
  }

  /// Writes bytes, all of them, at once.
  ///
  /// - Throws: ``FileError``; its ``FileError/isClosed`` tells a pipe that nobody reads any more.
  package func write(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { bytes in
      var written = 0
      while written < bytes.count {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[written...])
        #if canImport(Darwin)
          let count = Darwin.write(descriptor, rest.baseAddress, rest.count)
        #elseif canImport(Musl)
          let count = Musl.write(descriptor, rest.baseAddress, rest.count)
        #else
          let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
        #endif
        if count > 0 {
          written += count
        } else if count < 0, errno == EAGAIN {
          var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          _ = poll(&wait, 1, -1)
        } else if count == 0 || errno != EINTR {
          throw FileError("write", name, code: count < 0 ? errno : EIO)
        }
      }
    }
  }
}

extension FileError {
  /// Whether a pipe was written that nobody reads any more.
  package var isClosed: Bool { code == EPIPE }
}
