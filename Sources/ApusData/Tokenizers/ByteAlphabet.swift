/// The letters by which byte-level tokenizers write bytes: those that are printed stand for themselves, the others
/// are letters from 256 on (Radford et al., 2019, *Language Models are Unsupervised Multitask Learners*).
enum ByteAlphabet {
  private static let letters: [Unicode.Scalar] = {
    var next: UInt32 = 256
    return (UInt8.min...UInt8.max).map { byte in
      let isPrinted = (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174
      if isPrinted { return Unicode.Scalar(byte) }
      defer { next += 1 }
      return Unicode.Scalar(next) ?? "\u{FFFD}"
    }
  }()

  private static let bytes = Dictionary(
    letters.enumerated().map { ($1, UInt8($0)) }, uniquingKeysWith: { first, _ in first })

  /// The letters of the bytes of a text.
  static func letters(of text: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
    text.flatMap { scalar in
      (UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter).map { letters[Int($0)] }
    }
  }

  /// The bytes behind letters; nil where one is none.
  static func bytes(of letters: some Sequence<Unicode.Scalar>) -> [UInt8]? {
    var found: [UInt8] = []
    for letter in letters {
      guard let byte = bytes[letter] else { return nil }
      found.append(byte)
    }
    return found
  }
}
