import Foundation

/// The most probable cut of a text into pieces of known probability.
///
/// Kudo, 2018, *Subword Regularization*, arXiv:1804.10959; by dynamic programming over the places of the text
/// (Viterbi). A character that no piece holds costs ten more than the least probable piece.
struct Unigram: Sendable {
  private let scores: [Double]
  private let unknown: Int32
  private let unknownScore: Double
  /// From a node by a byte to the next one; a node is a prefix of pieces.
  private let nodes: PairTable
  /// The piece that ends at a node; -1 where none does.
  private let ends: [Int32]

  /// - Parameters:
  ///   - pieces: UTF-8 of each id and the logarithm of its probability.
  ///   - unknown: The id of what no piece holds.
  init(_ pieces: [(bytes: [UInt8], score: Double)], unknown: Int32) {
    scores = pieces.map(\.score)
    self.unknown = unknown
    unknownScore = (scores.min() ?? 0) - 10
    var children: [UInt64: Int32] = [:]
    var steps: [(left: Int32, right: Int32, result: Int32)] = []
    var ends: [Int32] = [-1]
    for (id, piece) in pieces.enumerated() where !piece.bytes.isEmpty {
      var node: Int32 = 0
      for byte in piece.bytes {
        let key = UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)
        if let child = children[key] {
          node = child
        } else {
          let child = Int32(truncatingIfNeeded: ends.count)
          children[key] = child
          steps.append((node, Int32(byte), child))
          ends.append(-1)
          node = child
        }
      }
      ends[Int(node)] = Int32(truncatingIfNeeded: id)
    }
    (nodes, self.ends) = (PairTable(steps), ends)
  }

  /// The pieces of a text: ids with the bytes that each stands for. Unknown characters that follow each other
  /// are one.
  func pieces(_ bytes: [UInt8]) -> [(id: Int32, bytes: Range<Int>)] {
    let count = bytes.count
    var best = [Double](repeating: -.infinity, count: count + 1)
    var from = [(id: Int32, start: Int)](repeating: (-1, -1), count: count + 1)
    best[0] = 0
    var start = 0
    while start < count {
      let width = Self.width(bytes[start], atMost: count - start)
      var (node, end, hasSingle) = (Int32(0), start, false)
      while end < count, let step = nodes[node, Int32(bytes[end])] {
        (node, end) = (step.result, end + 1)
        let id = ends[Int(node)]
        guard id >= 0 else { continue }
        let score = best[start] + scores[Int(id)]
        if from[end].start < 0 || score > best[end] {
          (best[end], from[end]) = (score, (id, start))
        }
        if end - start == width { hasSingle = true }
      }
      if !hasSingle {
        let (score, end) = (best[start] + unknownScore, start + width)
        if from[end].start < 0 || score > best[end] {
          (best[end], from[end]) = (score, (unknown, start))
        }
      }
      start += width
    }
    var pieces: [(id: Int32, bytes: Range<Int>)] = []
    var end = count
    while end > 0 {
      let (id, start) = from[end]
      if id == unknown, let last = pieces.last, last.id == unknown {
        pieces[pieces.count - 1].bytes = start..<last.bytes.upperBound
      } else {
        pieces.append((id, start..<end))
      }
      end = start
    }
    return pieces.reversed()
  }

  /// Bytes of the character that begins with one.
  private static func width(_ first: UInt8, atMost rest: Int) -> Int {
    min(rest, first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4)
  }
}
