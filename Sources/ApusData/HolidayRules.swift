/// Public holidays of a country by rule: those that hold in all of it.
///
/// Easter follows Meeus, 1991, *Astronomical Algorithms*, chapter 8 (the Gregorian computus). Regional and lunar
/// holidays, and days that a government declares once, are left out but where the list below has them; a list
/// of dates says them (``Holidays``).
struct HolidayRules: Sendable {
  /// When a holiday falls.
  enum Occasion: Sendable {
    case fixed(month: Int, day: Int)
    /// The same, but the day before where that is a Sunday.
    case notOnSunday(month: Int, day: Int)
    /// Days after Easter Sunday.
    case easter(Int)
    /// The n-th Monday, Tuesday, … of a month, Monday being 0; n of -1 is the last.
    case weekday(Int, n: Int, month: Int)
    /// The first such weekday on or after a day.
    case onOrAfter(Int, month: Int, day: Int)
    /// A single day.
    case once(year: Int, month: Int, day: Int)
  }

  /// A holiday with the years that have it.
  struct Rule: Sendable {
    var occasion: Occasion
    var years = 1...9999
    var except: ClosedRange<Int>?

    init(
      _ occasion: Occasion, _ years: ClosedRange<Int> = 1...9999, except: ClosedRange<Int>? = nil
    ) {
      (self.occasion, self.years, self.except) = (occasion, years, except)
    }
  }

  /// What becomes of a holiday of a fixed date that falls on a weekend.
  enum Substitute: Sendable {
    case none
    /// The Friday before a Saturday, the Monday after a Sunday.
    case nearest
    /// The next working day that is free.
    case following
  }

  var rules: [Rule]
  var substitute = Substitute.none

  /// Whether a day, counted from 1970, is a holiday or stands for one.
  func contains(_ day: Int) -> Bool {
    if falls(on: day) { return true }
    let weekday = Self.weekday(day)
    guard weekday < 5 else { return false }
    switch substitute {
    case .none: return false
    case .nearest:
      return weekday == 4 && falls(on: day + 1, fixedOnly: true)
        || weekday == 0 && falls(on: day - 1, fixedOnly: true)
    case .following: return stands(day)
    }
  }

  /// Whether a working day stands for a holiday on the weekend before it.
  private func stands(_ day: Int) -> Bool {
    var waiting = 0
    // Two holidays on a weekend, and two right after it, take the days up to Thursday.
    for earlier in day - 6...day {
      let (isWeekend, isOwn) = (Self.weekday(earlier) >= 5, falls(on: earlier))
      if isWeekend {
        if falls(on: earlier, fixedOnly: true) { waiting += 1 }
      } else if !isOwn, waiting > 0 {
        if earlier == day { return true }
        waiting -= 1
      }
    }
    return false
  }

  private func falls(on day: Int, fixedOnly: Bool = false) -> Bool {
    let civil = Timestamp(secondsSinceEpoch: Int64(day) * 86_400).civil
    return rules.contains { rule in
      guard rule.years.contains(civil.year), rule.except?.contains(civil.year) != true else {
        return false
      }
      if fixedOnly { guard case .fixed = rule.occasion else { return false } }
      return rule.occasion.falls(on: day, civil)
    }
  }

  /// Monday is 0.
  private static func weekday(_ day: Int) -> Int { (day + 3 - (day + 3).flooredQuotient(7) * 7) }
}

extension HolidayRules.Occasion {
  /// Whether it falls on a day, counted from 1970 and by the calendar.
  fileprivate func falls(on day: Int, _ civil: CivilTime) -> Bool {
    let weekday = day + 3 - (day + 3).flooredQuotient(7) * 7
    switch self {
    case .fixed(let month, let number): return civil.month == month && civil.day == number
    case .notOnSunday(let month, let number):
      guard civil.month == month else { return false }
      return civil.day == number && weekday != 6 || civil.day == number - 1 && weekday == 5
    case .easter(let after): return day - after == Self.easter(year: civil.year)
    case .weekday(let wanted, let n, let month):
      guard civil.month == month, weekday == wanted else { return false }
      let length = CivilTime.daysInMonth(year: civil.year, month: month)
      return n < 0 ? civil.day + 7 > length : (civil.day - 1) / 7 + 1 == n
    case .onOrAfter(let wanted, let month, let number):
      let first = CivilTime.dayNumber(year: civil.year, month: month, day: number)
      return weekday == wanted && (first..<first + 7).contains(day)
    case .once(let year, let month, let number):
      return civil.year == year && civil.month == month && civil.day == number
    }
  }

  /// Easter Sunday of a year of the Gregorian calendar, counted in days from 1970.
  static func easter(year: Int) -> Int {
    let (a, b, c) = (year % 19, year / 100, year % 100)
    let (d, e) = (b / 4, b % 4)
    let f = (b + 8) / 25
    let g = (b - f + 1) / 3
    let h = (19 * a + b - d - g + 15) % 30
    let (i, k) = (c / 4, c % 4)
    let l = (32 + 2 * e + 2 * i - h - k) % 7
    let m = (a + 11 * h + 22 * l) / 451
    let sum = h + l - 7 * m + 114
    return CivilTime.dayNumber(year: year, month: sum / 31, day: sum % 31 + 1)
  }
}

extension HolidayRules {
  private static func fixed(_ dates: (Int, Int)...) -> [Rule] {
    dates.map { Rule(.fixed(month: $0.0, day: $0.1)) }
  }

  private static func easter(_ days: Int...) -> [Rule] { days.map { Rule(.easter($0)) } }

  /// The countries that are known, by their two letters (ISO 3166-1).
  static let countries: [String: HolidayRules] = [
    // Arbeitsruhegesetz, § 7.
    "AT": HolidayRules(
      rules: fixed(
        (1, 1), (1, 6), (5, 1), (8, 15), (10, 26), (11, 1), (12, 8), (12, 25), (12, 26))
        + easter(1, 39, 50, 60)),
    // Koninklijk besluit of 18 April 1974.
    "BE": HolidayRules(
      rules: fixed((1, 1), (5, 1), (7, 21), (8, 15), (11, 1), (11, 11), (12, 25))
        + easter(1, 39, 50)),
    // Canada Labour Code, section 166.
    "CA": HolidayRules(
      rules: fixed((1, 1), (7, 1), (11, 11), (12, 25), (12, 26)) + easter(-2) + [
        Rule(.onOrAfter(0, month: 5, day: 18)), Rule(.weekday(0, n: 1, month: 9)),
        Rule(.fixed(month: 9, day: 30), 2021...9999), Rule(.weekday(0, n: 2, month: 10)),
      ], substitute: .following),
    // The federal day, and those that all cantons keep.
    "CH": HolidayRules(
      rules: fixed((1, 1), (12, 25)) + [Rule(.fixed(month: 8, day: 1), 1994...9999)] + easter(39)),
    // The days that all states have; Einigungsvertrag, article 2.
    "DE": HolidayRules(
      rules: fixed((1, 1), (5, 1), (12, 25), (12, 26)) + easter(-2, 1, 39, 50) + [
        Rule(.fixed(month: 6, day: 17), 1954...1990), Rule(.fixed(month: 10, day: 3), 1990...9999),
        Rule(.onOrAfter(2, month: 11, day: 16), 1990...1994),
        Rule(.once(year: 2017, month: 10, day: 31)),
      ]),
    // Lov om helligdage; Great Prayer Day until 2023.
    "DK": HolidayRules(
      rules: fixed((1, 1), (12, 25), (12, 26)) + easter(-3, -2, 0, 1, 39, 49, 50)
        + [Rule(.easter(26), 1...2023)]),
    // Real Decreto 2001/1983, article 45: those of the whole country.
    "ES": HolidayRules(
      rules: fixed(
        (1, 1), (1, 6), (5, 1), (8, 15), (10, 12), (11, 1), (12, 6), (12, 8), (12, 25))
        + easter(-2)),
    // Kirkkolaki and the laws on Independence and May Day.
    "FI": HolidayRules(
      rules: fixed((1, 1), (1, 6), (5, 1), (12, 6), (12, 25), (12, 26))
        + easter(-2, 0, 1, 39, 49)
        + [Rule(.onOrAfter(5, month: 6, day: 20)), Rule(.onOrAfter(5, month: 10, day: 31))]),
    // Code du travail, article L3133-1.
    "FR": HolidayRules(
      rules: fixed((1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25))
        + easter(1, 39, 50)),
    // England and Wales: Banking and Financial Dealings Act 1971, and proclamations.
    "GB": HolidayRules(
      rules: fixed((1, 1), (12, 25), (12, 26)) + easter(-2, 1) + [
        Rule(.weekday(0, n: 1, month: 5), 1978...1994),
        Rule(.weekday(0, n: 1, month: 5), 1996...9999, except: 2020...2020),
        Rule(.weekday(0, n: -1, month: 5), 1971...2001),
        Rule(.weekday(0, n: -1, month: 5), 2003...2011),
        Rule(.weekday(0, n: -1, month: 5), 2013...9999, except: 2022...2022),
        Rule(.weekday(0, n: -1, month: 8)),
      ]
        + single(
          (1977, 6, 7), (1981, 7, 29), (1995, 5, 8), (1999, 12, 31), (2002, 6, 3), (2002, 6, 4),
          (2011, 4, 29), (2012, 6, 4), (2012, 6, 5), (2020, 5, 8), (2022, 6, 2), (2022, 6, 3),
          (2022, 9, 19), (2023, 5, 8)), substitute: .following),
    // Legge 260/1949 as changed.
    "IT": HolidayRules(
      rules: fixed((1, 1), (4, 25), (5, 1), (8, 15), (11, 1), (12, 8), (12, 25), (12, 26))
        + easter(0, 1) + [
          Rule(.fixed(month: 1, day: 6), except: 1978...1985),
          Rule(.fixed(month: 6, day: 2), 2001...9999),
        ]),
    // Algemene termijnenwet, article 3, and the King's day.
    "NL": HolidayRules(
      rules: fixed((1, 1), (12, 25), (12, 26)) + easter(0, 1, 39, 49, 50) + [
        Rule(.notOnSunday(month: 4, day: 27), 2014...9999),
        Rule(.notOnSunday(month: 4, day: 30), 1949...2013),
      ]),
    // Lov om helligdager and lov om 1 og 17 mai.
    "NO": HolidayRules(
      rules: fixed((1, 1), (5, 1), (5, 17), (12, 25), (12, 26))
        + easter(-3, -2, 0, 1, 39, 49, 50)),
    // Ustawa o dniach wolnych od pracy of 1951 as changed.
    "PL": HolidayRules(
      rules: fixed((1, 1), (5, 1), (8, 15), (11, 1), (12, 25), (12, 26)) + easter(0, 1, 49, 60) + [
        Rule(.fixed(month: 1, day: 6), 2011...9999), Rule(.fixed(month: 5, day: 3), 1990...9999),
        Rule(.fixed(month: 11, day: 11), 1989...9999),
        Rule(.fixed(month: 12, day: 24), 2025...9999),
      ]),
    // Código do Trabalho, artigo 234; four days were suspended from 2013 to 2015.
    "PT": HolidayRules(
      rules: fixed((1, 1), (4, 25), (5, 1), (6, 10), (8, 15), (12, 8), (12, 25)) + easter(-2, 0) + [
        Rule(.easter(60), except: 2013...2015),
        Rule(.fixed(month: 10, day: 5), except: 2013...2015),
        Rule(.fixed(month: 11, day: 1), except: 2013...2015),
        Rule(.fixed(month: 12, day: 1), except: 2013...2015),
      ]),
    // Lag (1989:253) om allmänna helgdagar as changed.
    "SE": HolidayRules(
      rules: fixed((1, 1), (1, 6), (5, 1), (12, 25), (12, 26)) + easter(-2, 0, 1, 39, 49) + [
        Rule(.easter(50), 1...2004), Rule(.fixed(month: 6, day: 6), 2005...9999),
        Rule(.onOrAfter(5, month: 6, day: 20)), Rule(.onOrAfter(5, month: 10, day: 31)),
      ]),
    // 5 U.S.C. 6103.
    "US": HolidayRules(
      rules: fixed((1, 1), (7, 4), (11, 11), (12, 25)) + [
        Rule(.weekday(0, n: 3, month: 1), 1986...9999),
        Rule(.weekday(0, n: 3, month: 2), 1971...9999),
        Rule(.weekday(0, n: -1, month: 5), 1971...9999),
        Rule(.fixed(month: 6, day: 19), 2021...9999), Rule(.weekday(0, n: 1, month: 9)),
        Rule(.weekday(0, n: 2, month: 10), 1971...9999), Rule(.weekday(3, n: 4, month: 11)),
      ], substitute: .nearest),
  ]

  private static func single(_ dates: (Int, Int, Int)...) -> [Rule] {
    dates.map { Rule(.once(year: $0.0, month: $0.1, day: $0.2)) }
  }
}
