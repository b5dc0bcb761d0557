import ApusData
import Testing

@Suite("Dates")
struct DateTests {
  static let table: [(style: DateStyle, text: String, expected: String)] = [
    (.yearMonthDay, "2015-12-31", "2015-12-31"),
    (.yearMonthDay, "2015/1/2", "2015-01-02"),
    (.yearMonthDay, "1990/1/1 0:00", "1990-01-01"),
    (.yearMonthDay, "2015.12.31", "2015-12-31"),
    (.yearMonthDay, "2015-12-31T13:05", "2015-12-31T13:05:00"),
    (.yearMonthDay, "2015-12-31 13:05:09", "2015-12-31T13:05:09"),
    (.yearMonthDay, "2015-12-31T13:05:09Z", "2015-12-31T13:05:09"),
    (.yearMonthDay, "2015-12-31T13:05:09.123456Z", "2015-12-31T13:05:09.123456"),
    (.yearMonthDay, "2015-12-31T13:05:09,5+02:00", "2015-12-31T11:05:09.500"),
    (.yearMonthDay, "2015-12-31 13:05:09-0530", "2015-12-31T18:35:09"),
    (.yearMonthDay, "2015-12-31 23:59:60", "2016-01-01"),
    (.yearMonthDay, "2015-12-31 24:00", "2016-01-01"),
    (.yearMonthDay, "2015-12-31 01:05 PM", "2015-12-31T13:05:00"),
    (.yearMonthDay, "2015-12-31 12:05 AM", "2015-12-31T00:05:00"),
    (.yearMonthDay, "2015-12-31 13:05:09 UTC", "2015-12-31T13:05:09"),
    (.yearMonthDay, "2015-12-31 13:05 UTC+1", "2015-12-31T12:05:00"),
    (.yearMonthDay, "0001-01-01", "0001-01-01"),
    (.yearMonthDay, "9999-12-31 23:59:59", "9999-12-31T23:59:59"),
    (.dayMonthYear, "31.12.2015", "2015-12-31"),
    (.dayMonthYear, "31/12/2015 13:05", "2015-12-31T13:05:00"),
    (.dayMonthYear, "1-2-99", "1999-02-01"),
    (.dayMonthYear, "1-2-68", "1968-02-01"),
    (.dayMonthYear, "1-2-40", "2040-02-01"),
    (.monthDayYear, "12/31/2015", "2015-12-31"),
    (.monthDayYear, "1/2/2015 1:05:09 pm", "2015-01-02T13:05:09"),
    (.compact, "20151231", "2015-12-31"),
    (.compact, "20151231 1305", "2015-12-31T13:05:00"),
    (.compact, "20151231T130509Z", "2015-12-31T13:05:09"),
    (.compact, "20151231130509", "2015-12-31T13:05:09"),
    (.monthName, "Jan 2 1999", "1999-01-02"),
    (.monthName, "Jan 2, 1999", "1999-01-02"),
    (.monthName, "2 January 1999", "1999-01-02"),
    (.monthName, "02-Jan-99", "1999-01-02"),
    (.monthName, "1999-Jan-02", "1999-01-02"),
    (.monthName, "2nd of Sept 1999", "1999-09-02"),
    (.monthName, "Mon, 02 Jan 2006 15:04:05 GMT", "2006-01-02T15:04:05"),
    (.monthName, "Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05"),
    (.monthName, "Jan 2, 1999 03:04 PM", "1999-01-02T15:04:00"),
    (.monthName, "Jan 2006", "2006-01-01"),
    (.monthName, "Mar-06", "2006-03-01"),
    (.yearMonth, "2015-12", "2015-12-01"),
    (.yearMonth, "12/2015", "2015-12-01"),
    (.yearMonth, "201512", "2015-12-01"),
    (.quarter, "2015Q4", "2015-10-01"),
    (.quarter, "2015-Q1", "2015-01-01"),
    (.quarter, "Q2 2015", "2015-04-01"),
    (.isoWeek, "2015-W01", "2014-12-29"),
    (.isoWeek, "2015-W53-4", "2015-12-31"),
    (.year, "2015", "2015-01-01"),
    (.epochSeconds, "1451606400", "2016-01-01"),
    (.epochSeconds, "1451606400.5", "2016-01-01T00:00:00.500"),
    (.epochSeconds, "-86400", "1969-12-31"),
    (.epochMilliseconds, "1451606400123", "2016-01-01T00:00:00.123"),
    (.epochMicroseconds, "1451606400123456", "2016-01-01T00:00:00.123456"),
    (.epochNanoseconds, "145160640012345678", "1974-08-08T02:24:00.012345678"),
    (.epochNanoseconds, "1451606400123456789", "2016-01-01T00:00:00.123456789"),
    (.epochAnyUnit, "1451606400", "2016-01-01"),
    (.epochAnyUnit, "1451606400000000", "2016-01-01"),
    (.excelDays, "42369", "2015-12-31"),
    (.excelDays, "42369.54513888889", "2015-12-31T13:05:00"),
    (.excelDays, "61", "1900-03-01"),
    (.shortYearMonthDay, "15-12-31", "2015-12-31"),
    (.compact, "2015123113", "2015-12-31T13:00:00"),
    (.compact, "20151231 130509250", "2015-12-31T13:05:09.250"),
    (.yearMonthDay, "2015-12-31T13Z", "2015-12-31T13:00:00"),
    (.yearMonthDay, "2015-12-31 13:05 CET", "2015-12-31T12:05:00"),
    (.yearMonthDay, "2015-12-31 13.05.09", "2015-12-31T13:05:09"),
    (.yearMonth, "2015M12", "2015-12-01"),
    (.yearMonth, "1960M01", "1960-01-01"),
    (.quarter, "1980:Q1", "1980-01-01"),
    (.quarter, "4Q2015", "2015-10-01"),
    (.halfYear, "2015H2", "2015-07-01"),
    (.isoWeek, "2015W01", "2014-12-29"),
    (.isoWeek, "W53 2015", "2015-12-28"),
    (.yearDay, "2016-366", "2016-12-31"),
    (.yearDay, "2015001", "2015-01-01"),
  ]

  @Test("are read in the usual forms", arguments: table)
  func reads(style: DateStyle, text: String, expected: String) throws {
    #expect(style.parse(text)?.description == expected)
  }

  @Test(
    "are refused when there is no such day or time",
    arguments: [
      "2015-02-29", "1900-02-29", "2015-13-01", "2015-00-10", "2015-04-31", "2015-1-0",
      "2015-01-01 25:00", "2015-01-01 12:60", "2015-01-01 24:01", "2015-01-01 13:00 PM",
      "2015-01-01T", "2015-01-01x", "2015-01/01", "15-01-01", "", "-", "2015-01-01 12:00+99:00",
      "20150230", "0000-01-01", "2015-01-01 12:00:00.", "2015-01-01 noon",
    ])
  func refuses(text: String) {
    #expect(DateStyle.yearMonthDay.parse(text) == nil)
    #expect(DateStyle.compact.parse(text) == nil)
  }

  @Test("know leap years")
  func knowsLeapYears() {
    #expect(Timestamp("2000-02-29") != nil && Timestamp("2012-02-29") != nil)
    #expect(Timestamp("1900-02-29") == nil && Timestamp("2100-02-29") == nil)
  }

  @Test("survive the way to civil time and back, over a hundred seeds")
  func roundTrips() throws {
    for seed in 0..<100 {
      var random = SeededRandom(seed: UInt64(seed))
      let seconds = Int64(random.below(315_537_897_600)) - 62_135_596_800  // years 1 to 9999
      let stamp = Timestamp(secondsSinceEpoch: seconds)
      let civil = stamp.civil
      let back = Timestamp(
        year: civil.year, month: civil.month, day: civil.day, hour: civil.hour,
        minute: civil.minute, second: civil.second)
      #expect(back == stamp, "seed \(seed)")
      #expect(Timestamp(stamp.description) == stamp, "seed \(seed)")
      #expect(try roundTrip(stamp) == stamp)
    }
  }

  @Test("are defined for every 64-bit number", arguments: [Int64.min, -1, 0, .max])
  func neverTraps(seconds: Int64) throws {
    let stamp = Timestamp(secondsSinceEpoch: seconds)
    #expect((0..<7).contains(stamp.weekday) && (0..<86_400).contains(stamp.secondOfDay))
    #expect(!stamp.description.isEmpty)
    #expect(try roundTrip([stamp]) == [stamp])
  }

  @Test("know the weekday")
  func knowsWeekday() {
    #expect(Timestamp("1970-01-01")?.weekday == 3)
    #expect(Timestamp("2024-02-29")?.weekday == 3)
    #expect(Timestamp("1929-10-29")?.weekday == 1)
    #expect(Timestamp("2024-12-31")?.civil.dayOfYear == 366)
  }
}
