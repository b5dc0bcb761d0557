import ApusData
import ApusTestSupport
import Foundation
import Testing

@Suite("Holidays")
struct HolidayTests {
  static func day(_ year: Int, _ month: Int, _ day: Int) throws -> Timestamp {
    try #require(Timestamp(year: year, month: month, day: day))
  }

  /// The holidays of a year as month.day, in order.
  static func days(_ country: String, _ year: Int) throws -> [String] {
    let holidays = try Holidays([country])
    let first = try day(year, 1, 1)
    return (0..<366).map { first.secondsSinceEpoch + Int64($0) * 86_400 }
      .map { Timestamp(secondsSinceEpoch: $0) }
      .filter { $0.civil.year == year && holidays.contains($0) }
      .map { "\($0.civil.month).\($0.civil.day)" }
  }

  @Test("Easter falls where almanacs have it")
  func easter() throws {
    let france = try Holidays(["FR"])
    let sundays = [
      (1961, 4, 2), (1981, 4, 19), (2000, 4, 23), (2008, 3, 23), (2011, 4, 24), (2019, 4, 21),
      (2024, 3, 31), (2025, 4, 20), (2038, 4, 25), (2100, 3, 28),
    ]
    for (year, month, number) in sundays {
      let monday = Timestamp(
        secondsSinceEpoch: try Self.day(year, month, number).secondsSinceEpoch + 86_400)
      #expect(france.contains(monday), "\(year)")
      #expect(try Self.day(year, month, number).weekday == 6)
    }
  }

  @Test(
    "of whole years are those that were kept",
    arguments: [
      ("DE", 2024, "1.1 3.29 4.1 5.1 5.9 5.20 10.3 12.25 12.26"),
      ("DE", 2017, "1.1 4.14 4.17 5.1 5.25 6.5 10.3 10.31 12.25 12.26"),
      ("FR", 2023, "1.1 4.10 5.1 5.8 5.18 5.29 7.14 8.15 11.1 11.11 12.25"),
      ("GB", 2022, "1.1 1.3 4.15 4.18 5.2 6.2 6.3 8.29 9.19 12.25 12.26 12.27"),
      ("GB", 2021, "1.1 4.2 4.5 5.3 5.31 8.30 12.25 12.26 12.27 12.28"),
      ("GB", 2020, "1.1 4.10 4.13 5.8 5.25 8.31 12.25 12.26 12.28"),
      ("US", 2021, "1.1 1.18 2.15 5.31 6.18 6.19 7.4 7.5 9.6 10.11 11.11 11.25 12.24 12.25 12.31"),
      ("US", 2024, "1.1 1.15 2.19 5.27 6.19 7.4 9.2 10.14 11.11 11.28 12.25"),
      ("DK", 2023, "1.1 4.6 4.7 4.9 4.10 5.5 5.18 5.28 5.29 12.25 12.26"),
      ("DK", 2024, "1.1 3.28 3.29 3.31 4.1 5.9 5.19 5.20 12.25 12.26"),
      ("SE", 2023, "1.1 1.6 4.7 4.9 4.10 5.1 5.18 5.28 6.6 6.24 11.4 12.25 12.26"),
      ("NL", 2014, "1.1 4.20 4.21 4.26 5.29 6.8 6.9 12.25 12.26"),
      ("PT", 2014, "1.1 4.18 4.20 4.25 5.1 6.10 8.15 12.8 12.25"),
      ("CA", 2023, "1.1 1.2 4.7 5.22 7.1 7.3 9.4 9.30 10.2 10.9 11.11 11.13 12.25 12.26"),
      ("AT", 2024, "1.1 1.6 4.1 5.1 5.9 5.20 5.30 8.15 10.26 11.1 12.8 12.25 12.26"),
      ("ES", 2024, "1.1 1.6 3.29 5.1 8.15 10.12 11.1 12.6 12.8 12.25"),
    ])
  func years(country: String, year: Int, expected: String) throws {
    #expect(try Self.days(country, year).joined(separator: " ") == expected)
  }

  @Test("come from a list of dates too, and what is neither is named")
  func lists() throws {
    try withTemporaryFolder { folder in
      let path = try write("# stocktaking\n2024-02-29\n\n2024-03-04\n", "days.txt", folder)
      let holidays = try Holidays(["de", path])
      #expect(holidays.countries == ["DE"] && holidays.days.count == 2)
      #expect(try holidays.contains(Self.day(2024, 2, 29)))
      #expect(try !holidays.contains(Self.day(2024, 2, 28)))
      let bad = try write("2024-02-29\n29. Februar\n", "bad.txt", folder)
      let error = try #require(throws: HolidayError.self) { try Holidays([bad]) }
      #expect(error.description.contains("line 2: found '29. Februar'"), "\(error)")
    }
    let error = try #require(throws: HolidayError.self) { try Holidays(["XX"]) }
    #expect(error.description.contains("'XX' are not known"), "\(error)")
  }

  private func write(_ text: String, _ name: String, _ folder: String) throws -> String {
    let path = folder + "/" + name
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  @Test("are seen the day before and after, and counted in rows of weeks and months")
  func inputs() throws {
    func inputs(_ frequency: Frequency, _ stamps: [Timestamp]) throws -> [[Double]] {
      var table = SeriesTable([
        TimeSeries(id: "a", timestamps: stamps, values: stamps.map { _ in 1 })
      ])
      table.cadence = Cadence(frequency)
      let known = try #require(
        KnownInputs(
          fitting: table, columns: [], holidays: try Holidays(["DE"]), rows: [0..<stamps.count]))
      return stamps.map { stamp in
        known([], at: stamp).enumerated().map {
          ($1 * known.scaler.deviations[$0] + known.scaler.means[$0]).rounded()
        }
      }
    }
    let days = try (23...28).map { try Self.day(2024, 12, $0) }
    #expect(
      try inputs(.days(1), days)
        == [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]])
    let months = try (1...12).map { try Self.day(2024, $0, 15) }
    #expect(
      try inputs(.months(1), months).map { $0[0] } == [1, 0, 1, 1, 3, 0, 0, 0, 0, 1, 0, 2])
    let weeks = try [2, 9, 16, 23].map { try Self.day(2024, 12, $0) }
    #expect(try inputs(.days(7), weeks).map { $0[0] } == [0, 0, 0, 2])
  }
}
