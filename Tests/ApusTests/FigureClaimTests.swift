import Testing

@Suite("Claims of figures")
struct FigureClaimTests {
  @Test("cut a text into blocks with their lines and headings")
  func cutsBlocks() {
    let text = """
      # Title

      A paragraph
      of two lines.
      <!-- figures
      a # = b c
      -->
      | a | b |

      ## Part
      ```swift
      let x = 1

      # no heading
      ```
          indented
      """
    let blocks = Markdown(text).blocks
    #expect(
      blocks.map(\.text) == [
        "Title", "A paragraph\nof two lines.", "figures\na # = b c", "| a | b |", "Part",
        "let x = 1\n\n# no heading", "    indented",
      ])
    #expect(blocks.map(\.line) == [1, 3, 5, 8, 10, 12, 16])
    #expect(
      blocks.map(\.kind) == [
        .heading, .text, .comment, .text, .heading, .code(language: "swift"), .code(language: ""),
      ])
    #expect(blocks.last?.headings == ["Title", "Part"])
  }

  @Test("find figures, not names, code and links")
  func findsFigures() {
    let text =
      "GPT-2 on S&P 500 and Zen 3: 1,024 tokens, 2.5 % of `12 ms`, [7](8.md), Gu 2023, 1e-5"
    #expect(Figures.places(in: text).map { text[$0] }.prefix(2) == ["1,024", "2.5"])
    #expect(Figures.areMeasured(in: text))
    #expect(!Figures.areMeasured(in: "GPT-2 has `12 ms`, 4 layers and 1 head"))
  }

  @Test("follow paths of results")
  func followsPaths() throws {
    let root: [String: Any] = [
      "width": 64, "rows": [["name": "a", "x": 0.25], ["name": "b", "x": 1500]],
    ]
    #expect(try ResultPath.values(at: "width", in: root) == [.number(64)])
    #expect(
      try ResultPath.values(at: "rows[name=b|a].x * 1000", in: root) == [
        .number(1_500_000), .number(250),
      ])
    #expect(try ResultPath.values(at: "rows[1].name", in: root) == [.word("b")])
    for wrong in ["height", "rows[name=c].x", "rows", "width[0]", "width *"] {
      #expect(throws: ResultPath.Failure.self) { try ResultPath.values(at: wrong, in: root) }
    }
  }

  @Test(
    "write a value as the figure is written",
    arguments: [
      (1_048_576, "1", "1,048,576"), (999.6, "1", "1,000"), (2.3517, "2.4", "2.4"),
      (2.3517, "2.352", "2.352"), (12, "9", "12"), (123_456.78, "0.1", "123,456.8"),
    ])
  func formats(value: Double, figure: String, text: String) {
    #expect(FigureClaim.format(.number(value), like: figure) == text)
  }

  @Test("name a wrong figure, a missing source and a piece that is not there")
  func namesMistakes() {
    func mistakes(_ text: String, _ claims: [String]) -> [String] {
      Document.mistakes(in: text, claims: claims, mustClaim: true)
    }
    let claim = "width #, # blocks = lengths.json width, blocks"
    #expect(mistakes("width 64,\n2 blocks", [claim]) == [])
    #expect(mistakes("width 65, 2 blocks", [claim]).count == 1)
    #expect(mistakes("width 64, 2 blocks, 7 cores", [claim]) == ["no source for 7"])
    #expect(mistakes("no such piece", [claim]).count == 1)
    #expect(mistakes("width 64, 2 blocks", ["width # = nowhere.json width"]).count == 3)
    #expect(mistakes("12 ms", []).count == 1)
    #expect(mistakes("two cores", []) == [])
  }

  @Test("let only dated logs give figures without a source")
  func asksForSources() {
    let text =
      "# A\n\n10 ms\n\n## B\n\n*Log of 2026-11-21.*\n\n10 ms\n\n### C\n\n5 %\n\n## D\n\n5 %"
    let lines = Document(path: "a.md").mistakes(in: text).map { $0.prefix { $0 != ":" } }
    #expect(lines == ["line 3", "line 17"])
  }

  @Test("put the figures of results into a text")
  func updates() throws {
    let before = "<!-- figures\nwidth # = lengths.json width\n-->\nwidth 63 of 63"
    #expect(try Document.updated(before) == before.replacing("width 63", with: "width 64"))
  }
}
