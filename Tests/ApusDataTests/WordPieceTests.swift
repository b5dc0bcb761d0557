import ApusData
import ApusTestSupport
import Foundation
import Testing

@Suite("WordPiece")
struct WordPieceTests {
  /// Ids that the reference tokenizer made: see Scripts/make-wordpiece-fixture.py.
  struct Fixture: Decodable {
    struct Case: Decodable {
      let name: String
      let do_lower_case: Bool
      let strip_accents: Bool?
      let tokenize_chinese_chars: Bool?
      let ids: [[Int32]]
    }
    let vocabulary: [String]
    let texts: [String]
    let cases: [Case]

    static func load() throws -> Fixture {
      let path = try fixturePath("wordpiece.json", from: #filePath)
      return try JSONDecoder().decode(Self.self, from: Data(contentsOf: URL(filePath: path)))
    }
  }

  /// A folder with the fixture's vocabulary as `vocab.txt`, or as `tokenizer.json`.
  static func write(_ fixture: Fixture, _ one: Fixture.Case, asJSON: Bool, to folder: String) throws
  {
    func put(_ text: String, _ name: String) throws {
      try Data(text.utf8).write(to: URL(filePath: folder + "/" + name))
    }
    let options: [String: Any] = [
      "do_lower_case": one.do_lower_case, "strip_accents": one.strip_accents as Any? ?? NSNull(),
      "tokenize_chinese_chars": one.tokenize_chinese_chars ?? true,
    ]
    guard asJSON else {
      try put(fixture.vocabulary.joined(separator: "\n") + "\n", "vocab.txt")
      let json = try JSONSerialization.data(withJSONObject: options)
      return try json.write(to: URL(filePath: folder + "/tokenizer_config.json"))
    }
    let special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    let vocabulary = try fixture.vocabulary.enumerated().map { id, piece in
      String(decoding: try JSONEncoder().encode(piece), as: UTF8.self) + ":\(id)"
    }
    let added = special.compactMap { name in
      fixture.vocabulary.firstIndex(of: name).map {
        #"{"id": \#($0), "content": "\#(name)", "special": true, "normalized": false}"#
      }
    }
    try put(
      """
      {"added_tokens": [\(added.joined(separator: ","))],
       "normalizer": {"type": "BertNormalizer", "clean_text": true,
         "handle_chinese_chars": \(one.tokenize_chinese_chars ?? true),
         "strip_accents": \(one.strip_accents.map { "\($0)" } ?? "null"),
         "lowercase": \(one.do_lower_case)},
       "pre_tokenizer": {"type": "BertPreTokenizer"},
       "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 1]},
       "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
         "max_input_chars_per_word": 100, "vocab": {\(vocabulary.joined(separator: ","))}}}
      """, "tokenizer.json")
  }

  @Test("ids equal the reference's", arguments: [false, true])
  func ids(asJSON: Bool) throws {
    let fixture = try Fixture.load()
    for one in fixture.cases {
      try withTemporaryFolder { folder in
        try Self.write(fixture, one, asJSON: asJSON, to: folder)
        let tokenizer = try WordPieceTokenizer(folder: folder)
        #expect(tokenizer.vocabularySize == fixture.vocabulary.count)
        for (text, expected) in zip(fixture.texts, one.ids) {
          #expect(tokenizer.encode(text) == expected, "\(one.name): \(text.debugDescription)")
        }
      }
    }
  }

  @Test("a long text loses its end, not its last token")
  func truncation() throws {
    let fixture = try Fixture.load()
    try withTemporaryFolder { folder in
      try Self.write(fixture, fixture.cases[0], asJSON: true, to: folder)
      let tokenizer = try WordPieceTokenizer(folder: folder)
      let all = tokenizer.encode("hello world hello world")
      #expect(all.count == 6)
      #expect(
        tokenizer.encode("hello world hello world", maximum: 4) == Array(all[0..<3]) + [
          tokenizer.endID
        ])
      #expect(tokenizer.encode("hello", maximum: 0) == [tokenizer.startID, tokenizer.endID])
      #expect(
        tokenizer.decode(tokenizer.encode("Hello unaffable world")) == "hello unaffable world")
    }
  }

  @Test(
    "files that are no tokenizer of this kind are refused",
    arguments: [
      "{}", "[]", "", "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}",
      #"{"model": {"type": "WordPiece", "vocab": {"a": 0, "a": 1}}}"#,
      #"{"model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "[CLS]": 0, "[SEP]": 1}}}"#,
      #"{"model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 1e18}}}"#,
      #"{"model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": -2}}}"#,
      #"{"model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2.5}}}"#,
      #"{"model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}}}"#,
      String(repeating: "[", count: 100_000),
    ])
  func refused(text: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/tokenizer.json"
      try Data(text.utf8).write(to: URL(filePath: path))
      #expect(throws: (any Error).self) { try WordPieceTokenizer(tokenizerAt: path) }
    }
  }
}
