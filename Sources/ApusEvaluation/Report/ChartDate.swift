/// A moment in the Gregorian calendar, UTC, as the axes need it: from and to `Double` seconds, refusing
/// what is no moment. Apart from the calendar of ApusData, so that a record is drawn without it.
package struct ChartDate: Sendable, Equatable {
  package let year: Int
  /// 1 to 12.
  package let month: Int
  /// 1 to 31.
  package let day: Int
  /// Seconds since midnight.
  package let second: Int

  /// The moment `seconds` after 1970-01-01 00:00 UTC; `nil` outside the years −29,000 to 32,000,
  /// and for what is not a number.
  package init?(seconds: Double) {
    guard abs(seconds) < 1e12, let whole = Int(exactly: seconds.rounded(.down)) else { return nil }
    let days = (whole - (whole % 86_400 + 86_400) % 86_400) / 86_400
    second = whole - days * 86_400
    // Days since 0000-03-01, counted in eras of 400 years (Hinnant, *chrono-compatible
    // low-level date algorithms*, 2013).
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  /// Seconds from 1970-01-01 to the first day of a month, `month` counted from 0 and allowed to
  /// run past 11.
  package static func seconds(year: Int, month: Int) -> Double {
    let year = year + month / 12
    let month = month % 12 + 1
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return Double(era * 146_097 + dayOfEra - 719_468) * 86_400
  }

  /// "2017-03-01", or "2017-03-01 14:30" when it is not midnight.
  package var text: String {
    let date = "\(year)-\(Figures.twoDigits(month))-\(Figures.twoDigits(day))"
    return second == 0 ? date : "\(date) \(clock)"
  }

  /// "14:30".
  package var clock: String {
    "\(Figures.twoDigits(second / 3600)):\(Figures.twoDigits(second % 3600 / 60))"
  }

  /// "Mar".
  package var monthName: String {
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month - 1]
  }
}
