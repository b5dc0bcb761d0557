import ApusData
import Testing

extension RowReader {
  /// The row of a line that holds one at most.
  mutating func row(_ text: String) throws -> LiveRow? {
    let found = try line(text)
    #expect(found.rows.count <= 1 && found.problems.isEmpty)
    return found.rows.first
  }
}

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

  @Test("reads several targets of a line as series of their own, and loses none to another")
  func wide() throws {
    let text = "t,a,b,c\n1,1,2,30\n2,1.5,2.5,31\n3,2,2,30\n4,1,3,32\n5,2,4,31\n"
    var options = SeriesOptions()
    options.targets = ["*"]
    let table = try SeriesTable(parsingCSV: Array(text.utf8), options: options)
    #expect(table.series.map(\.id) == ["a", "b", "c"])
    options.format = table.format
    var reader = RowReader(options: options, isIntraday: false) { _ in false }
    #expect(try reader.line("t,a,b,c").rows.isEmpty)
    // The first row does not tell that b is a column of numbers, the file did.
    let first = try reader.line("6,7,,9")
    #expect(first.rows.map(\.series) == ["a", "b", "c"] && first.problems.isEmpty)
    #expect(first.rows[0].value == 7 && first.rows[1].value.isNaN && first.rows[2].value == 9)
    let second = try reader.line("7,8,oops,10")
    #expect(second.rows.map(\.series) == ["a", "c"] && second.rows.map(\.value) == [8, 10])
    let problem = try #require(second.problems.first)
    #expect(
      problem.description
        == "line 3: found 'oops' in column 'b', expected a number; the row of 'b' was skipped")
    // b has not seen the seventh row, a and c have.
    let late = try reader.line("7,1,1,1")
    #expect(late.rows.map(\.series) == ["b"] && late.problems.map(\.series) == ["a", "c"])
    let again = try #require(throws: RowError.self) { try reader.line("7,1,1,1") }
    #expect(again.series == nil && again.problem.contains("expected a later one"))
  }

  @Test("reads a series in each line, and what a line has grown by")
  func rowPerSeries() throws {
    let text = "id,2001,2002,2003,2004,2005\nnorth,1,2,3,4,5\nsouth,,7,8,9,\neast,3,3,4,5,6\n"
    let table = try SeriesTable(parsingCSV: Array(text.utf8))
    #expect(table.series.count == 3)
    var options = SeriesOptions()
    options.format = table.format
    var reader = RowReader(options: options, isIntraday: false) { _ in false }
    for (place, line) in text.split(separator: "\n").enumerated() {
      let rows = try reader.line(String(line)).rows
      guard place > 0 else {
        #expect(rows.isEmpty)
        continue
      }
      let known = table.series[place - 1]
      #expect(rows.allSatisfy { $0.series == known.id })
      #expect(rows.map(\.stamp) == known.timestamps && rows.map(\.value) == known.values)
    }
    #expect(try reader.line("south,,7,8,9,10").rows.map(\.value) == [10])
    #expect(throws: RowError.self) { try reader.line("south,,7,8,9,10") }
    let holed = try reader.line("west,1,x,3")
    #expect(holed.rows.map { $0.value.isNaN ? -1 : $0.value } == [1, -1, 3])
    #expect(holed.problems.map(\.problem) == ["found 'x' in column '2002', expected a number"])
    #expect(throws: RowError.self) { try reader.line(",1,2,3") }
    #expect(throws: RowError.self) { try reader.line("void,,,") }
  }
}
