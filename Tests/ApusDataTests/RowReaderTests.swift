import ApusData
import Testing

@Suite("Rows of a live table")
struct RowReaderTests {
  private static func reader(_ target: String?, time: String? = nil) -> RowReader {
    var options = SeriesOptions()
    options.targets = target.map { [$0] } ?? []
    options.time = time.map { [$0] } ?? []
    return RowReader(options: options, isIntraday: false) { $0 != "open" }
  }

  private static func day(_ day: Int) -> Timestamp? { Timestamp(year: 2020, month: 1, day: day) }

  @Test("settles the columns by the header and the first row")
  func header() throws {
    var reader = Self.reader("close")
    #expect(try reader.row("\u{FEFF}date,open,close,volume") == nil)
    #expect(try reader.row("") == nil)
    let row = try #require(try reader.row("2020-01-02, 1 ,2.5,\"1,000\""))
    #expect(row.stamp == Self.day(2) && row.value == 2.5 && row.covariates == [1000])
    #expect(reader.covariateNames == ["volume"])
    let second = try #require(try reader.row("2020-01-03,1,NA,"))
    #expect(second.value.isNaN && second.covariates[0].isNaN)
  }

  @Test("reads times and values without a header, and bare values")
  func noHeader() throws {
    var reader = Self.reader("close")
    #expect(try reader.row("2020-01-02,7")?.value == 7)
    #expect(try reader.row("2020-01-03,8")?.stamp == Self.day(3))
    var named = Self.reader("close")
    #expect(try named.row("time,value") == nil)
    #expect(try named.row("2020-01-02,7")?.value == 7)
    var bare = Self.reader(nil)
    #expect(try bare.row("1.5")?.value == 1.5)
    #expect(try bare.row("2.5")?.value == 2.5)
  }

  @Test(
    "names the line and what is wrong with it, and goes on",
    arguments: [
      ("2020-01-09,1,x,3", "found 'x' in column 'close', expected a number"),
      ("9,1,2,3", "found '9' in column 'date', expected a date like 2015-12-31"),
      ("2020-01-09,1,2", "found 3 fields, expected 4"),
      ("2020-01-09,1,2,3,4", "found 5 fields, expected 4"),
      ("2020-01-02,1,2,3", "found the time 2020-01-02 after 2020-01-02, expected a later one"),
      ("\"2020-01-09,1,2,3", "found a quote that is never closed, expected one row on one line"),
      ("2020-01-09,1,\u{1},3", "found bytes that no text holds, expected one row of text"),
    ])
  func badRows(line: String, problem: String) throws {
    var reader = Self.reader("close")
    _ = try reader.row("date,open,close,volume")
    _ = try reader.row("2020-01-02,1,2,3")
    #expect(throws: RowError(line: 3, problem: problem)) { try reader.row(line) }
    #expect(try reader.row("2020-01-10,1,2,3")?.stamp == Self.day(10))
  }

  @Test("passes over bad first rows, but ends where the target is not there")
  func badStart() throws {
    var reader = Self.reader("close")
    _ = try reader.row("date,close")
    #expect(throws: RowError.self) { try reader.row("2020-01-02,3,4") }
    #expect(try reader.row("2020-01-03,3")?.value == 3)
    var missing = Self.reader("adj")
    _ = try missing.row("date,open,close")
    #expect(throws: SeriesError.self) { try missing.row("2020-01-02,3,4") }
  }

  @Test("keeps the order of times for each series of its own")
  func series() throws {
    var options = SeriesOptions()
    (options.id, options.targets) = (["unique_id"], ["y"])
    var reader = RowReader(options: options, isIntraday: false) { _ in false }
    _ = try reader.row("unique_id,ds,y")
    #expect(try reader.row("a,2020-01-02,1")?.series == "a")
    #expect(try reader.row("b,2020-01-02,2")?.series == "b")
    #expect(throws: RowError.self) { try reader.row("a,2020-01-02,1") }
  }

  @Test("agrees with the reader of whole files")
  func agreesWithFiles() throws {
    let text = "Date;Close;Volume\n31.12.2019;1,5;10\n02.01.2020;;20\n03.01.2020;2,5;30\n"
    var options = SeriesOptions()
    options.targets = ["Close"]
    let table = try SeriesTable(parsingCSV: Array(text.utf8), options: options)
    var reader = RowReader(options: options, isIntraday: false) { _ in true }
    let rows = try text.split(separator: "\n").compactMap { try reader.row(String($0)) }
    #expect(rows.map(\.stamp) == table.series[0].timestamps)
    #expect(rows.map(\.value.bitPattern) == table.series[0].values.map(\.bitPattern))
    #expect(rows.map { $0.covariates[0] } == table.series[0].covariates[0].values)
  }
}
