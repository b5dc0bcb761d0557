import ApusData
import ApusTensor
import Testing

@Suite("ListOps")
struct ListOpsTests {
  static let key = RandomKey(seed: 1, stream: 7)

  /// The ids of `[MAX 2 9 [MIN 4 7 ] 0 ]` as people write it.
  static func ids(_ text: String) -> [Int32] {
    let names: [Substring: Int32] = ["[MIN": 11, "[MAX": 12, "[MED": 13, "[SM": 14, "]": 15]
    return text.split(separator: " ").map { names[$0] ?? Int32($0).map { $0 + 1 } ?? -1 }
  }

  @Test(
    "values are those worked out by hand",
    arguments: [
      ("7", 7), ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9), ("[MIN 3 3 5 ]", 3),
      // The median of 1 2 5 8 is 3.5, whose whole part counts; of 0 1 it is 0.
      ("[MED 8 1 5 2 ]", 3), ("[MED 1 0 ]", 0), ("[MED 9 2 4 ]", 4),
      ("[SM 9 8 7 ]", 4), ("[SM [SM 5 5 ] [MED 3 6 ] 2 ]", 6),
      ("[MAX 4 3 [MIN 2 3 ] 1 0 [MED 1 5 8 9 2 ] ]", 5),
    ])
  func values(text: String, value: Int) {
    #expect(ListOps.value(of: Self.ids(text)) == value)
  }

  @Test(
    "what is no expression has no value",
    arguments: ["", "]", "[MAX", "[MAX ]", "1 2", "[MAX 1 2 ] 3", "[MAX 1 2 ] ]", "11"])
  func noExpression(text: String) {
    #expect(ListOps.value(of: Self.ids(text)) == nil)
  }

  @Test("the answer is what reading the expression gives, and lengths are inside the bounds")
  func answers() throws {
    for (task, length, least) in [
      (try ListOps(), 2000, 500), (try ListOps(depth: 6, minimumShare: 0.1), 200, 20),
    ] {
      for index in 0..<60 {
        let example = try task.example(index, length: length, key: Self.key)
        #expect(example.tokens.count > least && example.tokens.count < length)
        #expect(example.places == [example.tokens.count - 1])
        #expect(ListOps.value(of: example.tokens).map { [Int32($0)] } == example.answers)
      }
    }
  }

  @Test("no tree is deeper than its bound, no operation has under 2 or over 10 arguments")
  func shape() throws {
    let task = try ListOps(depth: 6, minimumShare: 0.1)
    var deepest = 0
    for index in 0..<100 {
      var open: [Int] = []
      for token in try task.example(index, length: 200, key: Self.key).tokens {
        if token == ListOps.Symbol.close.rawValue {
          #expect((2...10).contains(open.removeLast()))
        } else {
          if !open.isEmpty { open[open.count - 1] += 1 }
          if token > 10 { open.append(0) }
        }
        deepest = max(deepest, open.count)
      }
    }
    #expect(deepest == 5, "five operators above each other have their leaves at depth six")
  }

  @Test("8 % of the trees are taken, of 1,059 symbols in the mean")
  func distribution() throws {
    let task = try ListOps()
    var generator = PhiloxGenerator(Self.key)
    var lengths: [Int] = []
    let trees = 30_000
    for _ in 0..<trees {
      guard let (tokens, _) = task.tree(below: 2000, using: &generator), tokens.count > 500
      else { continue }
      lengths.append(tokens.count)
    }
    let share = Double(lengths.count) / Double(trees)
    let mean = Double(lengths.reduce(0, +)) / Double(lengths.count)
    #expect(abs(share - 0.08) < 0.005, "\(share)")
    #expect(abs(mean - 1059) < 35, "\(mean)")
  }
}
