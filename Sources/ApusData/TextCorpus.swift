public import ApusTensor

/// Why a text cannot be used.
public enum TextError: Error, Equatable, Sendable {
  /// The file cannot be read; the reason is a sentence of its own.
  case unreadable(SeriesError)
  /// The bytes are no UTF-8.
  case notUTF8(file: String, line: Int)
  /// A line of standard input is longer than the limit.
  case lineTooLong(line: Int, limit: Int)
  /// A part would have too few tokens.
  case tooShort(file: String, tokens: Int, needed: Int)
  /// The share of the training part is not between 0 and 1.
  case badShare(Double)
}

extension TextError: ApusError {
  public var exitStatus: ExitStatus {
    if case .unreadable(.notFound) = self { .missingInput } else { .badData }
  }

  public var description: String {
    switch self {
    case .unreadable(let error):
      error.description.replacing("CSV file", with: "text file")
        .replacing("CSV text", with: "text")
    case .notUTF8(let file, let line):
      """
      \(file), line \(line): found bytes that are no UTF-8, expected UTF-8 text; convert the file or \
      read it by bytes.
      """
    case .lineTooLong(let line, let limit):
      "Standard input, line \(line): found more than \(limit) bytes, expected a shorter line; split it."
    case .tooShort(let file, let tokens, let needed):
      "\(file): found \(tokens) tokens, expected at least \(needed); bring more text."
    case .badShare(let share):
      "The training share is \(share), expected more than 0 and less than 1."
    }
  }
}

/// A text as tokens: the first part to train on, the rest to validate on.
public struct TextCorpus: Sendable, Equatable {
  /// Fitted on the training part alone.
  public let tokenizer: TextTokenizer
  /// Ids of the training part.
  public let train: [Int32]
  /// Ids of the rest.
  public let validation: [Int32]

  /// Reads a text file and splits it.
  ///
  /// - Parameters:
  ///   - path: UTF-8 text, or any bytes for ``TextUnit/bytes``.
  ///   - unit: What a token is.
  ///   - trainShare: Share of the units that trains, rounded down. Default: nine tenths.
  ///   - maximumBytes: Largest file. Default: 1 GiB.
  /// - Throws: ``TextError``.
  public init(
    readingAt path: String, unit: TextUnit, trainShare: Double = 0.9, maximumBytes: Int = 1 << 30
  ) throws(TextError) {
    let bytes: [UInt8]
    do throws(SeriesError) {
      bytes = try SourceFile.bytes(at: path, limit: maximumBytes)
    } catch {
      throw .unreadable(error)
    }
    try self.init(bytes, name: path, unit: unit, trainShare: trainShare)
  }

  /// Splits bytes that are already in memory; `name` stands for the file in messages.
  ///
  /// - Throws: ``TextError``.
  public init(
    _ bytes: [UInt8], name: String = "input", unit: TextUnit, trainShare: Double = 0.9
  ) throws(TextError) {
    guard trainShare > 0, trainShare < 1 else { throw .badShare(trainShare) }
    switch unit {
    case .bytes:
      tokenizer = .bytes(ByteTokenizer())
      let cut = Int(Double(bytes.count) * trainShare)
      train = bytes[..<cut].map(Int32.init)
      validation = bytes[cut...].map(Int32.init)
    case .characters:
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw .notUTF8(file: name, line: Self.firstBadLine(bytes))
      }
      let scalars = Array(text.unicodeScalars)
      let cut = Int(Double(scalars.count) * trainShare)
      let fitted = CharacterTokenizer(fitting: Self.text(scalars[..<cut]))
      tokenizer = .characters(fitted)
      train = fitted.encode(Self.text(scalars[..<cut]))
      validation = fitted.encode(Self.text(scalars[cut...]))
    }
    guard train.count >= 2, validation.count >= 2 else {
      throw .tooShort(file: name, tokens: train.count + validation.count, needed: 20)
    }
  }

  private static func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    String(String.UnicodeScalarView(scalars))
  }

  /// The first line that is no UTF-8; lines end in a line feed, which no multi-byte character contains.
  private static func firstBadLine(_ bytes: [UInt8]) -> Int {
    let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    return (lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0) + 1
  }
}
