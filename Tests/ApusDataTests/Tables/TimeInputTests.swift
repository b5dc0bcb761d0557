import ApusData
import Testing

@Suite("Times of tables")
struct TimeInputTests {
  /// The clock stands in a column of its own, whatever it is called, and may have no name at all.
  static let clocks: [TableInput] = {
    let hours = Made.hours(500)
    func rows(_ line: (CivilTime, Int) -> String) -> [String] {
      hours.enumerated().map { line($1, $0) }
    }
    let (first, last) = ("2023-01-02", "2023-01-22T19:00:00")
    return [
      TableInput(
        name: "German",
        text: Made.table(
          "Datum;Uhrzeit;Wert", rows { "\($0.dotted);\($0.clock);\(Made.comma(Made.number($1)))" }),
        rows: 500, first: first, last: last, frequency: .seconds(3_600), target: "Wert"),
      TableInput(
        name: "Spanish",
        text: Made.table(
          "Fecha;Hora;Consumo", rows { "\($0.dayFirst);\($0.clock);\(Made.comma(Made.number($1)))" }
        ),
        rows: 500, first: first, last: last, frequency: .seconds(3_600), target: "Consumo"),
      TableInput(
        name: "a name that says nothing",
        text: Made.table(
          "giorno,quando,valore", rows { "\($0.iso),\($0.clock):00,\(Made.number($1))" }),
        rows: 500, first: first, last: last, frequency: .seconds(3_600), target: "valore"),
      TableInput(
        name: "compact, without names",
        text: Made.table("", rows { "\($0.compact),\(Made.two($0.hour))0000,\(Made.number($1))" }),
        rows: 500, first: first, last: last, frequency: .seconds(3_600)),
      TableInput(
        name: "dots in the clock",
        text: Made.table(
          "Date;Time;CO",
          rows { "\($0.dayFirst);\(Made.two($0.hour)).00.00;\(Made.comma(Made.number($1)))" }),
        rows: 500, first: first, last: last, frequency: .seconds(3_600), target: "CO"),
      TableInput(
        name: "clock before date, am and pm",
        text: Made.table(
          "value,clock,day",
          rows { time, row in
            let hour = time.hour % 12 == 0 ? 12 : time.hour % 12
            return "\(Made.number(row)),\(hour):00 \(time.hour < 12 ? "AM" : "PM"),\(time.iso)"
          }),
        rows: 500, first: first, last: last, frequency: .seconds(3_600), target: "value"),
      TableInput(
        name: "bars without names",
        text: Made.table(
          "",
          zip(
            rows { time, _ in
              "\(time.year).\(Made.two(time.month)).\(Made.two(time.day)),\(time.clock)"
            }, Made.prices(500)
          ).map { time, price in
            "\(time),\(price),\(price + 0.5),\(price - 0.5),\(price + 0.2),\(Int(price) * 7)"
          }),
        rows: 500, first: first, last: last, frequency: .seconds(3_600), target: "close"),
    ]
  }()

  @Test("come of a date and a clock, whatever they are called", arguments: clocks)
  func clock(input: TableInput) throws { try input.check() }

  /// The hour, or the part of a day, is a number.
  static let hours: [TableInput] = {
    let days = Made.days(40)
    func rows(_ parts: ClosedRange<Int>, _ line: (CivilTime, Int) -> String) -> [String] {
      days.flatMap { day in parts.map { "\(line(day, $0)),\(Made.number($0))" } }
    }
    return [
      TableInput(
        name: "0 to 23", text: Made.table("date,hour,load", rows(0...23) { "\($0.iso),\($1)" }),
        rows: 960,
        first: "2021-03-01", last: "2021-04-09T23:00:00", frequency: .seconds(3_600), target: "load"
      ),
      TableInput(
        name: "1 to 24", text: Made.table("Day,Stunde,Last", rows(1...24) { "\($0.iso),\($1)" }),
        rows: 960,
        first: "2021-03-01T01:00:00", last: "2021-04-10", frequency: .seconds(3_600), target: "Last"
      ),
      TableInput(
        name: "HE01 to HE24",
        text: Made.table("Date,HE,MW", rows(1...24) { "\($0.monthFirst),HE\(Made.two($1))" }),
        rows: 960, first: "2021-03-01T01:00:00", last: "2021-04-10", frequency: .seconds(3_600),
        target: "MW"),
      TableInput(
        name: "01:00 to 24:00",
        text: Made.table(
          "OperDay,HourEnding,Price", rows(1...24) { "\($0.monthFirst),\(Made.two($1)):00" }),
        rows: 960, first: "2021-03-01T01:00:00", last: "2021-04-10", frequency: .seconds(3_600),
        target: "Price"),
      TableInput(
        name: "half-hours",
        text: Made.table("SettlementDate,SettlementPeriod,MW", rows(1...48) { "\($0.iso),\($1)" }),
        rows: 1_920, first: "2021-03-01", last: "2021-04-09T23:30:00", frequency: .seconds(1_800),
        target: "MW"),
      TableInput(
        name: "hour and quarter of it",
        text: Made.table(
          "DeliveryDate,DeliveryHour,DeliveryInterval,Px",
          days.flatMap { day in
            (1...24).flatMap { hour in
              (1...4).map { "\(day.monthFirst),\(hour),\($0),\(Made.number(hour))" }
            }
          }),
        rows: 3_840, first: "2021-03-01T01:00:00", last: "2021-04-10T00:45:00",
        frequency: .seconds(900), target: "Px"),
      TableInput(
        name: "hour and minute",
        text: Made.table(
          "datum,stunde,minute,wert",
          Made.moments(700, from: "2023-01-01", every: 900).enumerated().map {
            "\($1.iso),\($1.hour),\($1.minute),\(Made.number($0))"
          }),
        rows: 700, first: "2023-01-01", last: "2023-01-08T06:45:00", frequency: .seconds(900),
        target: "wert"),
    ]
  }()

  @Test("come of a date and a number of the hour", arguments: hours)
  func hour(input: TableInput) throws { try input.check() }

  /// Codes of periods, counts of days and ticks, names of months, parts in columns of their own.
  static let forms: [TableInput] = {
    let months = Made.months(2015...2021)
    func monthly(
      _ name: String, _ line: ((year: Int, month: Int)) -> String, delimiter: String = ","
    ) -> TableInput {
      let rows = months.enumerated().map {
        line($1) + delimiter
          + (delimiter == ";" ? Made.comma(Made.number($0)) : "\(Made.number($0))")
      }
      return TableInput(
        name: name, text: Made.table("Zeit\(delimiter)Wert", rows), rows: 84, first: "2015-01-01",
        last: "2021-12-01", frequency: .months(1), target: "Wert", value: Made.number(0))
    }
    let german = [
      "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
      "November", "Dezember",
    ]
    let french = [
      "janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.",
      "déc.",
    ]
    let english = [
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    let quarters = (1990...2009).flatMap { year in (1...4).map { (year: year, quarter: $0) } }
    func quarterly(
      _ name: String, header: String = "period,v", _ line: ((year: Int, quarter: Int)) -> String
    ) -> TableInput {
      TableInput(
        name: name,
        text: Made.table(header, quarters.enumerated().map { "\(line($1)),\(Made.number($0))" }),
        rows: 80,
        first: "1990-01-01", last: "2009-10-01", frequency: .months(3), target: "v")
    }
    return [
      monthly("months of the IMF", { "\($0.year)M\(Made.two($0.month))" }),
      monthly("months in German", { "\(german[$0.month - 1]) \($0.year)" }, delimiter: ";"),
      monthly("months in French", { "\(french[$0.month - 1]) \($0.year)" }),
      monthly(
        "months and two digits of the year",
        { "\(english[$0.month - 1])-\(Made.two($0.year % 100))" }),
      monthly("months with a slash", { "\(Made.two($0.month))/\($0.year)" }),
      monthly("months as one number", { "\($0.year)\(Made.two($0.month))" }),
      quarterly("1980:Q1", { "\($0.year):Q\($0.quarter)" }),
      quarterly("2020-Q1", { "\($0.year)-Q\($0.quarter)" }),
      quarterly("Q1 2020", { "Q\($0.quarter) \($0.year)" }),
      quarterly("year and quarter apart", header: "year,quarter,v", { "\($0.year),\($0.quarter)" }),
      TableInput(
        name: "year and period of a statistics office",
        text: Made.table(
          "Year,Period,Value",
          months.enumerated().map { "\($1.year),M\(Made.two($1.month)),\(Made.number($0))" }),
        rows: 84, first: "2015-01-01", last: "2021-12-01", frequency: .months(1), target: "Value"),
      TableInput(
        name: "day, month and year apart, in this order",
        text: Made.table(
          "day,month,year,v",
          Made.days(200).enumerated().map { "\($1.day),\($1.month),\($1.year),\(Made.number($0))" }),
        rows: 200, first: "2021-03-01", last: "2021-09-16", frequency: .days(1), target: "v"),
      TableInput(
        name: "weeks",
        text: Made.table(
          "week,x",
          (2021...2023).flatMap { year in
            (1...52).map { "\(year)-W\(Made.two($0)),\(Made.number($0))" }
          }),
        rows: 156, first: "2021-01-04", last: "2023-12-25", frequency: .days(7), target: "x"),
      TableInput(
        name: "days of the year",
        text: Made.table(
          "date,x",
          (1...300).map { "2023-\($0 < 10 ? "00" : $0 < 100 ? "0" : "")\($0),\(Made.number($0))" }),
        rows: 300, first: "2023-01-01", last: "2023-10-27", frequency: .days(1), target: "x"),
      TableInput(
        name: "days of a spreadsheet",
        text: Made.table(
          "Datum,Stück", (0..<200).map { "\(44_256 + $0 / 5 * 7 + $0 % 5),\(500 + $0 % 9)" }),
        rows: 200,
        first: "2021-03-01", last: "2021-12-03", frequency: .businessDays, target: "Stück"),
      TableInput(
        name: "days of a spreadsheet with hours",
        text: Made.table(
          "timestamp,x", (0..<200).map { "\(44_256 + Double($0) / 24),\(Made.number($0))" }),
        rows: 200,
        first: "2021-03-01", last: "2021-03-09T07:00:00", frequency: .seconds(3_600), target: "x"),
      TableInput(
        name: "ticks that change their unit",
        text: Made.table(
          "open_time,x",
          (0..<600).map { row in
            let milliseconds = 1_700_000_040_000 + 60_000 * row
            return "\(row < 300 ? milliseconds : milliseconds * 1_000),\(Made.number(row))"
          }),
        rows: 600, first: "2023-11-14T22:14:00", last: "2023-11-15T08:13:00",
        frequency: .seconds(60), target: "x"),
      TableInput(
        name: "nanoseconds",
        text: Made.table(
          "ts,x",
          (0..<600).map { "\(1_700_000_000_000_000_000 + 20_000_000 * $0),\(Made.number($0))" }),
        rows: 600, first: "2023-11-14T22:13:20", last: "2023-11-14T22:13:31.980",
        frequency: .nanoseconds(20_000_000), target: "x"),
      TableInput(
        name: "fractions of a second",
        text: Made.table(
          "time,x",
          (0..<600).map {
            "2024-05-01 10:00:0\($0 / 100).\(Made.two($0 % 100))0,\(Made.number($0))"
          }),
        rows: 600, first: "2024-05-01T10:00:00", last: "2024-05-01T10:00:05.990",
        frequency: .nanoseconds(10_000_000), target: "x"),
      TableInput(
        name: "spans of an hour",
        text: Made.table(
          "MTU (CET);Price",
          Made.hours(48).map { "\($0.dotted) \($0.clock) - \($0.dotted) \($0.clock);50,5" }),
        rows: 48, first: "2023-01-02", last: "2023-01-03T23:00:00", frequency: .seconds(3_600),
        target: "Price"),
      TableInput(
        name: "spans of an hour by ISO 8601",
        text: Made.table(
          "period,MW",
          Made.hours(48).map { "\($0.iso)T\($0.clock)Z/\($0.iso)T\($0.clock)Z,50.5" }),
        rows: 48, first: "2023-01-02", frequency: .seconds(3_600), target: "MW"),
      TableInput(
        name: "zones of summer and winter",
        text: Made.table(
          "time,x",
          Made.hours(48, from: "2024-10-26").map {
            "\($0.iso) \($0.clock) \($0.day == 26 ? "CEST" : "CET"),1.5"
          }),
        rows: 48, first: "2024-10-25T22:00:00", frequency: .seconds(3_600), target: "x"),
    ]
  }()

  @Test("are read in the forms that offices and programs write", arguments: forms)
  func form(input: TableInput) throws { try input.check() }

  /// No row has a day above 12; the spacing tells.
  static let orders: [TableInput] = {
    func table(_ rows: [String]) -> String {
      Made.table("date,v", rows.enumerated().map { "\($1),\(Made.number($0))" })
    }
    let months = Made.months(2000...2005)
    return [
      TableInput(
        name: "months, day first",
        text: table(months.map { "01/\(Made.two($0.month))/\($0.year)" }), rows: 72,
        first: "2000-01-01", last: "2005-12-01", frequency: .months(1)),
      TableInput(
        name: "months, month first",
        text: table(months.map { "\(Made.two($0.month))/01/\($0.year)" }), rows: 72,
        first: "2000-01-01", last: "2005-12-01", frequency: .months(1)),
      TableInput(
        name: "months on the 5th", text: table(months.map { "5-\($0.month)-\($0.year)" }), rows: 72,
        first: "2000-01-05", last: "2005-12-05", frequency: .months(1)),
      TableInput(
        name: "quarters",
        text: table(
          (1990...2019).flatMap { year in [1, 4, 7, 10].map { "01-\(Made.two($0))-\(year)" } }),
        rows: 120, first: "1990-01-01", last: "2019-10-01", frequency: .months(3)),
      TableInput(
        name: "hours of some days",
        text: table(Made.hours(220, from: "2024-05-02").map { "\($0.monthFirst) \($0.clock)" }),
        rows: 220, first: "2024-05-02", last: "2024-05-11T03:00:00", frequency: .seconds(3_600)),
      TableInput(
        name: "a year of two digits first",
        text: table(
          Made.days(200).map {
            "\(Made.two($0.year % 100))-\(Made.two($0.month))-\(Made.two($0.day))"
          }), rows: 200, first: "2021-03-01", last: "2021-09-16", frequency: .days(1)),
      TableInput(
        name: "newest first",
        text: table(months.reversed().map { "01/\(Made.two($0.month))/\($0.year)" }), rows: 72,
        first: "2000-01-01", last: "2005-12-01", frequency: .months(1)),
    ]
  }()

  @Test("have the order of day and month under which rows are evenly spaced", arguments: orders)
  func order(input: TableInput) throws { try input.check() }

  /// A column that is named or written like a time and cannot be read.
  static let refused: [RefusedInput] = {
    let days = Made.days(200)
    func table(_ header: String, _ cell: (CivilTime, Int) -> String) -> String {
      Made.table(header, days.enumerated().map { "\(cell($1, $0)),\(Made.number($0))" })
    }
    return [
      RefusedInput(
        name: "days without a year",
        text: table("date,v") { day, _ in
          "\(Made.two(day.day))-\(["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep"][day.month - 3])"
        }, words: ["'date'", "line 2", "year", "--time"]),
      RefusedInput(
        name: "months and days without a year",
        text: table("Date,v") { day, _ in
          "\(["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep"][day.month - 3]) \(Made.two(day.day))"
        }, words: ["'Date'", "year"]),
      RefusedInput(
        name: "two orders in one column",
        text: table("date,value") { day, _ in
          day.day <= 12
            ? "\(day.month)/\(day.day)/\(day.year)" : "\(day.day)/\(day.month)/\(day.year)"
        }, words: ["'date'", "from cell to cell"]),
      RefusedInput(
        name: "two forms in one column",
        text: table("when,value") { day, _ in day.day <= 12 ? day.iso : day.dayFirst },
        words: ["'when'", "31/12/2015"]),
      RefusedInput(
        name: "ISO dates with day and month swapped up to 12",
        text: table("date,value") { day, _ in
          day.day <= 12 ? "\(day.year)-\(Made.two(day.day))-\(Made.two(day.month))" : day.iso
        }, words: ["'date'", "from cell to cell"]),
      RefusedInput(
        name: "words", text: table("Datum,v") { _, row in "soon \(row)" },
        words: ["'Datum'", "soon 0", "--time none"]),
      RefusedInput(
        name: "numbers cut by a spreadsheet",
        text: table("date,v") { _, row in "1.7E+\(row % 3 + 9)" }, words: ["'date'"]),
      RefusedInput(
        name: "an order that nothing tells",
        text: Made.table(
          "date,v", Made.days(12, from: "2024-04-01").map { "\($0.dayFirst),\($0.day)" }),
        words: ["'date'", "2024-04-01 or 2024-01-04", "--day-first"]),
      RefusedInput(
        name: "hours or series",
        text: Made.table(
          "date,k,v",
          Made.days(40).flatMap { day in (1...24).map { "\(day.iso),\($0),\(Made.number($0))" } }),
        words: ["'k'", "--time date,k", "--id k"]),
    ]
  }()

  @Test("that cannot be read end in a sentence with the column and the flag", arguments: refused)
  func refusal(input: RefusedInput) throws { try input.check() }

  @Test("are taken as a person says")
  func choices() throws {
    let text = Made.table(
      "date,k,v",
      Made.days(40).flatMap { day in (1...24).map { "\(day.dayFirst),\($0),\(Made.number($0))" } })
    func read(_ change: (inout SeriesOptions) -> Void) throws -> SeriesTable {
      var options = SeriesOptions()
      change(&options)
      return try SeriesTable(parsingCSV: Array(text.utf8), options: options)
    }
    let hours = try read { $0.time = ["date", "k"] }
    #expect(hours.series.count == 1 && hours.cadence.frequency == .seconds(3_600))
    #expect(hours.series[0].timestamps[0].description == "2021-03-01T01:00:00")
    let series = try read { $0.id = ["k"] }
    #expect(series.series.count == 24 && series.series[0].count == 40)
    let steps = try read {
      $0.countsRows = true
      $0.id = ["k"]
    }
    #expect(steps.cadence.frequency == .steps)
    let known = try read {
      $0.time = ["date", "k"]
      ($0.frequency, $0.season) = (.seconds(3_600), 168)
    }
    #expect(known.cadence.seasonLength == 168)
    let months = "Zeit;Wert\nJanuar 2020;1\nFebruar 2020;2\nMärz 2020;3\n"
    var options = SeriesOptions()
    options.locale = "de_AT"
    let german = try SeriesTable(parsingCSV: Array(months.utf8), options: options)
    #expect(german.series[0].timestamps[2].description == "2020-03-01")
    #expect(german.format?.locale == "de")
    options.locale = "xx"
    #expect(throws: SeriesError.unknownLocale("xx")) {
      try SeriesTable(parsingCSV: Array(months.utf8), options: options)
    }
  }
}
