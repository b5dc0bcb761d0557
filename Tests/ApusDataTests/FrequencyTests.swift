import ApusData
import Testing

@Suite("Cadence")
struct FrequencyTests {
  private func stamps(_ first: String, _ cadence: Cadence, _ count: Int) throws -> [Timestamp] {
    let start = try #require(Timestamp(first))
    return try [start] + cadence.stamps(after: start, count: count - 1)
  }

  @Test(
    "is inferred from its own stamps",
    arguments: [
      .seconds(1), .seconds(60), .seconds(900), .seconds(3_600), .seconds(14_400), .days(1),
      .days(7), .days(14), .businessDays, .months(1), .months(3), .months(12),
    ] as [Frequency])
  func infersOwn(frequency: Frequency) throws {
    let own = try stamps("2015-01-05", Cadence(frequency), 60)
    let inferred = Cadence(inferredFrom: own)
    #expect(inferred.frequency == frequency)
    #expect(inferred.holes(in: own).isEmpty)
  }

  @Test("takes weekends for closed and holidays for closures, not gaps")
  func knowsHolidays() throws {
    let holidays = try ["2015-01-19", "2015-02-16", "2015-04-03", "2015-05-25"].map {
      try #require(Timestamp($0))
    }
    let days = try stamps("2015-01-02", Cadence(.businessDays), 250).filter {
      !holidays.contains($0)
    }
    let cadence = Cadence(inferredFrom: days)
    #expect(cadence.frequency == .businessDays)
    let holes = cadence.holes(in: days)
    #expect(holes.count == 4 && holes.allSatisfy { $0.isClosure && $0.missing == 1 })
    let torn = days.filter {
      $0 < Timestamp(secondsSinceEpoch: 1_430_000_000) || $0.civil.month > 6
    }
    let gap = try #require(cadence.holes(in: torn).first { !$0.isClosure })
    #expect(gap.missing > 5)
  }

  @Test("knows the sessions of a market that closes overnight")
  func knowsSessions() throws {
    let days = try stamps("2015-01-05", Cadence(.businessDays), 60)
    let bars = days.flatMap { day in
      (0..<7).map {
        Timestamp(secondsSinceEpoch: day.secondsSinceEpoch + 34_200 + Int64($0) * 3_600)
      }
    }
    let cadence = Cadence(inferredFrom: bars)
    #expect(cadence.frequency == .seconds(3_600))
    #expect(cadence.seasonLength == 7)
    #expect(cadence.holes(in: bars).isEmpty)
    let last = try #require(bars.last)
    let next = try cadence.stamps(after: last, count: 8)
    #expect(next.map(\.civil.hour) == [9, 10, 11, 12, 13, 14, 15, 9])
    #expect(next.allSatisfy { $0.weekday < 5 && $0.civil.minute == 30 })
    var torn = bars
    torn.removeSubrange(15..<17)
    #expect(cadence.holes(in: torn).map(\.missing) == [2])
  }

  @Test("keeps the end of the month")
  func keepsMonthEnd() throws {
    let ends = try ["2015-10-31", "2015-11-30", "2015-12-31", "2016-01-31"].map {
      try #require(Timestamp($0))
    }
    let next = try Cadence(inferredFrom: ends).stamps(after: ends[3], count: 2)
    #expect(next.map(\.description) == ["2016-02-29", "2016-03-31"])
    let working = try ["2015-10-30", "2015-11-30", "2015-12-31", "2016-01-29"].map {
      try #require(Timestamp($0))
    }
    let later = try Cadence(inferredFrom: working).stamps(after: working[3], count: 4)
    #expect(later.map(\.description) == ["2016-02-29", "2016-03-31", "2016-04-29", "2016-05-31"])
  }

  @Test("skips weekends ahead")
  func skipsWeekends() throws {
    let friday = try #require(Timestamp("2015-12-31"))
    let next = try Cadence(.businessDays).stamps(after: friday, count: 3)
    #expect(next.map(\.description) == ["2016-01-01", "2016-01-04", "2016-01-05"])
  }

  @Test("says irregular when it is")
  func admitsIrregular() {
    var random = SeededRandom(seed: 3)
    var seconds: Int64 = 0
    let stamps = (0..<100).map { _ in
      seconds += 1 + Int64(random.below(100_000))
      return Timestamp(secondsSinceEpoch: seconds)
    }
    #expect(Cadence(inferredFrom: stamps).frequency == .irregular)
    #expect(Cadence(inferredFrom: []).frequency == .irregular)
    #expect(Cadence(inferredFrom: Array(stamps.prefix(1))).frequency == .irregular)
  }

  @Test("counts missing weeks and months")
  func countsMissing() throws {
    var weeks = try stamps("2015-01-05", Cadence(.days(7)), 20)
    weeks.removeSubrange(5..<8)
    #expect(Cadence(.days(7)).holes(in: weeks).map(\.missing) == [3])
    var months = try stamps("2015-01-31", Cadence(.months(1)), 20)
    months.remove(at: 4)
    #expect(Cadence(inferredFrom: months).holes(in: months).map(\.missing) == [1])
  }

  @Test("gives features that come round", arguments: CalendarFeatures.Cycle.allCases)
  func featuresComeRound(cycle: CalendarFeatures.Cycle) throws {
    let features = CalendarFeatures(Cadence(.businessDays))
    #expect(features.names.count == features.count)
    let stamp = try #require(Timestamp("2015-01-05"))
    let values = features.values(at: stamp)
    #expect(values.count == features.count)
    // A Monday: phase 0 of the week.
    #expect(values[0] == 0 && values[1] == 1)
    #expect(values.allSatisfy { abs($0) <= 1 })
    let hours = CalendarFeatures(Cadence(.seconds(3_600)))
    let noon = hours.values(at: Timestamp(secondsSinceEpoch: stamp.secondsSinceEpoch + 43_200))
    #expect(abs(noon[1] + 1) < 1e-12)
    #expect(CalendarFeatures(Cadence(.steps)).count == 0)
    #expect(try roundTrip(features) == features)
  }
}
