import ApusData
import Testing

@Suite("Series, targets and futures of tables")
struct RoleInputTests {
  /// Several rows share their time; columns tell them apart.
  static let keys: [TableInput] = {
    func table(_ header: String, _ rows: [String]) -> String {
      Made.table(header, rows.enumerated().map { "\($1),\(Made.number($0))" })
    }
    let days = Made.days(60)
    return [
      TableInput(
        name: "two numbers",
        text: table(
          "date,store,item,y",
          (1...3).flatMap { store in
            (1...4).flatMap { item in days.map { "\($0.iso),\(store),\(item)" } }
          }),
        series: 12, rows: 60, first: "2021-03-01", frequency: .days(1), target: "y"),
      TableInput(
        name: "a number and a text, by weeks",
        text: table(
          "week,shop,sku,units",
          (0..<58).flatMap { week in
            [101, 102].flatMap { shop in
              ["A1", "B2"].map {
                "\(Made.days(1, from: "2021-03-01")[0].year + week / 52)-W\(Made.two(week % 52 + 1)),\(shop),\($0)"
              }
            }
          }),
        series: 4, rows: 58, first: "2021-01-04", frequency: .days(7), target: "units"),
      TableInput(
        name: "three texts",
        text: table(
          "date,region,product,channel,revenue",
          days.flatMap { day in
            ["N", "S"].flatMap { region in
              ["x", "y"].flatMap { product in
                ["web", "shop"].map { "\(day.iso),\(region),\(product),\($0)" }
              }
            }
          }),
        series: 8, rows: 60, first: "2021-03-01", frequency: .days(1), target: "revenue"),
      TableInput(
        name: "retailers beside a price",
        text: Made.table(
          "retailer_id,sku,month,qty,price",
          [7, 8].flatMap { retailer in
            [900, 901].flatMap { sku in
              Made.months(2020...2022).enumerated().map {
                "\(retailer),\(sku),\($1.year)-\(Made.two($1.month)),\($0 * 7 % 23),\(Made.number($0))"
              }
            }
          }),
        series: 4, rows: 36, first: "2020-01-01", frequency: .months(1), target: "qty"),
      TableInput(
        name: "departments with days first",
        text: table(
          "Store,Dept,Date,IsHoliday,Weekly_Sales",
          [1, 2].flatMap { store in
            [1, 2, 3].flatMap { dept in
              Made.moments(52, from: "2010-02-05", every: 604_800).map {
                "\(store),\(dept),\($0.dayFirst),FALSE"
              }
            }
          }),
        series: 6, rows: 52, first: "2010-02-05", frequency: .days(7), target: "Weekly_Sales"),
      TableInput(
        name: "a number that is no hour",
        text: table(
          "date,id,promo,y", (1...24).flatMap { id in days.map { "\($0.iso),\(id),\($0.day % 2)" } }
        ), series: 24,
        rows: 60, first: "2021-03-01", frequency: .days(1), target: "y"),
      TableInput(
        name: "names beside their ranks",
        text: table(
          "date,name,rank,count",
          days.flatMap { day in
            ["ada", "bob", "cy"].enumerated().map { "\(day.iso),\($1),\($0 + 1)" }
          }),
        series: 3, rows: 60, first: "2021-03-01", frequency: .days(1), target: "count"),
      TableInput(
        name: "countries by years",
        text: table(
          "country,year,gdp",
          ["France", "Ghana", "Peru"].flatMap { country in (1990...2019).map { "\(country),\($0)" }
          }),
        series: 3, rows: 30, first: "1990-01-01", frequency: .months(12), target: "gdp"),
      TableInput(
        name: "parts of the calendar are no key",
        text: table(
          "date,year,month,weekday,promo,sales",
          Made.days(400).enumerated().map { "\($1.iso),\($1.year),\($1.month),\($0 % 7),\($0 % 2)" }
        ),
        rows: 400, first: "2021-03-01", frequency: .days(1), target: "sales"),
      TableInput(
        name: "a whole date beside years of 0 and 1",
        text: table(
          "instant,dteday,season,yr,mnth,holiday,cnt",
          Made.days(600).enumerated().map {
            "\($0 + 1),\($1.iso),\(($1.month + 2) / 3),\($1.year - 2_021),\($1.month),0"
          }),
        rows: 600, first: "2021-03-01", frequency: .days(1), target: "cnt"),
      TableInput(
        name: "compact dates beside years",
        text: table(
          "day,year,month,visitors", Made.days(500).map { "\($0.compact),\($0.year),\($0.month)" }),
        rows: 500,
        first: "2021-03-01", frequency: .days(1), target: "visitors"),
    ]
  }()

  @Test("come of the columns that tell rows of one time apart", arguments: keys)
  func key(input: TableInput) throws { try input.check() }

  static let lost: [RefusedInput] = {
    let days = Made.days(100)
    let stores = Made.table(
      "date,store,item,y",
      (1...3).flatMap { store in
        (1...4).flatMap { item in days.map { "\($0.iso),\(store),\(item),\($0.day)" } }
      })
    var one = SeriesOptions()
    one.id = ["store"]
    return [
      RefusedInput(
        name: "no column resolves",
        text: Made.table(
          "date,sales",
          days.flatMap { day in (0..<3).map { "\(day.iso),\(Made.number($0 + day.day))" } }),
        words: ["200 of 300 rows", "--id", "--duplicates"]),
      RefusedInput(
        name: "the named one does not do", text: stores, options: one,
        words: ["'store' and 'item'", "--id store,item"]),
      RefusedInput(
        name: "two in a hundred",
        text: Made.table(
          "date,y", (days + days.prefix(2)).map { "\($0.iso),\(Made.number($0.day))" }),
        words: ["2 of 102 rows"]),
      RefusedInput(
        name: "rows cut short",
        text: Made.table(
          "date,x,y",
          days.enumerated().map { $0 % 30 == 3 ? $1.iso : "\($1.iso),1,\(Made.number($0))" }),
        words: ["expected 3", "line 5"]),
      RefusedInput(
        name: "times left empty",
        text: Made.table(
          "date,y", days.enumerated().map { "\($0 % 30 == 3 ? "" : $1.iso),\(Made.number($0))" }),
        words: ["'date'", "line 5"]),
    ]
  }()

  @Test("refuse to lose more than a row in a hundred", arguments: lost)
  func loss(input: RefusedInput) throws { try input.check() }

  @Test("lose a row in a hundred with a remark, and no more")
  func remark() throws {
    let days = Made.days(200)
    let rows =
      days.map { "\($0.iso),\($0.day)" } + ["\(days[5].iso),77", "\(days[9].iso),\(days[9].day)"]
    let table = try SeriesTable(parsingCSV: Array(Made.table("date,y", rows).utf8))
    #expect(table.series[0].count == 200 && table.series[0].values[5] == 77)
    #expect(table.report.count(.conflictingRow) == 1 && table.report.count(.duplicateRow) == 1)
  }

  /// Rows with a time and no value at the end are the known future.
  static let futures:
    [(input: TableInput, future: Int, last: String, covariates: [String: [Double]])] = {
      func y(_ row: Int, until end: Int, _ missing: String = "") -> String {
        row < end ? "\(Made.number(row))" : missing
      }
      let days = Made.days(100)
      let future = (90..<100).map { Double($0 % 2) }
      return [
        (
          TableInput(
            name: "empty cells",
            text: Made.table(
              "ds,y,promo", days.enumerated().map { "\($1.iso),\(y($0, until: 90)),\($0 % 2)" }),
            rows: 90, first: "2021-03-01", last: "2021-05-29", frequency: .days(1), target: "y"),
          10, "2021-06-08", ["promo": future]
        ),
        (
          TableInput(
            name: "a word",
            text: Made.table(
              "ds,y,promo",
              days.enumerated().map { "\($1.iso),\(y($0, until: 90, "NaN")),\($0 % 2)" }), rows: 90,
            first: "2021-03-01", last: "2021-05-29", frequency: .days(1), target: "y"), 10,
          "2021-06-08", ["promo": future]
        ),
        (
          TableInput(
            name: "no column beside",
            text: Made.table("ds,y", days.enumerated().map { "\($1.iso),\(y($0, until: 86))" }),
            rows: 86, first: "2021-03-01", last: "2021-05-25", frequency: .days(1), target: "y"),
          14, "2021-06-08", [:]
        ),
        (
          TableInput(
            name: "every series",
            text: Made.table(
              "unique_id,ds,y,temp",
              ["a", "b"].flatMap { id in
                days.enumerated().map { "\(id),\($1.iso),\(y($0, until: 95)),\($0)" }
              }), series: 2, rows: 95, first: "2021-03-01", last: "2021-06-03", frequency: .days(1),
            target: "y"), 5, "2021-06-08", ["temp": [95, 96, 97, 98, 99]]
        ),
        (
          TableInput(
            name: "holidays of months",
            text: Made.table(
              "month;absatz;feiertage",
              Made.months(2020...2023).enumerated().map {
                "\($1.year)-\(Made.two($1.month));\($0 < 45 ? Made.comma(Made.number($0)) : "");\($1.month % 3)"
              }), rows: 45, first: "2020-01-01", last: "2023-09-01", frequency: .months(1),
            target: "absatz"), 3, "2023-12-01", ["feiertage": [1, 2, 0]]
        ),
        (
          TableInput(
            name: "newest first",
            text: Made.table(
              "ds,y", days.enumerated().reversed().map { "\($1.iso),\(y($0, until: 86))" }),
            rows: 86, first: "2021-03-01", last: "2021-05-25", frequency: .days(1), target: "y"),
          14, "2021-06-08", [:]
        ),
      ]
    }()

  @Test(
    "end at the last value; what is given behind it is the known future", arguments: futures.indices
  )
  func future(index: Int) throws {
    let (input, count, last, covariates) = Self.futures[index]
    try input.check()
    let table = try SeriesTable(parsingCSV: Array(input.text.utf8))
    for one in table.series {
      #expect(
        one.future.timestamps.count == count && one.future.timestamps.last?.description == last)
      for (name, values) in covariates {
        #expect(one.future.covariates.first { $0.name == name }?.values == values, "\(input.name)")
      }
      #expect(one.slice(0..<5).future.isEmpty && one.slice(5..<one.count).future == one.future)
    }
    #expect(table.report.count(.missingTarget) == 0)
    #expect(table.report.notes.contains { $0.contains("known future") })
  }

  /// What is forecast follows from how numbers move, not from what they are called.
  static let measures: [(name: String, text: String, measure: Measure)] = {
    func noise(_ row: Int) -> Double { Made.number(row) - 50 }
    let days = Made.weekdays(400)
    let prices = Made.prices(400)
    return [
      (
        "counts called closed",
        Made.table(
          "date,closed", Made.days(400).enumerated().map { "\($1.iso),\(Int(Made.number($0)))" }),
        .level
      ),
      (
        "a price of power that comes back every day",
        Made.table(
          "date,price",
          Made.hours(900).enumerated().map {
            "\($1.iso) \($1.clock),\(80 + 2 * Double(abs(12 - $1.hour)) + noise($0) / 20)"
          }), .level
      ),
      (
        "an average price that is noise",
        Made.table(
          "date,average_price",
          Made.moments(120, from: "2021-03-01", every: 604_800).enumerated().map {
            "\($1.iso),\(1.3 + noise($0 * 5) / 200)"
          }), .level
      ),
      (
        "spending on working days",
        Made.table("date,spend", days.enumerated().map { "\($1.iso),\(Made.number($0))" }), .level
      ),
      (
        "house prices that go on rising",
        Made.table(
          "date,price",
          Made.months(1990...2020).enumerated().map {
            "\($1.year)-\(Made.two($1.month)),\(100 + $0 + $0 * $0 / 40)"
          }), .level
      ),
      (
        "a walk called Kurs", Made.table("date,Kurs", zip(days, prices).map { "\($0.iso),\($1)" }),
        .returns
      ),
      (
        "a walk called close",
        Made.table("date,close", zip(days, prices).map { "\($0.iso),\($1)" }), .returns
      ),
      (
        "a walk with a word for holidays",
        Made.table(
          "Date,PX_LAST",
          zip(days, prices).enumerated().map {
            "\($1.0.iso),\($0 % 9 == 4 ? "#N/A N/A" : "\($1.1)")"
          }), .returns
      ),
      (
        "a walk with one price below zero",
        Made.table(
          "date,price",
          zip(days, prices).enumerated().map { "\($1.0.iso),\($0 == 200 ? -37.63 : $1.1)" }),
        .returns
      ),
      (
        "a walk of tiny steps",
        Made.table("date,close", zip(days, prices).map { "\($0.iso),\(1 + ($1 - 100) * 1e-6)" }),
        .returns
      ),
    ]
  }()

  @Test("are measured as their numbers move", arguments: measures.indices)
  func measure(index: Int) throws {
    let (name, text, measure) = Self.measures[index]
    let table = try SeriesTable(parsingCSV: Array(text.utf8))
    let (found, reason) = Measure.inferred(for: table)
    #expect(found == measure, "\(name): \(reason)")
    let choice = try #require(table.report.choices.first { $0.subject == "measure" })
    #expect(choice.chosen == measure.words && choice.reason == reason)
    var options = SeriesOptions()
    options.measure = .volatility
    let told = try SeriesTable(parsingCSV: Array(text.utf8), options: options)
    #expect(
      told.report.choices.contains { $0.chosen == "volatility" && $0.reason == "you named it" })
  }
}
