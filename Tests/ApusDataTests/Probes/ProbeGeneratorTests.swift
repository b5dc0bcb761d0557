import ApusData
import ApusTensor
import Foundation
import Testing

@Suite("Synthetic tasks")
struct ProbeGeneratorTests {
  static let key = RandomKey(seed: 5, stream: 2)

  /// Every task at a usual length.
  static func all() throws -> [(any ProbeGenerator, length: Int)] {
    [
      (try InductionHeads(), 64), (try SelectiveCopying(items: 5), 40),
      (try AssociativeRecall(vocabulary: 64, pairs: 6), 48),
      (try AssociativeRecall(vocabulary: 64, pairs: 6, fillsAtRandom: true), 48),
      (try ListOps(depth: 6, minimumShare: 0.1), 100),
    ]
  }

  @Test("an example depends on key, length and index alone")
  func pure() throws {
    for (task, length) in try Self.all() {
      let forwards = try (0..<9).map { try task.example($0, length: length, key: Self.key) }
      let backwards = try (0..<9).reversed().map {
        try task.example($0, length: length, key: Self.key)
      }
      #expect(forwards == backwards.reversed())
      #expect(Set(forwards.map(\.tokens)).count == 9, "\(task)")
      let other = try task.example(0, length: length, key: RandomKey(seed: 6, stream: 2))
      let third = try task.example(0, length: length, key: RandomKey(seed: 5, stream: 3))
      #expect(other != forwards[0] && third != forwards[0], "\(task)")
    }
  }

  @Test("tokens, places and answers are in range", arguments: 0..<100)
  func ranges(index: Int) throws {
    for (task, length) in try Self.all() {
      let example = try task.example(index, length: length, key: Self.key)
      #expect(example.tokens.allSatisfy { $0 >= 0 && Int($0) < task.vocabulary })
      #expect(example.places.count == example.answers.count && !example.places.isEmpty)
      #expect(example.places.allSatisfy { example.tokens.indices.contains($0) })
      #expect(zip(example.places, example.places.dropFirst()).allSatisfy(<))
      let bound = task.classes ?? task.vocabulary
      #expect(example.answers.allSatisfy { $0 >= 0 && Int($0) < bound })
    }
  }

  @Test("an induction example asks what followed the trigger", arguments: [3, 4, 16, 257])
  func induction(length: Int) throws {
    let task = try InductionHeads(vocabulary: 16)
    var places: Set<Int> = []
    for index in 0..<200 {
      let example = try task.example(index, length: length, key: Self.key)
      #expect(example.tokens.count == length + 1 && example.places == [length])
      let triggers = example.tokens.indices.filter { example.tokens[$0] == 15 }
      try #require(triggers.count == 2 && triggers[1] == length)
      #expect(triggers[0] < length - 2)
      #expect(example.answers == [example.tokens[triggers[0] + 1]])
      places.insert(triggers[0])
    }
    if length <= 16 { #expect(places == Set(0..<length - 2), "every place should come") }
  }

  @Test("the answers of induction are spread evenly")
  func inductionAnswers() throws {
    let task = try InductionHeads(vocabulary: 6)
    var counts = [Int](repeating: 0, count: 6)
    for index in 0..<5000 {
      counts[Int(try task.example(index, length: 9, key: Self.key).answers[0])] += 1
    }
    // 1,000 each, with a deviation of 28.
    #expect(counts[0..<5].allSatisfy { abs($0 - 1000) < 140 } && counts[5] == 0, "\(counts)")
  }

  @Test("a copying example asks for its tokens in their order", arguments: [0, 1, 64])
  func copying(length: Int) throws {
    let task = try SelectiveCopying(vocabulary: 16, items: 7)
    var first: Set<Int> = []
    for index in 0..<100 {
      let example = try task.example(index, length: length, key: Self.key)
      #expect(example.tokens.count == length + 14)
      #expect(example.places == Array(length + 7..<length + 14))
      #expect(example.places.allSatisfy { example.tokens[$0] == 15 })
      let body = example.tokens.prefix(length + 7)
      #expect(body.filter { $0 != 0 } == example.answers)
      #expect(example.answers.allSatisfy { (1...14).contains($0) })
      first.insert(body.firstIndex { $0 != 0 } ?? -1)
    }
    #expect(length == 0 ? first == [0] : first.count > 1)
  }

  @Test("a recall example asks each key once", arguments: [false, true])
  func recall(fills: Bool) throws {
    let task = try AssociativeRecall(vocabulary: 256, pairs: 8, fillsAtRandom: fills)
    for index in 0..<100 {
      let example = try task.example(index, length: 64, key: Self.key)
      #expect(example.tokens.count == 64 && example.places.count == 8)
      let pairs = stride(from: 0, to: 16, by: 2).map {
        (example.tokens[$0], example.tokens[$0 + 1])
      }
      let values = Dictionary(uniqueKeysWithValues: pairs)
      #expect(pairs.allSatisfy { (1..<128).contains($0.0) && (128..<256).contains($0.1) })
      #expect(Set(pairs.map(\.1)).count == 8, "values are not repeated")
      #expect(Set(example.places.map { example.tokens[$0] }) == Set(values.keys))
      for (place, answer) in zip(example.places, example.answers) {
        #expect(place >= 16 && place % 2 == 0 && values[example.tokens[place]] == answer)
      }
      let rest = example.tokens.indices.filter { $0 >= 16 && !example.places.contains($0) }
      let zeros = rest.filter { example.tokens[$0] == 0 }.count
      #expect(fills ? zeros < 5 : zeros == rest.count)
    }
  }

  @Test("gaps follow their weights")
  func gaps() {
    // The first one drawn: weights (g + 1)^−0.99, of which the first of 24 has 0.264.
    let weights = (1...24).map { pow(Double($0), -0.99) }
    let total = weights.reduce(0, +)
    var counts = [Int](repeating: 0, count: 24)
    for index in 0..<8000 as Range<UInt64> {
      var generator = PhiloxGenerator(Self.key.derived(index))
      let drawn = AssociativeRecall.gaps(3, below: 24, using: &generator)
      #expect(Set(drawn).count == 3)
      counts[drawn[0]] += 1
    }
    for (count, weight) in zip(counts, weights) {
      let expected = 8000 * weight / total
      #expect(abs(Double(count) - expected) < 5 * expected.squareRoot(), "\(counts)")
    }
  }

  @Test("different numbers come in any order, each as likely")
  func shuffles() {
    var counts: [[Int]: Int] = [:]
    for index in 0..<6000 as Range<UInt64> {
      var generator = PhiloxGenerator(Self.key.derived(index))
      counts[distinct(2, in: 4..<7, using: &generator), default: 0] += 1
    }
    #expect(counts.count == 6 && counts.keys.allSatisfy { $0[0] != $0[1] })
    #expect(counts.values.allSatisfy { abs($0 - 1000) < 150 }, "\(counts)")
  }

  @Test("numbers that make no task are refused")
  func refusals() throws {
    #expect(throws: ProbeError.self) { try InductionHeads(vocabulary: 2) }
    #expect(throws: ProbeError.self) { try SelectiveCopying(vocabulary: 3) }
    #expect(throws: ProbeError.self) { try SelectiveCopying(items: 0) }
    #expect(throws: ProbeError.self) { try AssociativeRecall(vocabulary: 16, pairs: 8) }
    #expect(throws: ProbeError.self) { try ListOps(depth: 1) }
    #expect(throws: ProbeError.self) {
      try InductionHeads().example(0, length: 2, key: Self.key)
    }
    #expect(throws: ProbeError.self) {
      try AssociativeRecall(pairs: 4).example(0, length: 15, key: Self.key)
    }
    #expect(throws: ProbeError.noExamples(length: 2000, tries: 100_000)) {
      try ListOps(depth: 2, minimumShare: 0.5).example(0, length: 2000, key: Self.key)
    }
  }
}
