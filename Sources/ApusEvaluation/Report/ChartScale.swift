import Foundation

/// A mark on an axis.
package struct ChartTick: Sendable, Equatable {
  /// Where, in the unit of the data.
  package let value: Double
  /// What is written there.
  package let label: String
}

/// Maps the unit of the data to coordinates of the drawing, and knows which marks read well.
package struct ChartScale: Sendable, Equatable {
  /// How distances are drawn.
  package enum Kind: Sendable, Equatable {
    case linear
    /// Equal ratios are equal distances; the domain is positive.
    case logarithmic
    /// Linear in seconds since 1970-01-01 UTC, with marks of the calendar.
    case time
  }

  /// How distances are drawn.
  package let kind: Kind
  /// The data shown.
  package let domain: ClosedRange<Double>
  /// Coordinates of the domain's low end.
  package let start: Double
  /// Coordinates of the domain's high end; less than ``start`` on vertical axes.
  package let end: Double

  /// A scale over what is finite (and, when logarithmic, positive) in `values`.
  ///
  /// `padding` is room at both ends, a fraction of the drawn length.
  package init(
    _ kind: Kind, over values: [Double], from start: Double, to end: Double,
    padding: Double = 0
  ) {
    // Beyond these bounds differences and ratios leave the range of numbers.
    let usable = values.filter {
      abs($0) < 1e100 && (kind != .logarithmic || $0 > 1e-100)
    }
    var low = usable.min() ?? (kind == .logarithmic ? 1 : 0)
    var high = usable.max() ?? (kind == .logarithmic ? 10 : 1)
    if kind == .logarithmic {
      if low == high { (low, high) = (low / 2, high * 2) }
      let room = pow(high / low, padding)
      (low, high) = (max(low / room, .leastNormalMagnitude), high * room)
    } else {
      if high - low <= max(abs(low), abs(high)) * 1e-12 || high - low < 1e-100 {
        let room = abs(low) < 1e-90 ? 1 : abs(low) * 0.1
        (low, high) = (low - room, high + room)
      }
      let room = (high - low) * padding
      (low, high) = (low - room, high + room)
    }
    self.kind = kind
    domain = low...max(low, high)
    (self.start, self.end) = (start, end)
  }

  /// The coordinate of `value`; values outside the domain land outside the axis.
  package func callAsFunction(_ value: Double) -> Double {
    let (low, high) = (domain.lowerBound, domain.upperBound)
    guard high > low else { return start }
    let share =
      kind == .logarithmic
      ? log(max(value, .leastNormalMagnitude) / low) / log(high / low)
      : (value - low) / (high - low)
    return start + (end - start) * share
  }

  /// The power of ten, a multiple of 3, that the labels of a linear scale leave out.
  package var exponent: Int {
    let size = max(abs(domain.lowerBound), abs(domain.upperBound))
    return kind == .linear && size < 0.01 ? Figures.thousands(size) : 0
  }

  /// About `count` marks inside the domain.
  package func ticks(about count: Int) -> [ChartTick] {
    switch kind {
    case .linear: linearTicks(about: count)
    case .logarithmic: logarithmicTicks(about: count)
    case .time: CalendarTicks(domain: domain, about: count).ticks
    }
  }

  /// The step of 1, 2 or 5 times a power of ten that cuts `span` into about `count` pieces.
  package static func step(_ span: Double, about count: Int) -> Double {
    let raw = span / Double(max(count, 1))
    guard raw > 0, raw.isFinite else { return 1 }
    let power = pow(10, log10(raw).rounded(.down))
    let lead = raw / power
    return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10)
  }

  private func linearTicks(about count: Int) -> [ChartTick] {
    let step = Self.step(domain.upperBound - domain.lowerBound, about: count)
    let slack = step * 1e-6
    let first = ((domain.lowerBound - slack) / step).rounded(.up)
    let last = ((domain.upperBound + slack) / step).rounded(.down)
    guard last >= first, last - first < 100 else { return [] }
    let unit = pow(10, Double(exponent))
    let decimals = Int(max(0, -(log10(step / unit) + 1e-9).rounded(.down)))
    return stride(from: first, through: last, by: 1).map { index in
      let value = index * step
      let label = step >= 1000 ? Figures.round(value) : Figures.fixed(value / unit, decimals)
      return ChartTick(value: value, label: label)
    }
  }

  private func logarithmicTicks(about count: Int) -> [ChartTick] {
    let (low, high) = (domain.lowerBound, domain.upperBound)
    let decades = log10(high / low)
    guard decades >= 0.6 else { return linearTicks(about: count) }
    let leads: [Double] = decades > Double(count) / 2 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5]
    let first = Int(log10(low).rounded(.down))
    let last = Int(log10(high).rounded(.up))
    let skip = max(1, Int((decades / Double(max(count, 1))).rounded(.up)))
    var ticks: [ChartTick] = []
    for power in first...max(first, last) where power % skip == 0 {
      for lead in leads {
        let value = lead * pow(10, Double(power))
        guard value >= low * 0.9999, value <= high * 1.0001 else { continue }
        ticks.append(ChartTick(value: value, label: Figures.round(value)))
      }
    }
    return ticks
  }
}

/// Marks of the calendar: years, months, days or hours, whichever fits.
struct CalendarTicks {
  let ticks: [ChartTick]

  init(domain: ClosedRange<Double>, about count: Int) {
    let wanted = (domain.upperBound - domain.lowerBound) / Double(max(count, 1))
    let day = 86_400.0
    guard ChartDate(seconds: domain.lowerBound) != nil,
      ChartDate(seconds: domain.upperBound) != nil
    else {
      ticks = []
      return
    }
    if wanted > 18 * day {
      let months = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000]
      let step = months.first { Double($0) * 30.44 * day >= wanted * 0.7 } ?? 12_000
      ticks = Self.months(in: domain, every: step)
    } else {
      let steps: [Double] = [1, 5, 15, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, day]
      let longer = [2 * day, 7 * day, 14 * day]
      let step = (steps + longer).first { $0 >= wanted * 0.7 } ?? 14 * day
      ticks = Self.regular(in: domain, every: step)
    }
  }

  private static func months(in domain: ClosedRange<Double>, every step: Int) -> [ChartTick] {
    guard let first = ChartDate(seconds: domain.lowerBound) else { return [] }
    var ticks: [ChartTick] = []
    // Counted from January of a round year, so that steps of years fall on round ones.
    let years = max(step / 12, 1)
    let anchor = first.year - (first.year % years + years) % years
    for index in 0..<200 {
      let value = ChartDate.seconds(year: anchor, month: index * step)
      if value > domain.upperBound { break }
      guard value >= domain.lowerBound, let at = ChartDate(seconds: value) else { continue }
      let isYear = at.month == 1 || step >= 12
      let needsYear = ticks.isEmpty && !isYear
      let month = needsYear ? "\(at.monthName) \(at.year)" : at.monthName
      ticks.append(ChartTick(value: value, label: isYear ? "\(at.year)" : month))
    }
    return ticks
  }

  private static func regular(in domain: ClosedRange<Double>, every step: Double) -> [ChartTick] {
    let first = (domain.lowerBound / step).rounded(.up)
    let last = (domain.upperBound / step).rounded(.down)
    guard last >= first, last - first < 100 else { return [] }
    return stride(from: first, through: last, by: 1).compactMap { index in
      guard let at = ChartDate(seconds: index * step) else { return nil }
      let isMidnight = at.second == 0
      let seconds = step < 60 ? ":" + Figures.twoDigits(at.second % 60) : ""
      let label = isMidnight ? "\(at.day) \(at.monthName)" : at.clock + seconds
      return ChartTick(value: index * step, label: label)
    }
  }
}
