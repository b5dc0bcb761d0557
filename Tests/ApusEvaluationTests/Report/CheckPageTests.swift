import ApusData
import ApusEvaluation
import Testing

@Suite("The page of a check")
struct CheckPageTests {
  @Test("draws every kind of finding, and lets no name become markup")
  func page() throws {
    let rows = (0..<200).compactMap { row -> String? in
      if (60..<70).contains(row) { return nil }
      let stamp = Timestamp(
        secondsSinceEpoch: 1_600_000_000 / 86_400 * 86_400 + Int64(row) * 86_400)
      let value =
        row >= 190 ? "" : row == 50 ? "99999999" : (100..<120).contains(row) ? "5" : "\(row % 7)"
      return "\(stamp),\(value)"
    }
    let table = try SeriesTable(
      parsingCSV: Array(("date,<b>load</b>\n" + rows.joined(separator: "\n")).utf8),
      name: "folder/<i>x</i>.csv")
    let page = renderCheck(DataCheck(table), of: table)
    #expect(page.hasPrefix("<!DOCTYPE html>") && page.hasSuffix("</html>\n"))
    for words in [
      "class=\"gap\"", "10 rows missing", "class=\"ahead\"", "class=\"outlier\"", "class=\"still\"",
      "line ", "What was understood of",
    ] {
      #expect(page.contains(words), "\(words)")
    }
    #expect(!page.contains("<b>") && !page.contains("<i>"))
    #expect(!page.contains("http"))
  }
}
