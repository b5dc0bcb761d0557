import ApusEvaluation
import Foundation
import Testing

@Suite("Table of further measures")
struct MeasureTableTests {
  @Test("it sets every row's measures side by side, shares as percentages, gaps as dashes")
  func cells() throws {
    var record = SampleComparison.series()
    for index in record.rows.indices { record.rows[index].metrics = [] }
    let names = record.ranked.map(\.name)
    let first = try #require(record.rows.firstIndex { $0.name == names[0] })
    let second = try #require(record.rows.firstIndex { $0.name == names[1] })
    record.rows[first].metrics = [
      NamedMetric(name: "MAE", value: 0.012345),
      NamedMetric(name: "coverage 90 %", value: 0.8765, detail: "0.9 would be right"),
    ]
    record.rows[second].metrics = [NamedMetric(name: "direction", value: 0.5)]
    let page = try renderReport(record)
    let start = try #require(page.range(of: ">MAE<"))
    let table = page[start.lowerBound...]
    let columns = ["MAE", "coverage 90 %", "direction"].map { table.range(of: ">\($0)<") }
    #expect(columns.allSatisfy { $0 != nil })
    #expect(table.contains("0.0123"))
    #expect(table.contains("87.6") || table.contains("87.7"))
    #expect(table.contains("0.9 would be right"))
    #expect(table.contains("50.0"))
    #expect(table.contains(">–<"))
  }

  @Test("it is left out when no row has any")
  func absent() throws {
    var record = SampleComparison.series()
    for index in record.rows.indices { record.rows[index].metrics = [] }
    #expect(!(try renderReport(record)).contains(">coverage 90 %<"))
  }
}
