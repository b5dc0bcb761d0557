import ApusData
import ApusEvaluation
import Testing

@Suite("Forecast origins")
struct ForecastOriginsTests {
  /// Days of three series: one whole, one that begins late, one with a hole.
  private static func table() throws -> SeriesTable {
    let lines = (0..<120).flatMap { day -> [String] in
      let date = Timestamp(secondsSinceEpoch: 1_609_459_200 + 86_400 * Int64(day))
      return ["whole", "late", "holed"].compactMap { name in
        if name == "late", day < 70 { return nil }
        let isMissing = name == "holed" && (95..<99).contains(day)
        return "\(name),\(date),\(isMissing ? "" : "\(day * day % 17 + 1)")"
      }
    }
    return try SeriesTable(parsingCSV: Array(("id,date,y\n" + lines.joined(separator: "\n")).utf8))
  }

  @Test("of one date in so many are those of the same dates in every series", arguments: [2, 3, 7])
  func stride(every: Int) throws {
    let table = try Self.table()
    let split = try Split(table, horizon: 4)
    for part in [Split.Part.validation, .test] {
      let all = ForecastOrigins(table, split: split, part: part)
      let some = ForecastOrigins(table, split: split, part: part, stride: every)
      #expect(some.dates == (all.dates + every - 1) / every)
      let expected = all.all.filter { $0.date % every == 0 }
      #expect(some.all.map(\.row) == expected.map(\.row))
      #expect(some.all.map(\.series) == expected.map(\.series))
      #expect(some.all.map(\.date) == expected.map { $0.date / every })
      for (series, range) in some.ranges.enumerated() {
        #expect(some.all[range].allSatisfy { $0.series == series })
      }
      #expect(some.ranges.last?.upperBound == some.all.count)
    }
  }
}
