import ApusData
import Testing

@Suite("Plain text")
struct TextTests {
  static let texts = [
    "", "First Citizen:\nBefore we proceed", "a\r\nb\rc\n", "caf\u{E9} cafe\u{301}", "日本語 🇩🇪 👩‍👩‍👧",
    "\u{0}\u{7F}\t",
  ]

  @Test("comes back from its ids", arguments: texts)
  func roundTrips(text: String) throws {
    for unit in TextUnit.allCases {
      let tokenizer = TextTokenizer(unit, fitting: text)
      let ids = tokenizer.encode(text)
      #expect(ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularySize })
      #expect(Array(tokenizer.decode(ids).unicodeScalars) == Array(text.unicodeScalars))
      #expect(try roundTrip(tokenizer) == tokenizer)
    }
  }

  @Test("counts ids by code point from 0, the unknown one last")
  func ordersIDs() {
    let tokenizer = CharacterTokenizer(fitting: "banana")
    #expect(tokenizer.encode("nabz") == [2, 0, 1, 3])
    #expect(tokenizer.unknownID == 3 && tokenizer.vocabularySize == 4)
    #expect(tokenizer.decode([2, 3, 0, -1, 99]) == "n\u{FFFD}a\u{FFFD}\u{FFFD}")
    #expect(ByteTokenizer().decode([0x61, 300, -1]) == "a\u{FFFD}\u{FFFD}")
  }

  @Test("learns its vocabulary from the training part alone")
  func fitsOnTraining() throws {
    let corpus = try TextCorpus(Array("aaaaabbbbbaaaaabbbzz".utf8), unit: .characters)
    #expect(corpus.train.count == 18 && corpus.validation == [2, 2])
    #expect(corpus.tokenizer.vocabularySize == 3)
    let bytes = try TextCorpus(Array("aaaaabbbbbaaaaabbbzz".utf8), unit: .bytes)
    #expect(bytes.validation == [122, 122])
  }

  @Test("is refused in words when it cannot be used")
  func refuses() {
    #expect(throws: TextError.notUTF8(file: "input", line: 2)) {
      try TextCorpus(Array("ab\n".utf8) + [0xFF, 0x0A], unit: .characters)
    }
    #expect(throws: TextError.tooShort(file: "input", tokens: 1, needed: 20)) {
      try TextCorpus([0x61], unit: .bytes)
    }
    #expect(throws: TextError.badShare(.infinity)) {
      try TextCorpus([0x61], unit: .bytes, trainShare: .infinity)
    }
    #expect(throws: TextError.unreadable(.notFound(file: "/no/such.txt"))) {
      try TextCorpus(readingAt: "/no/such.txt", unit: .bytes)
    }
  }
}
