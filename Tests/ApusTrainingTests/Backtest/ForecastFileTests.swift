import ApusData
import ApusEvaluation
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Somebody else's forecasts")
struct ForecastFileTests {
  private func read(_ text: String, data: SeriesTable? = nil) throws -> ForecastFile {
    try withTemporaryFolder { folder in
      let path = folder + "/forecasts.csv"
      try Data(text.utf8).write(to: URL(filePath: path))
      return try ForecastFile(readingCSVAt: path, data: data)
    }
  }

  @Test("are read with the quantiles that their columns' names tell")
  func columns() throws {
    let file = try read(
      """
      unique_id,ds,cutoff,y,NHITS-lo-90.0,NHITS-median,NHITS-hi-90.0,AutoARIMA
      a,2024-01-03T00:00:00,2024-01-02,10,8,9,14,12
      a,2024-01-04,2024-01-02,20,15,,25,18
      b,2024-01-03 00:00:00,2024-01-02,1,0,2,3,2
      """)
    #expect(file.table.models.map(\.name) == ["NHITS", "AutoARIMA"])
    let levels = file.table.models[0].levels
    #expect(zip(levels, [0.05, 0.5, 0.95]).allSatisfy { abs($0 - $1) < 1e-12 })
    #expect(file.table.models[1].levels == [0.5])
    #expect(file.table.rows.map(\.ds) == ["2024-01-03", "2024-01-04", "2024-01-03"])
    #expect(file.table.rows.map(\.step) == [1, 2, 1])
    let scores = try file.scores()
    // Rows 1 and 3 alone, as NHITS lacks a number in row 2. By hand:
    // errors of its median 1 and 1, of AutoARIMA's 2 and 1.
    #expect(scores.summaries.map(\.count) == [2, 2] && scores.notes.count == 1)
    func mae(_ name: String) -> Double? {
      scores.summaries.first { $0.model == name }?.metrics.first { $0.name == "MAE" }?.value
    }
    #expect(mae("NHITS") == 1 && mae("AutoARIMA") == 1.5)
    let loss = try #require(scores.summaries.first { $0.model == "NHITS" }?.loss)
    let first = (0.05 * 2 + 0.5 * 1 + 0.05 * 4) / 3
    let third = (0.05 * 1 + 0.5 * 1 + 0.05 * 2) / 3
    #expect(abs(loss - (first + third) / 2) < 1e-12)
    #expect(scores.bySeries.map(\.series) == ["a", "a", "b", "b"])
  }

  @Test("take what came from the series where they lack it, by name and time")
  func data() throws {
    let start = Date(timeIntervalSince1970: 1_704_067_200)  // 2024-01-01
    let table = SeriesTable([
      try TimeSeries(
        "s", dates: (0..<20).map { start + Double($0) * 86_400 },
        values: (0..<20).map { Double($0) })
    ])
    let file = try read("unique_id,ds,m\ns,2024-01-11,11\ns,2024-01-12,12\n", data: table)
    #expect(file.table.rows.map(\.actual) == [10, 11])
    let summary = try #require(try file.scores().summaries.first)
    #expect(summary.metrics.first { $0.name == "MAE" }?.value == 1)
  }

  @Test("that cannot be scored are refused with what is missing")
  func refusals() throws {
    func error(_ text: String) -> String {
      do {
        _ = try read(text).scores()
        return ""
      } catch { return "\(error)" }
    }
    #expect(error("time,y,m\n1,2,3\n").contains("has no column 'ds' of times; it has time, y, m"))
    #expect(error("ds,m\n1,2\n").contains("has no column 'y'"))
    #expect(error("ds,y\n1,2\n").contains("has no forecasts"))
    #expect(error("ds,y,m\n1,2,x\n").contains("line 2: found 'x' in column 'm'"))
    #expect(error("ds,y,m\n1,2\n").contains("found 2 fields, expected 3"))
    #expect(error("ds,y,m\n1,,3\n").contains("No origin has a forecast"))
  }
}
