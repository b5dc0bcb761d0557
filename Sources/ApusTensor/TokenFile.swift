/// Token ids in a JSON file: one array of whole numbers, `[464, 1182, …]`.
public enum TokenFile {
  /// A longer file is rejected.
  public static let maximumBytes = 256 << 20

  /// Reads the ids of a file. They are 0 or more; whether a model knows them is not looked at.
  ///
  /// - Parameter path: The file.
  /// - Returns: At least one id.
  /// - Throws: ``TokenFileError`` or ``FileError``.
  public static func ids(at path: String) throws -> [Int32] {
    let file = try MappedFile(path)
    guard file.bytes.count <= maximumBytes else {
      throw TokenFileError.tooLarge(path: path, found: file.bytes.count, limit: maximumBytes)
    }
    var ids: [Int32] = []
    var isInside = false
    var scanner = JSONScanner(file.bytes)
    do {
      try scanner.array { scanner in
        isInside = true
        let number = try scanner.count()
        guard let id = Int32(exactly: number) else {
          throw scanner.failure("\(number) is too large for an id")
        }
        ids.append(id)
        isInside = false
      }
      try scanner.expectEnd()
    } catch let failure as JSONScanner.Failure {
      throw TokenFileError.malformed(
        path: path, element: isInside ? ids.count : nil, problem: failure.problem,
        offset: failure.offset)
    }
    guard !ids.isEmpty else { throw TokenFileError.empty(path: path) }
    return ids
  }
}

/// An error of a file of token ids.
public enum TokenFileError: Error, Equatable {
  /// It has more bytes than are read.
  case tooLarge(path: String, found: Int, limit: Int)
  /// It is no array of whole numbers; `element` counts from 0 where the fault is inside one.
  case malformed(path: String, element: Int?, problem: String, offset: Int)
  /// The array has no elements.
  case empty(path: String)
}

extension TokenFileError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .tooLarge(let path, let found, let limit):
      """
      '\(path)' has \(found) bytes; at most \(limit) of token ids are read. Score the text in parts.
      """
    case .malformed(let path, let element, let problem, let offset):
      """
      '\(path)' is no JSON array of token ids: \(problem) at byte \(offset)\
      \(element.map { " (element \($0))" } ?? ""). Expected whole numbers such as [464, 1182].
      """
    case .empty(let path):
      "'\(path)' holds an empty array. Give at least one token id."
    }
  }
}
