import ApusData
import Foundation
import Testing

@Suite("Series reader")
struct SeriesReaderTests {
  private func read(
    _ text: String, _ change: (inout SeriesOptions) -> Void = { _ in }
  ) throws -> SeriesTable {
    var options = SeriesOptions()
    change(&options)
    return try SeriesTable(parsingCSV: Array(text.utf8), name: "data/input.csv", options: options)
  }

  private func stamps(_ one: TimeSeries) -> [String] { one.timestamps.map(\.description) }

  @Test(
    "reads one series whatever the line ends, the mark and the delimiter",
    arguments: ["\n", "\r\n", "\r"], [",", ";", "\t", "|"])
  func readsLineEnds(end: String, delimiter: String) throws {
    for mark in ["", "\u{FEFF}"] {
      for tail in ["", end] {
        let lines = [
          "date,value", "2020-01-02, 1.5", "2020-01-03 ,\"2.5\"", "", "2020-01-06,-3e-1",
        ]
        let text = mark + lines.joined(separator: end).replacing(",", with: delimiter) + tail
        let table = try read(text)
        #expect(table.series[0].values == [1.5, 2.5, -0.3])
        #expect(stamps(table.series[0]) == ["2020-01-02", "2020-01-03", "2020-01-06"])
        #expect(table.series[0].id == "input")
        #expect(table.report.findings.isEmpty)
      }
    }
  }

  @Test("keeps newlines, delimiters and quotes inside quotes, and counts lines through them")
  func readsQuotes() throws {
    let table = try read(
      "date,name,value\n2020-01-02,\"a,\n\"\"b\"\"\",1\n2020-01-02,c,2\n2020-01-03,\"a,\n\"\"b\"\"\",x\n"
        + (3..<30).map { "2020-02-\($0 < 10 ? "0" : "")\($0),c,\($0)\n" }.joined()
    ) { $0.id = ["name"] }
    #expect(table.series.map(\.id) == ["a,\n\"b\"", "c"])
    #expect(table.report.finding(.unreadableValue)?.examples.first?.line == 5)
  }

  @Test("takes no word for missing in a column of names")
  func namesAreNotMissing() throws {
    let rows = (1...20).flatMap { day in
      ["0", "1", "2", "OT"].map { "2020-01-\(day < 10 ? "0" : "")\(day),\($0),\(day).5" }
    }
    let table = try read("date,name,value\n" + rows.joined(separator: "\n"))
    #expect(Set(table.series.map(\.id)) == ["0", "1", "2", "OT"])
    #expect(!table.report.notes.contains { $0.contains("as missing") })
    // In a column of numbers it is.
    let numbers = (1...21).map {
      "2020-01-\($0 < 10 ? "0" : "")\($0),\($0 % 5 == 0 ? "OT" : "\($0).5")"
    }
    let found = try read("date,value\n" + numbers.joined(separator: "\n"))
    #expect(found.report.notes.contains("In column 'value' 'ot' (4 cells) was taken as missing."))
    #expect(found.series[0].values.count { $0.isNaN } == 4)
  }

  @Test("reads decimal commas, thousands, percent and currency")
  func readsNumbers() throws {
    let german = try read("Datum;Preis\n02.01.2020;1.234,5\n03.01.2020;2,25\n06.01.2020;-0,5\n")
    #expect(german.series[0].values == [1234.5, 2.25, -0.5])
    #expect(german.report.notes.contains { $0.contains("decimal comma") })
    let english = try read(
      "Date,Price,Vol.,Change %\n\"Jan 02, 2020\",\"1,234.56\",1.2M,0.5%\n\"Jan 03, 2020\",\"$1,300\",900K,-1%\n"
    )
    #expect(english.series[0].values == [1234.56, 1300])
    #expect(english.series[0].covariate(named: "vol") == [1.2e6, 9e5])
    #expect(english.series[0].covariate(named: "change %") == [0.5, -1])
  }

  @Test("reads numbers to the last bit, over a hundred seeds")
  func readsBits() throws {
    for seed in 0..<100 {
      var random = SeededRandom(seed: UInt64(seed))
      let values = (0..<20).map { _ in random.normal() * exp(20 * random.normal()) }
      let rows = values.enumerated().map { "\($0),\($1)" }.joined(separator: "\n")
      #expect(try read("t,y\n" + rows).series[0].values == values, "seed \(seed)")
    }
    let odd = try read(
      "t,y\n0,9007199254740993\n1,0.1234567890123456789\n2,123456789012345678901234567890\n3,.5\n4,5.\n"
    )
    #expect(
      odd.series[0].values == [
        0x1p53, 0.12345678901234568, 1.2345678901234568e29, 0.5, 5,
      ])
  }

  @Test("tells day from month by the column, by its order, and stops when neither helps")
  func ordersDayAndMonth() throws {
    let byValue = try read("date,y\n01/02/2020,1\n13/02/2020,2\n")
    #expect(stamps(byValue.series[0]) == ["2020-02-01", "2020-02-13"])
    let american = try read("date,y\n01/02/2020,1\n01/13/2020,2\n")
    #expect(stamps(american.series[0]) == ["2020-01-02", "2020-01-13"])
    let byOrder = try read("date,y\n10/01/2020,1\n11/01/2020,2\n12/01/2020,3\n01/02/2020,4\n")
    #expect(stamps(byOrder.series[0]).last == "2020-02-01")
    #expect(byOrder.report.notes.contains { $0.contains("order of the rows") })
    let open = #expect(throws: SeriesError.self) {
      try read("date,y\n01/02/2020,1\n01/03/2020,2\n")
    }
    let sentence = try #require(open?.description)
    for word in ["'date'", "2020-02-01 or 2020-01-02", "--day-first"] {
      #expect(sentence.contains(word), "\(sentence)")
    }
    let told = try read("date,y\n01/02/2020,1\n01/03/2020,2\n") { $0.dayFirst = true }
    #expect(stamps(told.series[0]) == ["2020-02-01", "2020-03-01"])
    let dots = try read("date;y\n01.02.2020;1\n02.02.2020;2\n")
    #expect(stamps(dots.series[0]).first == "2020-02-01")
  }

  @Test("joins a date and a time of day, and parts of a date")
  func joinsColumns() throws {
    let bars = try read(
      "<DATE>\t<TIME>\t<CLOSE>\n2020.01.02\t09:30:00\t1\n2020.01.02\t10:30:00\t2\n2020.01.02\t11:30:00\t3\n"
    )
    #expect(stamps(bars.series[0]).last == "2020-01-02T11:30:00")
    #expect(bars.cadence.frequency == .seconds(3_600))
    let parts = try read(
      "year,month,day,hour,pm2.5\n2010,1,2,0,129\n2010,1,2,1,148\n2010,1,2,2,159\n")
    #expect(stamps(parts.series[0]).last == "2010-01-02T02:00:00")
    #expect(parts.series[0].values == [129, 148, 159])
  }

  @Test("keeps local days and moves zoned times to universal time")
  func keepsDays() throws {
    let days = try read("date,y\n2020-01-06 00:00:00+09:00,1\n2020-01-07 00:00:00+09:00,2\n")
    #expect(stamps(days.series[0]) == ["2020-01-06", "2020-01-07"])
    let hours = try read("date,y\n2020-01-06T01:00:00+09:00,1\n2020-01-06T02:00:00+09:00,2\n")
    #expect(stamps(hours.series[0]).first == "2020-01-05T16:00:00")
  }

  @Test("finds epochs under a name, or where they rise")
  func findsEpochs() throws {
    let rows = (0..<12).map { "\(1_470_873_600 + 60 * $0),\(500 + $0 % 3)\n" }.joined()
    for name in ["timestamp", "whatever"] {
      let table = try read("\(name),close\n" + rows)
      #expect(table.cadence.frequency == .seconds(60))
      #expect(stamps(table.series[0]).first == "2016-08-11")
    }
    let milliseconds = try read("time,close\n1470873600000,1\n1470873660000,2\n1470873720000,3\n")
    #expect(milliseconds.cadence.frequency == .seconds(60))
  }

  @Test("reads a long table sorted by name or by date alike")
  func readsLong() throws {
    let days = (1...9).map { "2020-01-0\($0)" }
    let rows = ["B", "A"].flatMap { name in
      days.enumerated().map { (day: $1, line: "\($1),\($0 + 1),\(name)") }
    }
    let header = "date,load,Name\n"
    let byName = try read(header + rows.map(\.line).joined(separator: "\n"))
    let byDay = try read(
      header + rows.sorted { $0.day < $1.day }.map(\.line).joined(separator: "\n"))
    #expect(byName.series == byDay.series || byName.series == byDay.series.reversed())
    #expect(byName.series.map(\.id) == ["B", "A"])
    #expect(byName.series[1].values == (1...9).map(Double.init))
    #expect(byName.report.findings.isEmpty)
  }

  @Test("reads wide tables as several series, or one with covariates")
  func readsWide() throws {
    let text = "date,north,south\n2020-01-01,1,10\n2020-01-02,2,\n2020-01-03,3,30\n"
    let wide = try read(text)
    #expect(wide.series.map(\.id) == ["north", "south"])
    #expect(wide.series[1].values[1].isNaN)
    #expect(wide.report.count(.missingTarget) == 1)
    let one = try read(text) { $0.targets = ["South"] }
    #expect(one.series.count == 1 && one.covariateNames == ["north"])
    let bar = try read("date,open,close\n2020-01-01,1,2\n2020-01-02,2,3\n")
    #expect(bar.targetName == "close" && bar.covariateNames == ["open"])
    let bare = try read("date,open,close\n2020-01-01,1,2\n2020-01-02,2,3\n") { $0.covariates = [] }
    #expect(bare.covariateNames.isEmpty)
    let long = try read(
      "date,id,a,b\n2020-01-01,x,1,2\n2020-01-01,z,3,4\n2020-01-02,x,5,6\n2020-01-02,z,7,8\n"
    ) {
      $0.targets = ["*"]
    }
    #expect(long.series.map(\.id) == ["x/a", "x/b", "z/a", "z/b"])
  }

  @Test("reads one series per row")
  func readsRows() throws {
    let m4 = try read(
      "\"V1\",\"V2\",\"V3\",\"V4\",\"V5\"\n\"H1\",\"5\",\"6\",\"7\",\n\"H2\",\"8\",\"\",\"9\",\"1\"\n"
    )
    #expect(m4.series.map(\.id) == ["H1", "H2"])
    #expect(m4.series[0].values == [5, 6, 7])
    #expect(m4.series[1].values.count == 4 && m4.series[1].values[1].isNaN)
    #expect(m4.cadence.frequency == .steps)
    let months = try read("page,2020-01-01,2020-02-01,2020-03-01\na,1,2,3\nb,4,5,6\n")
    #expect(months.cadence.frequency == .months(1))
    #expect(months.series[1].values == [4, 5, 6])
  }

  @Test("reads rows without a clock, a header or more than a column")
  func readsBare() throws {
    #expect(try read("1\n2\n3\n").series[0].values == [1, 2, 3])
    let unnamed = try read("2020-01-02,1\n2020-01-03,2\n")
    #expect(unnamed.series[0].values == [1, 2])
    #expect(unnamed.report.notes.contains { $0.contains("names no columns") })
    let steps = try read("y\n1\n2\n3\n")
    #expect(steps.cadence.frequency == .steps)
  }

  @Test("puts rows in order, settles duplicates, and tells the lines")
  func settlesRows() throws {
    let text = """
      date,close
      2020-01-01,1
      2020-01-03,3
      2020-01-02,2
      2020-01-03,3
      2020-01-04,4
      2020-01-04,40

      """
    // Two of six rows would be lost: that is asked before it is done.
    #expect(throws: SeriesError.self) { try read(text) }
    let table = try read(text) { $0.duplicates = .keepLast }
    #expect(table.series[0].values == [1, 2, 3, 40])
    #expect(table.report.finding(.outOfOrder)?.examples.map(\.line) == [4])
    #expect(table.report.finding(.duplicateRow)?.examples.map(\.line) == [5])
    #expect(table.report.finding(.conflictingRow)?.examples.map(\.line) == [7])
    #expect(table.report.rowsRead == 6 && table.report.rowsUsed == 4)
    #expect(try read(text) { $0.duplicates = .keepFirst }.series[0].values == [1, 2, 3, 4])
    #expect(try read(text) { $0.duplicates = .sum }.series[0].values == [1, 2, 6, 44])
    #expect(try read(text) { $0.duplicates = .mean }.series[0].values == [1, 2, 3, 22])
    #expect(
      throws: SeriesError.duplicateTime(
        file: "data/input.csv", line: 7, series: "input", time: "2020-01-04")
    ) {
      try read(text) { $0.duplicates = .fail }
    }
    let reversed = try read("date,y\n2020-01-03,3\n2020-01-02,2\n2020-01-01,1\n")
    #expect(reversed.series[0].values == [1, 2, 3])
    #expect(reversed.report.count(.outOfOrder) == 0)
    #expect(reversed.report.notes.contains { $0.contains("newest first") })
  }

  @Test("reports bad cells, bad rows, gaps and odd prices by line, and reads on")
  func reportsFaults() throws {
    var lines = ["date,open,high,low,close"]
    for day in try Cadence(.businessDays).stamps(
      after: try #require(Timestamp("2019-12-31")), count: 60)
    {
      lines.append("\(day),10,11,9,10.\(lines.count % 7)")
    }
    lines[5] += ",7"  // line 6: six fields
    lines[9] = lines[9].replacing(",11,9,", with: ",8,9,")  // line 10
    lines[14] = "\(lines[14].prefix(10)),10,11,9,oops"  // line 15
    lines[19] = "\(lines[19].prefix(10)),0,11,9,20"  // line 20: zero, and a jump there and back
    lines.removeSubrange(30..<40)
    let table = try read(lines.joined(separator: "\n"))
    let report = table.report
    #expect(report.finding(.unreadableRow)?.examples.map(\.line) == [6])
    #expect(report.finding(.highBelowLow)?.examples.map(\.line) == [10])
    #expect(report.finding(.unreadableValue)?.examples.map(\.line) == [15])
    #expect(report.finding(.nonPositivePrice)?.examples.map(\.line) == [20])
    #expect(report.finding(.jump)?.examples.map(\.line) == [20, 21])
    #expect(report.finding(.gap)?.rows == 10)
    #expect(report.finding(.closure)?.rows == 1)
    #expect(table.series[0].values.count { $0.isNaN } == 1)
    #expect(report.sentences.contains { $0.contains("line 6 (found 6 fields, expected 5)") })
    #expect(try roundTrip(report) == report)
  }

  @Test("reports stretches that stand still")
  func reportsConstants() throws {
    let rows = (0..<40).map { "\($0),\((10..<25).contains($0) ? 5 : $0 * $0)" }
    let report = try read("t,y\n" + rows.joined(separator: "\n")).report
    #expect(report.finding(.constantStretch)?.rows == 15)
    #expect(report.finding(.constantStretch)?.examples.first?.line == 12)
  }

  @Test("reads Latin-1 and says so")
  func readsLatin1() throws {
    let bytes = Array("date,Preis in ".utf8) + [0xA3] + Array("\n2020-01-02,1\n2020-01-03,2\n".utf8)
    let table = try SeriesTable(parsingCSV: bytes)
    #expect(table.targetName == "Preis in £")
    #expect(table.report.notes.contains { $0.contains("Latin-1") })
  }

  @Test("skips comments, titles and Excel's hint")
  func skipsPreamble() throws {
    #expect(try read("# source\n# more\ndate,y\n2020-01-02,1\n").series[0].values == [1])
    #expect(try read("sep=;\ndate;y\n2020-01-02;1,5\n").series[0].values == [1.5])
    let titled = try read(
      "Prices of something\n\ndate,y\n2020-01-02,1\n2020-01-03,x\n"
        + (4..<30).map { "2020-01-\($0 < 10 ? "0" : "")\($0),2\n" }.joined())
    #expect(titled.report.finding(.unreadableValue)?.examples.first?.line == 5)
  }

  @Test("reads a hundred thousand rows in seconds")
  func isFast() throws {
    let rows = (0..<100_000).map { "\(1_470_873_600 + 60 * $0),\(Double($0) * 0.37),1,2,3\n" }
      .joined()
    let start = ContinuousClock.now
    let table = try read("timestamp,close,a,b,c\n" + rows)
    #expect(table.rowCount == 100_000)
    #expect(ContinuousClock.now - start < .seconds(20))
  }
}
