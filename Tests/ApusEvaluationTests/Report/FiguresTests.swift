import ApusEvaluation
import Testing

@Suite("Figures")
struct FiguresTests {
  @Test(
    "it rounds to decimals, with a real minus and groups",
    arguments: [
      (1.005, 1, "1.0"), (-2.449, 2, "−2.45"), (-0.001, 2, "0.00"), (0, 3, "0.000"),
      (12_345.678, 1, "12\u{202F}345.7"), (1234.5, 0, "1235"), (0.05, 1, "0.1"),
      (Double.nan, 2, "–"), (.infinity, 0, "–"), (1e300, 2, "1.0e300"),
    ])
  func fixed(value: Double, decimals: Int, text: String) {
    #expect(Figures.fixed(value, decimals) == text)
  }

  @Test(
    "it keeps significant digits",
    arguments: [
      (0.04123, "0.0412"), (41.23, "41.2"), (412.3, "412"), (-0.5, "−0.500"), (0, "0"),
      (3.14e-9, "3.1e−9"), (2e-12, "2.0e−12"),
    ] as [(Double, String)])
  func significant(value: Double, text: String) {
    #expect(Figures.significant(value) == text)
  }

  @Test("it shortens counts, bytes, durations and probabilities")
  func units() {
    #expect(
      [0, 950, 12_400, 1_210_000, 999_900].map(Figures.short) == [
        "0", "950", "12.4 k", "1.21 M", "1.00 M",
      ])
    #expect([12, 865_000, 410_000_000].map(Figures.bytes) == ["12 B", "865 kB", "410 MB"])
    #expect(
      [0.00002, 0.027, 0.42, 19.84, 125, 12_000].map(Figures.duration) == [
        "20 µs", "27 ms", "0.42 s", "19.8 s", "2 min 05 s", "3 h 20 min",
      ])
    #expect([0.0004, 0.0342, 0.5].map(Figures.probability) == ["<0.001", "0.034", "0.50"])
    #expect(Figures.percent(0.0319, signed: true) == "+3.2\u{202F}%")
    #expect(Figures.percent(0.0001, signed: true) == "0.0\u{202F}%")
    #expect(Figures.percent(-0.004, signed: true) == "−0.4\u{202F}%")
    #expect(
      Figures.count(.min) == "−9\u{202F}223\u{202F}372\u{202F}036\u{202F}854\u{202F}775\u{202F}808")
  }

  @Test(
    "it writes coordinates in plain ASCII",
    arguments: [
      (12.345, "12.35"), (12.5, "12.5"), (-0.254, "-0.25"), (3, "3"), (0.999, "1"), (-0.001, "0"),
      (Double.nan, "0"), (7.05, "7.05"),
    ])
  func coordinate(value: Double, text: String) {
    #expect(Figures.coordinate(value) == text)
  }

  @Test("it gives a column one unit and enough digits")
  func column() {
    let small = ColumnFormat(for: [0.003981, 0.003997, 0.005618])
    #expect(small(0.003981) == "3.981")
    #expect(small.unit == "×10⁻³")
    let plain = ColumnFormat(for: [1.536, 1.669, 3.31])
    #expect(plain(1.536) == "1.536")
    #expect(plain.unit == nil)
    #expect(ColumnFormat(for: [0.1523])(0.1523) == "0.1523")
    #expect(ColumnFormat(for: [])(1) == "1.000")
    #expect(ColumnFormat(for: [2_500_000])(2_500_000) == "2.500")
  }
}

@Suite("Markup")
struct MarkupTests {
  @Test("it escapes scalars, not characters")
  func text() {
    #expect(Markup.text("<a href=\"x\">&'").source == "&lt;a href=&quot;x&quot;&gt;&amp;&#39;")
    #expect(Markup.text("\"\u{301}").source == "&quot;\u{301}")
    #expect(Markup.text("a\u{0}b\u{1B}\r\n").source == "a\u{FFFD}b\u{FFFD}\u{FFFD}\n")
    #expect(Markup.text("Größe 尺寸 🐦").source == "Größe 尺寸 🐦")
  }

  @Test("it escapes attributes and nests content")
  func element() {
    let inner = Markup.element("b", [:], [.text("1 < 2")])
    let outer = Markup.element("p", ["title": "\"><script>"], [inner])
    #expect(
      outer.source == "<p title=\"&quot;&gt;&lt;script&gt;\"><b>1 &lt; 2</b></p>")
  }
}
