import ApusData
import Foundation
import Testing

@Suite("Hostile files")
struct HostileCSVTests {
  /// What a file holds, the line its message has to name, and words that have to be in it.
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var bytes: [UInt8]
    var line: Int?
    var words: [String]
    var testDescription: String { name }

    init(_ name: String, _ text: String, line: Int? = nil, _ words: String...) {
      self.name = name
      bytes = Array(text.utf8)
      self.line = line
      self.words = words
    }

    init(_ name: String, bytes: [UInt8], line: Int? = nil, _ words: String...) {
      self.name = name
      self.bytes = bytes
      self.line = line
      self.words = words
    }
  }

  static let good = "date,close\n2020-01-02,1\n2020-01-03,2\n2020-01-06,3\n"

  static let corpus: [Case] = [
    Case("empty", "", "empty"),
    Case("blank", " \n\r\n\n  ", "empty"),
    Case("byte order mark only", bytes: [0xEF, 0xBB, 0xBF], "empty"),
    Case("header only", "date,close\n", line: 1, "'date'", "'close'", "rows"),
    Case("header without newline", "date,open,close", line: 1, "rows"),
    Case(
      "truncated quote", "date,close\n2020-01-02,1\n2020-01-03,\"2\n2020-01-06,3\n", line: 3,
      "quote"),
    Case("quote at the start", "\"date,close\n2020-01-02,1\n", line: 1, "quote"),
    Case("NUL", bytes: Array(good.utf8) + [0] + Array("x\n".utf8), line: 5, "byte 0", "text"),
    Case(
      "binary", bytes: [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 3, 7], line: 1, "binary"),
    Case("gzip", bytes: [0x1F, 0x8B, 8, 0, 0, 0], "gunzip"),
    Case("Excel", bytes: [0x50, 0x4B, 3, 4, 20, 0], "Excel", "CSV"),
    Case(
      "UTF-16", bytes: [0xFF, 0xFE] + "date,close".utf16.flatMap { [UInt8($0), 0] }, "UTF-16",
      "UTF-8"),
    Case("UTF-16 without a mark", bytes: good.utf16.flatMap { [0, UInt8($0)] }, "UTF-16"),
    Case("web page", "<!DOCTYPE html><html><body>404</body></html>", "HTML"),
    Case(
      "huge numbers", "date,close\n2020-01-02,1\n2020-01-03,1e400\n2020-01-06,2\n", line: 3,
      "1e400", "number"),
    Case(
      "dashes for numbers", "date,close\n2020-01-02,1\n2020-01-03,--\n2020-01-06,2\n", line: 3,
      "'--'", "number"),
    Case("all dashes", "date,close\n2020-01-02,--\n2020-01-03,--\n", "number"),
    Case("no numbers", "text,category\nhello,a\nworld,b\n", "number", "'text'"),
    Case("prose", "It was the best of times,\nit was the worst of times,\n", "number"),
    Case(
      "mixed delimiters", "date,close\n2020-01-02,1\n2020-01-03;2\n2020-01-06;3\n2020-01-07,4\n",
      line: 3, "field", "expected 2"),
    Case("ragged", "date,close\n2020-01-02,1\n2020-01-03\n2020-01-06,3,4\n", line: 3, "1 field"),
    Case(
      "text after a quote", "date,close\n2020-01-02,\"1\"2\n2020-01-03,\"1\"3\n", line: 2, "quote"),
    Case("a million columns", String(repeating: "1,", count: 1_000_000), line: 1, "columns"),
    Case(
      "a field of two megabytes",
      "date,close\n2020-01-02," + String(repeating: "9", count: 1 << 21), line: 2, "field"),
    Case(
      "a quoted field of two megabytes",
      "date,close\n2020-01-02,\"" + String(repeating: "9\n", count: 1 << 20), line: 2, "field"),
    Case(
      "no dates where half are",
      "date,close\n2020-01-02,1\n2020-01-03,2\nsoon,3\nlater,4\n2020-01-08,5\n2020-01-09,6\n2020-01-10,7\n2020-01-13,7\n2020-01-14,7\n2020-01-15,7\n",
      line: 4, "'soon'", "date"),
  ]

  @Test("end in one clear sentence", arguments: corpus)
  func endsInASentence(hostile: Case) {
    let error = #expect(throws: SeriesError.self) {
      try SeriesTable(parsingCSV: hostile.bytes, name: "some.csv")
    }
    guard let text = error?.description else { return }
    #expect(text.hasPrefix("some.csv"))
    if let line = hostile.line { #expect(text.contains("line \(line):"), "\(text)") }
    for word in hostile.words { #expect(text.contains(word), "\(text)") }
    #expect(text.contains("expected") && text.hasSuffix("."), "\(text)")
    #expect(!text.contains("\n") && text.count < 400)
  }

  @Test("end in an error or a table at every cut of a good file")
  func survivesEveryCut() {
    let bytes = Array(
      "Datum;\"Preis; €\";Name\r\n02.01.2020;\"1,5\";\"a\"\"b\"\r\n03.01.2020;2,5;c\r\n".utf8)
    for end in 0...bytes.count {
      _ = try? SeriesTable(parsingCSV: Array(bytes[..<end]))
    }
  }

  @Test("end in an error or a table whatever bytes are changed, over a thousand seeds")
  func survivesNoise() {
    let alphabet = Array("0123456789-+.,;\"'\n\r\t :eE/TZNA|%K$()#=\u{E9}".utf8) + [0, 0xFF, 0x80]
    for seed in 0..<1_000 {
      var random = SeededRandom(seed: UInt64(seed))
      var bytes = Array(
        "date,id,close,volume\n2020-01-02,a,1.5,10\n2020-01-03,a,2.5,\n2020-01-02,b,1,3\n2020-01-03,b,7,9\n"
          .utf8)
      for _ in 0...random.below(12) {
        bytes[random.below(bytes.count)] = alphabet[random.below(alphabet.count)]
      }
      do throws(SeriesError) {
        let table = try SeriesTable(parsingCSV: bytes)
        for one in table.series {
          #expect(
            zip(one.timestamps, one.timestamps.dropFirst()).allSatisfy { $0 < $1 }, "seed \(seed)")
          _ = try? table.cadence.stamps(
            after: one.timestamps.last ?? Timestamp(secondsSinceEpoch: 0), count: 3)
          for measure in Measure.allCases { _ = try? measure.apply(to: one) }
        }
        #expect(!table.report.sentences.isEmpty)
      } catch {
        #expect(error.description.hasSuffix("."), "seed \(seed): \(error)")
      }
    }
  }

  @Test("that are no files are named so")
  func namesWhatIsNoFile() throws {
    let folder = FileManager.default.temporaryDirectory.path
    #expect(throws: SeriesError.notAFile(file: folder, kind: "a folder")) {
      try SeriesTable(readingCSVAt: folder)
    }
    #expect(throws: SeriesError.notFound(file: "/no/such.csv")) {
      try SeriesTable(readingCSVAt: "/no/such.csv")
    }
    #expect(throws: SeriesError.notFound(file: "")) { try SeriesTable(readingCSVAt: "") }
    var options = SeriesOptions()
    options.maximumBytes = 10
    #expect(throws: SeriesError.tooLarge(file: "input", limit: 10)) {
      try SeriesTable(parsingCSV: Array(Self.good.utf8), options: options)
    }
  }

  @Test("offer the nearest column name")
  func offersNearest() {
    var options = SeriesOptions()
    options.targets = ["clsoe"]
    let error = #expect(throws: SeriesError.self) {
      try SeriesTable(parsingCSV: Array(Self.good.utf8), options: options)
    }
    #expect(error?.description.contains("Did you mean 'close'?") == true)
    options.targets = ["date"]
    #expect(
      throws: SeriesError.notNumeric(file: "input", column: "date", line: 2, found: "2020-01-02")
    ) {
      try SeriesTable(parsingCSV: Array(Self.good.utf8), options: options)
    }
    options = SeriesOptions()
    options.time = ["close"]
    #expect(throws: SeriesError.self) {
      try SeriesTable(
        parsingCSV: Array("date,close\n2020-01-02,1.5\n2020-01-03,2\n".utf8), options: options)
    }
  }
}
