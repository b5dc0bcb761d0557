/// What each place in the season of a series adds to its level, fitted on training rows and kept.
///
/// The mean deviation from the centered mean over one season (classical decomposition; Hyndman and
/// Athanasopoulos, *Forecasting: Principles and Practice*, 3rd edition, section 3.4), shrunk by the share of
/// its variance that chance explains; where that is half or more, the series has no profile. A forecaster
/// that reads fewer rows than several seasons knows the season by it all the same (Lin et al., 2024,
/// *CycleNet*, arXiv:2409.18479, whose profile is trained).
public struct SeasonalProfile: Codable, Sendable, Equatable {
  /// The profile of one series.
  public struct Series: Codable, Sendable, Equatable {
    /// The name of the series.
    public var id: String
    /// What each place adds, `[m]`; their mean is 0.
    public var offsets: [Double]
  }

  /// The series that have one, in the order of the table.
  public private(set) var series: [Series]
  /// Series that it was fitted on, with a profile or without.
  public private(set) var fitted: Int
  private let cadence: Cadence

  /// Fits the profiles of a table; nil where rows have no season, or no series shows one.
  ///
  /// - Parameters:
  ///   - table: The series, measured.
  ///   - rows: Of each series the rows to fit on.
  public init?(fitting table: SeriesTable, rows: [Range<Int>]) {
    cadence = table.cadence
    guard let length = cadence.seasonPlaces else { return nil }
    fitted = table.series.count
    series = []
    for (one, rows) in zip(table.series, rows) {
      let part = one.slice(rows)
      let places = part.timestamps.map { table.cadence.seasonPlace(of: $0) ?? 0 }
      guard let offsets = Self.offsets(part.values, places: places, length: length) else {
        continue
      }
      series.append(Series(id: one.id, offsets: offsets))
    }
    if series.isEmpty { return nil }
  }

  /// Reads stored profiles; rejects those whose season is not that of the rows.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    cadence = try keys.decode(Cadence.self, forKey: .cadence)
    fitted = try keys.decode(Int.self, forKey: .fitted)
    series = try keys.decode([Series].self, forKey: .series)
    let length = cadence.seasonPlaces
    try keys.require(
      series.allSatisfy { $0.offsets.count == length && $0.offsets.allSatisfy(\.isFinite) },
      .series, "a finite number for each of the \(length ?? 0) places of a season is expected")
  }

  /// The season of a series by its name; where it was fitted on one series alone, of any.
  ///
  /// - Parameter id: The name; nil where it is not known.
  /// - Returns: The season; nil for a series that shows none, and for one that is not known.
  public func season(of id: String?) -> SeriesSeason? {
    let own = series.first { $0.id == id } ?? (fitted == 1 ? series.first : nil)
    return own.map { SeriesSeason(offsets: $0.offsets, cadence: cadence) }
  }

  private static func offsets(_ values: [Double], places: [Int], length: Int) -> [Double]? {
    let means = centeredMeans(values, length: length)
    var (sums, squares) = ([Double](repeating: 0, count: length), 0.0)
    var counts = sums
    for (row, place) in places.enumerated() {
      let deviation = values[row] - means[row]
      guard deviation.isFinite else { continue }
      sums[place] += deviation
      squares += deviation * deviation
      counts[place] += 1
    }
    // A place seen once says as much of chance as of the season.
    guard counts.allSatisfy({ $0 >= 2 }) else { return nil }
    let raw = zip(sums, counts).map { $0 / $1 }
    let center = raw.reduce(0, +) / Double(length)
    let rows = counts.reduce(0, +)
    let within = max(0, squares - zip(raw, counts).reduce(0) { $0 + $1.0 * $1.0 * $1.1 })
    let chance =
      within / max(1, rows - Double(length))
      * counts.reduce(0) { $0 + 1 / $1 / Double(length) }
    let variance = raw.reduce(0) { $0 + ($1 - center) * ($1 - center) } / Double(length)
    guard variance.isFinite, chance < variance / 2 else { return nil }
    let share = 1 - chance / variance
    return raw.map { ($0 - center) * share }
  }

  /// The mean over one season around each row, NaN where the season does not fit in; an even season has
  /// half weights at its ends.
  private static func centeredMeans(_ values: [Double], length: Int) -> [Double] {
    let half = length / 2
    var means = [Double](repeating: .nan, count: values.count)
    guard values.count > 2 * half else { return means }
    for row in half..<values.count - half {
      var (sum, weight) = (0.0, 0.0)
      for other in row - half...row + half where values[other].isFinite {
        let isEnd = length % 2 == 0 && abs(other - row) == half
        sum += values[other] * (isEnd ? 0.5 : 1)
        weight += isEnd ? 0.5 : 1
      }
      // Less than half a season is no mean over it.
      if weight * 2 >= Double(length) { means[row] = sum / weight }
    }
    return means
  }
}

/// The season of one series, by the times of its rows.
public struct SeriesSeason: Sendable, Equatable {
  private let offsets: [Double]
  private let cadence: Cadence

  init(offsets: [Double], cadence: Cadence) { (self.offsets, self.cadence) = (offsets, cadence) }

  /// Where in the season a row lies.
  public func place(of stamp: Timestamp) -> SeasonPlace {
    cadence.seasonPlace(of: stamp).map { SeasonPlace(offsets: offsets, place: $0) } ?? .none
  }
}

/// A place in the season of a series.
public struct SeasonPlace: Sendable, Equatable {
  private let offsets: [Double]
  private let place: Int

  /// The place where there is no season.
  public static let none = SeasonPlace(offsets: [], place: 0)

  init(offsets: [Double], place: Int) { (self.offsets, self.place) = (offsets, place) }

  /// What the season adds so many rows ahead of the place, 0 for the place itself.
  public func offset(ahead: Int = 0) -> Double {
    offsets.isEmpty ? 0 : offsets[(place + ahead) % offsets.count]
  }
}

extension Cadence {
  /// How many places a season has, m: those that a person said, or steps of a day of intraday rows, days of
  /// a week, weeks, months or quarters of a year; nil where there is no season, or times do not tell the
  /// place.
  public var seasonPlaces: Int? {
    if let season {
      return season > 1 && ordinal(of: Timestamp(secondsSinceEpoch: 0)) != nil ? season : nil
    }
    switch frequency {
    case .seconds(let step):
      // Of a market that closes the week is the season, where it has few enough slots to be learned.
      guard openSlots.isEmpty else {
        return (2...Self.mostOpenSlots).contains(openSlotsOfWeek) ? openSlotsOfWeek : nil
      }
      // Of seconds no series has days enough.
      guard 86_400 % step == 0, (2...1440).contains(86_400 / step) else { return nil }
      return 86_400 / step
    case .days(1): return 7
    case .businessDays:
      let open = openWeekdays.count { $0 }
      return open > 1 ? open : nil
    case .days(7): return 52
    case .months(let months): return months < 12 && 12 % months == 0 ? 12 / months : nil
    case .steps, .nanoseconds, .days, .irregular: return nil
    }
  }

  /// Where in the season a time lies, in `0..<seasonPlaces`; nil where there is none.
  public func seasonPlace(of stamp: Timestamp) -> Int? {
    guard let places = seasonPlaces else { return nil }
    if season != nil {
      return ordinal(of: stamp).map { ($0 % places + places) % places }
    }
    switch frequency {
    case .seconds(let step):
      return openRank(of: stamp).map { $0 % places } ?? stamp.secondOfDay / step
    case .businessDays: return openWeekdays[..<stamp.weekday].count { $0 } % places
    case .days(7): return min((stamp.civil.dayOfYear - 1) / 7, 51)
    case .months(let months): return (stamp.civil.month - 1) / months
    case .days: return stamp.weekday
    case .steps, .nanoseconds, .irregular: return nil
    }
  }

  /// Slots of a week beyond which a market's season is not fitted: half hours around the clock.
  private static let mostOpenSlots = 336

  /// The number of a row on an axis of which closed slots and weekdays are no part; nil where there is no
  /// such axis. A holiday leaves a hole in it and shifts nothing.
  package func ordinal(of stamp: Timestamp) -> Int? {
    switch frequency {
    case .steps: Int(stamp.secondsSinceEpoch)
    case .seconds(let step):
      openRank(of: stamp).map { week(of: stamp) * openSlotsOfWeek + $0 }
        ?? Int(stamp.secondsSinceEpoch.flooredQuotient(Int64(step)))
    case .days(let days): stamp.dayNumber.flooredQuotient(days)
    case .businessDays:
      week(of: stamp) * openWeekdays.count { $0 } + openWeekdays[..<stamp.weekday].count { $0 }
    case .months(let months): stamp.monthNumber.flooredQuotient(months)
    case .nanoseconds, .irregular: nil
    }
  }
}
