import Foundation

/// The features of a text for a router: its words and pairs of words, weighted by how rare they
/// are, in a vector of fixed length.
///
/// Term weights are (1 + ln tf) · (ln((1 + N) / (1 + df)) + 1); each term adds to one place with one sign,
/// both by its hash (Weinberger et al., 2009, *Feature Hashing for Large Scale Multitask Learning*,
/// arXiv:0902.2206), so that no vocabulary is stored.
public struct TextFeatures: Codable, Sendable, Equatable {
  /// r, the length of a vector.
  public let size: Int
  /// N, the texts that it was fitted on.
  public let documents: Int
  /// For each place, how many of them hold a term that falls there.
  let frequencies: [Int32]

  /// Counts in how many texts terms occur.
  ///
  /// - Parameters:
  ///   - texts: Requests of the kind to be routed.
  ///   - size: r; at least 1.
  public init(fitting texts: [String], size: Int = 512) {
    self.size = max(size, 1)
    documents = texts.count
    var frequencies = [Int32](repeating: 0, count: self.size)
    for text in texts {
      for place in Set(Self.terms(text).keys.map { Int($0 % UInt64(max(size, 1))) }) {
        frequencies[place] += 1
      }
    }
    self.frequencies = frequencies
  }

  /// The vector of a text; zeros when it holds no word.
  ///
  /// - Parameter text: A request.
  /// - Returns: `[r]`, not yet of length one.
  public func vector(_ text: String) -> [Double] {
    var vector = [Double](repeating: 0, count: size)
    for (term, count) in Self.terms(text).sorted(by: { $0.key < $1.key }) {
      let place = Int(term % UInt64(size))
      let rarity = log((1 + Double(documents)) / (1 + Double(frequencies[place]))) + 1
      let weight = (1 + log(Double(count))) * rarity
      vector[place] += term >> 63 == 0 ? weight : -weight
    }
    return vector
  }

  /// Hashes of words, and of each two that follow each other, with how often they occur. Words are runs of
  /// letters and digits, in lower case.
  private static func terms(_ text: String) -> [UInt64: Int] {
    var terms: [UInt64: Int] = [:]
    var previous: UInt64?
    for word in text.lowercased().split(whereSeparator: { !$0.isLetter && !$0.isNumber }) {
      let own = hash(word.utf8, from: 14_695_981_039_346_656_037)
      terms[own, default: 0] += 1
      if let previous { terms[hash(word.utf8, from: previous ^ 0x5F), default: 0] += 1 }
      previous = own
    }
    return terms
  }

  /// FNV-1a with a last round that mixes the high bits in: the same on every machine.
  private static func hash(_ bytes: some Sequence<UInt8>, from start: UInt64) -> UInt64 {
    let hash = bytes.reduce(start) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
    let mixed = (hash ^ (hash >> 33)) &* 0xFF51_AFD7_ED55_8CCD
    return mixed ^ (mixed >> 33)
  }
}

extension TextFeatures {
  private enum CodingKeys: String, CodingKey { case size, documents, frequencies }

  /// Decodes the counts; rejects a length that does not fit.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    size = try container.decode(Int.self, forKey: .size)
    documents = try container.decode(Int.self, forKey: .documents)
    frequencies = try container.decode([Int32].self, forKey: .frequencies)
    guard size > 0, frequencies.count == size, documents >= 0,
      frequencies.allSatisfy({ (0...Int32(clamping: documents)).contains($0) })
    else {
      throw DecodingError.dataCorruptedError(
        forKey: .frequencies, in: container, debugDescription: "the counts do not fit")
    }
  }
}
