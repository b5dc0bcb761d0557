import ApusData
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Seasonal profile")
struct SeasonalProfileTests {
  static let monday = Timestamp(year: 2024, month: 1, day: 1) ?? Timestamp(secondsSinceEpoch: 0)
  static let week: [Double] = [4, 1, 0, -2, 3, -7, 1]

  /// Daily values from a Monday on, of which `value` gives that of each row.
  static func daily(_ count: Int, id: String = "s", _ value: (Int) -> Double) -> TimeSeries {
    TimeSeries(
      id: id,
      timestamps: (0..<count).map {
        Timestamp(secondsSinceEpoch: monday.secondsSinceEpoch + Int64($0) * 86_400)
      }, values: (0..<count).map(value))
  }

  static func profile(_ series: [TimeSeries]) -> SeasonalProfile? {
    let table = SeriesTable(series)
    return SeasonalProfile(fitting: table, rows: series.map { 0..<$0.count })
  }

  @Test("is the season of a line with a week on it, whatever the level and the slope")
  func exact() throws {
    let series = Self.daily(70) { 100 + 0.25 * Double($0) + Self.week[$0 % 7] }
    let season = try #require(Self.profile([series])?.season(of: "s"))
    for row in [0, 3, 69, 700] {
      let stamp = Timestamp(secondsSinceEpoch: Self.monday.secondsSinceEpoch + Int64(row) * 86_400)
      for ahead in 0..<9 {
        let found = season.place(of: stamp).offset(ahead: ahead)
        #expect(abs(found - Self.week[(row + ahead) % 7]) < 1e-9, "row \(row), \(ahead) ahead")
      }
    }
  }

  @Test("is shrunk by what chance explains, and seldom found where there is none")
  func chance() throws {
    func noisy(_ size: Double, _ seed: UInt64) -> TimeSeries {
      let noise = Tensor(normal: [210], key: RandomKey(seed: seed)).values
      return Self.daily(210) { Double(noise[$0]) + size * Self.week[$0 % 7] }
    }
    let found = (0..<100 as Range<UInt64>).filter { Self.profile([noisy(0, $0)]) != nil }
    #expect(found.count <= 15, "\(found.count) of 100")
    let season = try #require(Self.profile([noisy(0.3, 7)])?.season(of: "s"))
    let offsets = (0..<7).map { season.place(of: Self.monday).offset(ahead: $0) }
    #expect(abs(offsets.reduce(0, +)) < 1e-9)
    for (one, other) in zip(offsets, Self.week) { #expect(abs(one - 0.3 * other) < 0.5) }
  }

  @Test("belongs to a series by its name; one series alone may have any")
  func names() throws {
    let one = Self.daily(70) { Self.week[$0 % 7] }
    var two = Self.daily(70) { -Self.week[$0 % 7] }
    two.id = "t"
    let alone = try #require(Self.profile([one]))
    #expect(alone.season(of: "other") == alone.season(of: "s") && alone.season(of: nil) != nil)
    let both = try #require(Self.profile([one, two]))
    #expect(both.season(of: "other") == nil && both.season(of: nil) == nil)
    let offsets = try ["s", "t"].map {
      try #require(both.season(of: $0)).place(of: Self.monday).offset()
    }
    #expect(abs(offsets[0] - 4) < 1e-9 && abs(offsets[1] + 4) < 1e-9)
    let flat = Self.daily(70, id: "flat") { _ in 5 }
    let mixed = try #require(Self.profile([one, flat]))
    #expect(mixed.season(of: "flat") == nil && mixed.series.map(\.id) == ["s"])
  }

  @Test("is none for too few seasons, steps without a clock, and no values")
  func none() {
    #expect(Self.profile([Self.daily(14) { Self.week[$0 % 7] }]) == nil)
    #expect(Self.profile([Self.daily(70) { _ in .nan }]) == nil)
    #expect(Self.profile([TimeSeries(id: "s", values: (0..<70).map { Self.week[$0 % 7] })]) == nil)
  }

  @Test("missing values do not count")
  func missing() throws {
    let series = Self.daily(140) { $0 % 10 == 3 ? .nan : Self.week[$0 % 7] }
    let season = try #require(Self.profile([series])?.season(of: "s"))
    for (ahead, expected) in Self.week.enumerated() {
      #expect(abs(season.place(of: Self.monday).offset(ahead: ahead) - expected) < 1)
    }
  }

  @Test("places follow the clock")
  func places() {
    func place(_ frequency: Frequency, _ year: Int, _ month: Int, _ day: Int, hour: Int = 0) -> Int?
    {
      Timestamp(year: year, month: month, day: day).flatMap {
        Cadence(frequency).seasonPlace(
          of: Timestamp(secondsSinceEpoch: $0.secondsSinceEpoch + Int64(hour) * 3600))
      }
    }
    #expect(place(.seconds(3600), 2024, 5, 6, hour: 17) == 17)
    #expect(place(.seconds(900), 2024, 5, 6, hour: 17) == 68)
    #expect(place(.days(1), 2024, 5, 6) == 0, "a Monday")
    #expect(place(.businessDays, 2024, 5, 10) == 4, "a Friday")
    #expect(place(.days(7), 2024, 12, 31) == 51)
    #expect(place(.months(1), 2024, 12, 1) == 11 && place(.months(3), 2024, 10, 1) == 3)
    #expect(place(.months(12), 2024, 1, 1) == nil && place(.steps, 2024, 1, 1) == nil)
    #expect(Cadence(.seconds(7)).seasonPlaces == nil, "no whole number makes a day")
    #expect(Cadence(.seconds(1)).seasonPlaces == nil, "too many places")
  }

  @Test("a season that a person says counts rows, with a clock or without")
  func said() throws {
    let figure: [Double] = [3, 0, -5, 2, 0]
    var table = SeriesTable([
      TimeSeries(id: "s", values: (0..<60).map { 7 + figure[$0 % 5] })
    ])
    table.cadence.season = 5
    let season = try #require(SeasonalProfile(fitting: table, rows: [0..<60])?.season(of: "s"))
    for row in [0, 4, 61] {
      let place = season.place(of: Timestamp(secondsSinceEpoch: Int64(row)))
      #expect(abs(place.offset(ahead: 2) - figure[(row + 2) % 5]) < 1e-9)
    }
    var hours = Cadence(.seconds(3600))
    hours.season = 168
    let stamp = Timestamp(secondsSinceEpoch: 3600 * 1000)
    #expect(hours.seasonPlaces == 168 && hours.seasonPlace(of: stamp) == 1000 % 168)
    #expect(hours.seasonPlace(of: Timestamp(secondsSinceEpoch: -3600)) == 167)
    var days = Cadence(.businessDays)
    days.season = 10
    // 8 January 1970 and the Thursday after are five open days apart, and ten make a round.
    func place(_ day: Int) -> Int? {
      days.seasonPlace(of: Timestamp(secondsSinceEpoch: Int64(day) * 86_400))
    }
    let first = try #require(place(7))
    #expect(days.seasonPlaces == 10 && place(14) == (first + 5) % 10 && place(21) == first)
    #expect(place(8) == (first + 1) % 10 && place(11) == (first + 2) % 10, "a weekend is no row")
  }

  @Test("of a market that closes the week is the season, counted over open hours")
  func market() throws {
    // Monday 7:00 to Friday 21:00 of hours, 30 weeks from 3 January 2022; one holiday is missing.
    let monday = try #require(Timestamp(year: 2022, month: 1, day: 3)).secondsSinceEpoch
    let hours = (0..<30 * 168).filter { (7...117).contains($0 % 168) && $0 / 24 != 45 }
    let stamps = hours.map { Timestamp(secondsSinceEpoch: monday + Int64($0) * 3600) }
    func figure(_ hour: Int) -> Double { 3 * sin(Double(hour % 168) / 9) + Double(hour % 24) / 8 }
    let cadence = Cadence(inferredFrom: stamps)
    #expect(cadence.seasonPlaces == 111)
    #expect(cadence.seasonPlace(of: stamps[0]) == 0 && cadence.seasonPlace(of: stamps[110]) == 110)
    #expect(cadence.seasonPlace(of: stamps[111]) == 0)
    let last = try #require(stamps.last)
    #expect(cadence.seasonPlace(of: last) == 110)
    let (one, other) = (cadence.ordinal(of: stamps[50]), cadence.ordinal(of: stamps[111 * 5 + 50]))
    #expect(try #require(other) - #require(one) == 555)
    var table = SeriesTable([
      TimeSeries(id: "s", timestamps: stamps, values: hours.map(figure))
    ])
    table.cadence = cadence
    let profile = try #require(SeasonalProfile(fitting: table, rows: [0..<stamps.count]))
    let season = try #require(profile.season(of: "s"))
    let mean = (7...117).map(figure).reduce(0, +) / 111
    for row in [0, 60, 1000] {
      let place = season.place(of: stamps[row])
      for ahead in [0, 1, 70] {
        let expected = figure(7 + (hours[row] % 168 - 7 + ahead) % 111) - mean
        #expect(abs(place.offset(ahead: ahead) - expected) < 0.02)
      }
    }
    let stored = try JSONDecoder().decode(Cadence.self, from: JSONEncoder().encode(cadence))
    #expect(stored == cadence && stored.seasonPlace(of: last) == 110)
  }

  @Test("survives a round trip, and a damaged one is refused")
  func stored() throws {
    let profile = try #require(Self.profile([Self.daily(70) { Self.week[$0 % 7] }]))
    let data = try JSONEncoder().encode(profile)
    #expect(try JSONDecoder().decode(SeasonalProfile.self, from: data) == profile)
    let text = String(decoding: data, as: UTF8.self)
    let short = text.replacing(#/"offsets":\[[^,]*,/#, with: "\"offsets\":[")
    #expect(short != text)
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode(SeasonalProfile.self, from: Data(short.utf8))
    }
  }
}
