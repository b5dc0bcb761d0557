import ApusData
import Foundation
import Testing

@Suite("Shapes and numbers of tables")
struct ShapeInputTests {
  /// A series a row, several lines of names, files that other programs write.
  static let shapes: [TableInput] = {
    func cells(_ row: Int, _ count: Int, separator: String = ",") -> String {
      (0..<count).map { "\(100 + row * 7 + $0)" }.joined(separator: separator)
    }
    let years = (1970...2009).map { "\"\($0)\"" }.joined(separator: ",")
    let dates = Made.days(40, from: "2020-01-22").map {
      "\($0.month)/\($0.day)/\(Made.two($0.year % 100))"
    }.joined(separator: ",")
    let days = Made.weekdays(100)
    func grid(_ row: Int, _ values: Int) -> String {
      (0..<values).map { "\(100 + row + $0)" }.joined(separator: ",")
    }
    return [
      TableInput(
        name: "years in the header, titles above",
        text:
          "\"Data Source\",\"Indicators\",\n\n\"Last Updated Date\",\"2024-05-30\",\n\n\"Country Name\",\"Code\",\"Indicator\",\(years),\n"
          + (0..<30).map { "\"Land \($0)\",\"L\($0)\",\"GDP\",\(cells($0, 40)),\n" }.joined(),
        series: 30, rows: 40, first: "1970-01-01", last: "2009-01-01", frequency: .months(12),
        value: 100),
      TableInput(
        name: "days in the header, places without a name",
        text: "Province,Country,Lat,Long,\(dates)\n"
          + (0..<20).map {
            "\($0 % 3 == 0 ? "P\($0)" : ""),C\($0 / 4),\($0).5,-\($0).25,\(cells($0, 40))\n"
          }.joined(),
        series: 20, rows: 40, first: "2020-01-22", last: "2020-03-01", frequency: .days(1),
        value: 100),
      TableInput(
        name: "ends of months in the header",
        text: "RegionID,SizeRank,RegionName,State,"
          + Made.months(2020...2022).map {
            "\($0.year)-\(Made.two($0.month))-\(["31", "28", "31", "30", "31", "30", "31", "31", "30", "31", "30", "31"][$0.month - 1])"
          }.joined(separator: ",") + "\n"
          + (0..<12).map { "\(394_000 + $0),\($0),\"Town \($0), T\",T\($0 % 3),\(cells($0, 36))\n" }
          .joined(),
        series: 12, rows: 36, first: "2020-01-31", last: "2022-12-31", frequency: .months(1),
        value: 100),
      TableInput(
        name: "months by name in the header",
        text: "product,Jan-20,Feb-20,Mar-20,Apr-20,May-20,Jun-20,Jul-20,Aug-20\n"
          + (0..<5).map { "p\($0),\(cells($0, 8))\n" }.joined(),
        series: 5, rows: 8, first: "2020-01-01", last: "2020-08-01", frequency: .months(1),
        value: 100),
      TableInput(
        name: "quarters in the header, newest first",
        text: "Series Name;2019Q4;2019Q3;2019Q2;2019Q1;2018Q4\n"
          + (0..<4).map { "s\($0);\(cells($0, 5, separator: ";"))\n" }.joined(),
        series: 4, rows: 5, first: "2018-10-01", last: "2019-10-01", frequency: .months(3),
        value: 104),
      TableInput(
        name: "weeks in the header, two numbers for a name",
        text: "store,item,2023-01-02,2023-01-09,2023-01-16,2023-01-23,2023-01-30\n"
          + [1, 2].flatMap { store in [1, 2, 3].map { "\(store),\($0),\(cells($0, 5))\n" } }
          .joined(),
        series: 6, rows: 5, first: "2023-01-02", last: "2023-01-30", frequency: .days(7), value: 107
      ),
      TableInput(
        name: "fields above tickers, two of them",
        text:
          "Price,Close,Close,High,High,Volume,Volume\nTicker,AAA,BBB,AAA,BBB,AAA,BBB\nDate,,,,,,\n"
          + days.enumerated().map { "\($1.iso),\(grid($0, 6))\n" }.joined(),
        series: 2, rows: 100, first: "2021-03-01", frequency: .businessDays, target: "Close",
        value: 100),
      TableInput(
        name: "fields above one ticker",
        text: "Price,Close,High,Low,Open,Volume\nTicker,AAA,AAA,AAA,AAA,AAA\nDate,,,,,\n"
          + days.enumerated().map { "\($1.iso),\(grid($0, 5))\n" }.joined(),
        rows: 100, first: "2021-03-01", frequency: .businessDays, target: "Close", value: 100),
      TableInput(
        name: "tickers above fields",
        text: ",AAA,AAA,BBB,BBB\n,Open,Close,Open,Close\nDate,,,,\n"
          + days.enumerated().map { "\($1.iso),\(grid($0, 4))\n" }.joined(),
        series: 2, rows: 100, first: "2021-03-01", frequency: .businessDays, target: "Close",
        value: 101),
      TableInput(
        name: "tickers in merged cells",
        text: "Date,AAA,,BBB,\n,Open,Close,Open,Close\n"
          + days.enumerated().map { "\($1.iso),\(grid($0, 4))\n" }.joined(),
        series: 2, rows: 100, first: "2021-03-01", frequency: .businessDays, target: "Close",
        value: 101),
      TableInput(
        name: "units below the names",
        text: "time,temp,load\n,degC,MW\n"
          + Made.hours(100).enumerated().map { "\($1.iso) \($1.clock),\(Made.number($0)),\($0)\n" }
          .joined(),
        rows: 100, first: "2023-01-02", frequency: .seconds(3_600), target: "load", value: 0),
      TableInput(
        name: "a source below the rows",
        text: "date,x,y\n" + Made.days(50).map { "\($0.iso),1.5,2\n" }.joined()
          + "\"Source: an office, table 7\"\nDownloaded today\n",
        rows: 50, first: "2021-03-01", frequency: .days(1), target: "y"),
      TableInput(
        name: "months in columns, years in rows",
        text: "Year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec,Annual\n"
          + (2000...2009).map { year in
            "\(year),"
              + (1...12).map { year == 2009 && $0 > 6 ? "" : "\(year + $0)" }.joined(separator: ",")
              + ",7\n"
          }.joined(),
        rows: 114, first: "2000-01-01", last: "2009-06-01", frequency: .months(1), value: 2_001),
      TableInput(
        name: "months in columns, countries and years in rows, in German",
        text: "Land;Jahr;Januar;Februar;März;April;Mai;Juni;Juli;August;September;Oktober;November;"
          + "Dezember\n"
          + ["A", "B"].flatMap { land in
            (2000...2004).map { year in
              "\(land);\(year);" + (1...12).map { "\($0),5" }.joined(separator: ";") + "\n"
            }
          }.joined(),
        series: 2, rows: 60, first: "2000-01-01", last: "2004-12-01", frequency: .months(1),
        value: 1.5),
      TableInput(
        name: "quarters in columns",
        text: "year,Q1,Q2,Q3,Q4\n"
          + (2000...2019).map { "\($0),\($0),2,3,4\n" }.joined(),
        rows: 80, first: "2000-01-01", last: "2019-10-01", frequency: .months(3), value: 2_000),
      TableInput(
        name: "the Monash archive",
        text:
          "# made\n@relation x\n@attribute series_name string\n@attribute start_timestamp date\n@frequency half_hourly\n@horizon 48\n@missing true\n@equallength false\n@data\nT1:2012-01-01 00-00-00:1,2,?,4,5\nT2:2012-01-02 00-30-00:5,6,7\n",
        series: 2, rows: 5, first: "2012-01-01", last: "2012-01-01T02:00:00",
        frequency: .seconds(1_800), target: "value", value: 1),
      TableInput(
        name: "JSON Lines",
        text:
          "{\"start\":\"2021-01-01 00:00:00\",\"target\":[1,2,\"NaN\",4,5.5],\"item_id\":\"s1\",\"freq\":\"H\",\"feat_dynamic_real\":[[1,2,3,4,5,6,7]]}\n{\"start\":\"2021-01-02 00:00:00\",\"target\":[3,2],\"item_id\":\"s2\",\"freq\":\"H\"}\n",
        series: 2, rows: 5, first: "2021-01-01", last: "2021-01-01T04:00:00",
        frequency: .seconds(3_600), target: "target", value: 1),
      TableInput(
        name: "twelve columns of an exchange without names",
        text: zip(0..<300, Made.prices(300)).map { row, price in
          "\(1_500_000_000_000 + 60_000 * row),\(price),\(price + 0.5),\(price - 0.5),\(price + 0.25),\(row % 9).5,\(1_500_000_000_000 + 60_000 * row + 59_999),\(1_000 + row % 7),\(50 + row % 9),2.5,500.5,0\n"
        }.joined(),
        rows: 300, first: "2017-07-14T02:40:00", frequency: .seconds(60), target: "close"),
      TableInput(
        name: "names in angle brackets",
        text: "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n"
          + days.enumerated().map {
            "SPX,D,\($1.compact),000000,100.5,102.5,99.5,\(101.5 + Double($0)),7\n"
          }.joined(),
        rows: 100, first: "2021-03-01", frequency: .businessDays, target: "<CLOSE>", value: 101.5),
    ]
  }()

  @Test("are read whatever lies in rows and in the head", arguments: shapes)
  func shape(input: TableInput) throws { try input.check() }

  @Test("give covariates of each series, and what JSON Lines know of the future")
  func covariates() throws {
    let text = Self.shapes.first { $0.name == "fields above tickers, two of them" }?.text ?? ""
    let two = try SeriesTable(parsingCSV: Array(text.utf8))
    #expect(two.series.map(\.id) == ["AAA", "BBB"])
    #expect(two.series.map { $0.values[1] } == [101, 102])
    #expect(two.series.map { $0.covariate(named: "high")?[0] } == [102, 103])
    #expect(two.series.map { $0.covariate(named: "volume")?[0] } == [104, 105])
    let json = Self.shapes.first { $0.name == "JSON Lines" }?.text ?? ""
    let lines = try SeriesTable(parsingCSV: Array(json.utf8))
    #expect(
      lines.series[0].values[2].isNaN && lines.series[0].future.covariates[0].values == [6, 7])
    #expect(lines.series[0].future.timestamps.last?.description == "2021-01-01T06:00:00")
    let bare = Array("{\"start\":\"2021-01-01\",\"target\":[1,2,3]}\n".utf8)
    #expect(throws: SeriesError.needsFrequency(file: "input", line: 1)) {
      try SeriesTable(parsingCSV: bare)
    }
    var options = SeriesOptions()
    options.frequency = Frequency("1w")
    let weeks = try SeriesTable(parsingCSV: bare, options: options)
    #expect(weeks.series[0].timestamps.last?.description == "2021-01-15")
  }

  /// Each column has its own way of writing numbers.
  static let numbers: [(name: String, text: String, column: String, values: [Double])] = {
    let days = Made.days(60)
    func table(_ header: String, _ cell: (Int) -> String, delimiter: String = ";") -> String {
      Made.table(header, days.enumerated().map { "\($1.iso)\(delimiter)\(cell($0))" })
    }
    func grouped(_ number: Int, _ mark: String) -> String {
      number < 1_000
        ? "\(number)" : "\(number / 1_000)\(mark)\(("00" + "\(number % 1_000)").suffix(3))"
    }
    return [
      (
        "decimals beside thousands, tabs",
        table(
          "date\tprice\tvolume", { "1.\(735 + $0)\t\(grouped(112_115 + 13 * $0, ","))" },
          delimiter: "\t"), "price", [1.735, 1.736]
      ),
      (
        "thousands beside decimals, semicolons",
        table("date;umsatz;kurs", { "\(grouped(1_735 + 37 * $0, "."));\(50 + $0),5" }), "umsatz",
        [1_735, 1_772]
      ),
      (
        "thousands by points in a German table",
        Made.table(
          "Datum;Umsatz", days.enumerated().map { "\($1.dotted);\(grouped(1_735 + 37 * $0, "."))" }),
        "Umsatz", [1_735, 1_772]
      ),
      (
        "thousands by points beside small numbers", table("date;x", { grouped(37 * $0, ".") }), "x",
        [0, 37]
      ),
      (
        "quoted thousands and a currency",
        table("date,revenue", { "\"$\(grouped(1_735 + 37 * $0, ","))\"" }, delimiter: ","),
        "revenue", [1_735, 1_772]
      ),
      (
        "spaces that do not break", table("date;pop", { grouped(1_735 + 37 * $0, "\u{202F}") }),
        "pop", [1_735, 1_772]
      ),
      (
        "apostrophes", table("date;v", { grouped(1_735 + 37 * $0, "'") + ".50" }), "v",
        [1_735.5, 1_772.5]
      ),
      ("a euro behind", table("date;v", { "\(12 + $0),50 €" }), "v", [12.5, 13.5]),
      ("percent", table("date;v", { "\(12 + $0).5 %" }), "v", [12.5, 13.5]),
      (
        "accountants' brackets and a minus behind",
        table("date;v", { $0 == 0 ? "(1,250.50)" : "\($0).25-" }), "v", [-1_250.5, -1.25]
      ),
      ("a minus of typography", table("date;v", { "\u{2212}\($0 + 1).25" }), "v", [-1.25, -2.25]),
      (
        "lakh and crore", table("date,v", { "\"12,34,\(567 + $0)\"" }, delimiter: ","), "v",
        [1_234_567, 1_234_568]
      ),
    ]
  }()

  @Test("have numbers as each column writes them", arguments: numbers.indices)
  func number(index: Int) throws {
    let (name, text, column, values) = Self.numbers[index]
    var options = SeriesOptions()
    options.targets = [column]
    let table = try SeriesTable(parsingCSV: Array(text.utf8), options: options)
    #expect(Array(table.series[0].values.prefix(2)) == values, "\(name)")
    // Another file of the kind is read the same way, by its first row alone.
    options.format = table.format
    let few = text.split(separator: "\n").prefix(2).joined(separator: "\n")
    let again = try SeriesTable(parsingCSV: Array(few.utf8), options: options)
    #expect(again.series[0].values == [values[0]], "\(name)")
    #expect(try roundTrip(table.format) == table.format)
  }

  static let open: [RefusedInput] = {
    let days = Made.days(60)
    return [
      RefusedInput(
        name: "points, semicolons",
        text: Made.table("date;betrag", days.enumerated().map { "\($1.iso);1.\(100 + $0)" }),
        words: ["'betrag'", "1.100 or 1100", "--decimal"]),
      RefusedInput(
        name: "commas, tabs",
        text: Made.table("date\tvolume", days.enumerated().map { "\($1.iso)\t12,\(100 + $0)" }),
        words: ["'volume'", "12.100 or 12100", "--decimal"]),
    ]
  }()

  @Test("stop where nothing tells decimals from thousands", arguments: open)
  func openMark(input: RefusedInput) throws {
    try input.check()
    var options = SeriesOptions()
    options.decimal = .comma
    let comma = try SeriesTable(parsingCSV: Array(input.text.utf8), options: options)
    options.decimal = .point
    let point = try SeriesTable(parsingCSV: Array(input.text.utf8), options: options)
    #expect(
      Set([comma.series[0].values[0], point.series[0].values[0]])
        == (input.name.hasPrefix("points") ? [1.1, 1_100] : [12.1, 12_100]))
  }

  @Test(
    "know the words for a missing number, and learn those that come again and again",
    arguments: [
      "#N/A N/A", "ND", "closed", "k. A.", "..", "n/a", ".", "-", "null", "#VALUE!", "Bank holiday",
    ])
  func missing(word: String) throws {
    let rows = Made.days(200).enumerated().map {
      "\($1.iso),\($0 % 8 == 3 ? word : "\(Made.number($0))")"
    }
    let table = try SeriesTable(parsingCSV: Array(Made.table("Date,V", rows).utf8))
    #expect(table.series[0].values.count { $0.isNaN } == 25)
    #expect(table.report.count(.missingTarget) == 25 && table.report.count(.unreadableValue) == 0)
    #expect(table.series[0].count == 200)
  }

  @Test("report codes for missing numbers, and take them as told")
  func outliers() throws {
    let rows = Made.days(200).enumerated().map { row, day in
      "\(day.iso),\(row % 50 == 3 ? "99999999" : row % 60 == 5 ? "-999" : "\(Made.number(row))")"
    }
    let bytes = Array(Made.table("Date,V", rows).utf8)
    let table = try SeriesTable(parsingCSV: bytes)
    let finding = try #require(table.report.finding(.outlier))
    #expect(finding.count == 8 && finding.examples.first?.line == 5)
    #expect(table.report.sentences.contains { $0.contains("--missing") })
    var options = SeriesOptions()
    options.missing = ["99999999", "-999"]
    let told = try SeriesTable(parsingCSV: bytes, options: options)
    #expect(told.report.count(.outlier) == 0 && told.report.count(.missingTarget) == 8)
  }

  @Test("are told from prose by their first lines")
  func content() throws {
    func isTable(_ text: String) throws -> Bool {
      let path =
        FileManager.default.temporaryDirectory.path + "/apus-\(UInt64.random(in: 0 ... .max)).txt"
      defer { try? FileManager.default.removeItem(atPath: path) }
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
      return SeriesTable.isTable(fileAt: path)
    }
    let days = Made.days(100)
    #expect(try isTable(Made.table("date\tvisitors", days.map { "\($0.iso)\t\($0.day)" })))
    #expect(
      try isTable(Made.table("\"\";\"MT_1\"", days.map { "\"\($0.iso) 00:15:00\";1\($0.day),5" })))
    #expect(try isTable(Made.table("", days.map { "\($0.day).5" })))
    #expect(try isTable(Made.table("Ticker|Date|Close", days.map { "A|\($0.compact)|\($0.day)" })))
    #expect(try isTable("@relation x\n@attribute a string\n@data\nT:1,2\n"))
    #expect(
      try !isTable(
        String(
          repeating:
            "The swifts sleep on the wing, as they do.\nThey come in May; nobody knows, why.\n",
          count: 20)))
    #expect(
      try !isTable(
        "1. Take 2 eggs, 3 cups of flour\n2. Stir for 10 minutes, then rest\n3. Bake at 180, for 40 minutes\n"
      ))
    #expect(try !isTable("swifts"))
    #expect(!SeriesTable.isTable(fileAt: "/no/such.txt"))
  }
}
