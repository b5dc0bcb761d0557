import ApusTensor
import Testing

@Suite("Values from JSON")
struct JSONDecodingTests {
  private struct Part: Decodable, Equatable {
    var names: [String]
    var pair: [[Double]]
    var flag: Bool?
  }

  private enum Choice: Decodable, Equatable {
    case plain
    case counted(count: Int)
  }

  private struct Whole: Decodable, Equatable {
    var count: Int8
    var share: Float
    var seed: UInt64
    var part: Part
    var table: [String: Int]
    var choice: Choice
    var other = 5
    private enum CodingKeys: String, CodingKey { case count, share, seed, part, table, choice }
  }

  private static let text = """
    {"count": 5.0, "share": 0.1, "seed": 18446744073709551615, "table": {"a": 1, "b": -2},
     "part": {"names": ["é", ""], "pair": [[1, 2.5], []], "flag": null, "unknown": {}},
     "choice": {"counted": {"count": 3}}}
    """

  private func whole(_ text: String) throws -> Whole {
    try JSONValue.decode(Whole.self, from: text.utf8, name: "f.json")
  }

  @Test("are what the text says")
  func values() throws {
    let found = try whole(Self.text)
    #expect(found.count == 5 && found.share == 0.1 && found.seed == .max && found.other == 5)
    #expect(found.part == Part(names: ["é", ""], pair: [[1, 2.5], []], flag: nil))
    #expect(found.table == ["a": 1, "b": -2] && found.choice == .counted(count: 3))
  }

  @Test(
    "are refused with the key named",
    arguments: [
      ("5.0", "300", "count", "found 300, expected a whole number of -128 to 127"),
      ("5.0", "0.5", "count", "found 0.5, expected a whole number of -128 to 127"),
      ("5.0", "\"5\"", "count", "found '5', expected a whole number"),
      ("0.1", "1e39", "share", "found 1e39, expected a number that the type Float holds"),
      ("2.5", "{}", "part.pair[0][1]", "found an object, expected a number"),
      ("[\"é\", \"\"]", "7", "part.names", "found 7, expected an array"),
      ("\"seed\": 18446744073709551615, ", "", "seed", "it is missing"),
      ("{\"a\": 1, \"b\": -2}", "[]", "table", "found an array of 0, expected an object"),
    ])
  func refusals(from: String, to: String, key: String, problem: String) throws {
    let changed = Self.text.replacing(from, with: to)
    #expect(throws: JSONFileError.wrongValue(path: "f.json", key: key, problem: problem)) {
      try whole(changed)
    }
  }

  private struct Published: Decodable, Equatable {
    var hiddenSize: Int
    var ropeTheta: Double
    var limit: [Float]
    var kept: JSONValue
  }

  @Test("have the names of published files, and their words for no number")
  func published() throws {
    let text = """
      {"hidden_size": 8, "rope_theta": Infinity, "limit": [-Infinity, {"__float__": "Infinity"}],
       "kept": {"a_b": [1.0, null]}}
      """
    let value = try JSONValue(text.utf8, name: "config.json")
    let found = try value.decoded(as: Published.self, path: "config.json", keys: .snakeCase)
    #expect(found.hiddenSize == 8 && found.ropeTheta == .infinity)
    #expect(found.limit == [-.infinity, .infinity])
    #expect(found.kept == .object([.init(key: "a_b", value: .array([.number("1.0"), .null]))]))
  }
}

@Suite("Fingerprints")
struct FingerprintTests {
  @Test(
    "are those of the algorithm",
    arguments: [
      ("", "ef46db3751d8e999"), ("abc", "44bc2cf5ad770999"),
      ("Nobody inspects the spammish repetition", "fbcea83c8a378bf1"),
    ])
  func known(text: String, expected: String) {
    #expect(Fingerprint.hexadecimal(of: text.utf8) == expected)
  }

  @Test("do not depend on how bytes come", arguments: [1, 7, 31, 32, 33, 100])
  func pieces(size: Int) {
    let bytes = (0..<257).map { UInt8(truncatingIfNeeded: $0 &* 37) }
    var parts = Fingerprint()
    for start in stride(from: 0, to: bytes.count, by: size) {
      bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { parts.update($0) }
    }
    #expect(parts.hexadecimal == Fingerprint.hexadecimal(of: bytes))
  }

  @Test("leave the keys of a dictionary as they are, and change those of properties")
  func dictionaryKeys() throws {
    struct Named: Decodable, Equatable {
      var byName: [String: [String: Inner]]
      struct Inner: Decodable, Equatable { var twoWords: Int }
    }
    let text = #"{"by_name": {"a_b": {"c_d": {"two_words": 3}}}}"#
    let found = try JSONValue.decode(Named.self, from: text.utf8, name: "f.json", keys: .snakeCase)
    #expect(found.byName == ["a_b": ["c_d": Named.Inner(twoWords: 3)]])
  }
}
