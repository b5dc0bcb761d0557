#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#endif

/// Facts of the calendar as inputs of a model, known for every past and future stamp.
///
/// Each cycle is a pair `sin 2πp, cos 2πp` of its phase `p`, so that December lies beside January. Which cycles
/// there are depends on the frequency: those longer than a step and no longer than a year.
public struct CalendarFeatures: Codable, Sendable, Equatable {
  /// The cycles, from the shortest; empty where rows have no clock, and for yearly rows.
  public let cycles: [Cycle]

  /// Something that comes round.
  public enum Cycle: String, Codable, Sendable, CaseIterable {
    /// Midnight to midnight.
    case day
    /// Monday to Sunday.
    case week
    /// The first to the last of the month.
    case month
    /// January to December.
    case year
  }

  /// Chooses the cycles for a cadence.
  public init(_ cadence: Cadence) {
    cycles =
      switch cadence.frequency {
      case .nanoseconds: []
      case .seconds: [.day, .week]
      case .days(let days) where days < 7: [.week, .month, .year]
      case .businessDays: [.week, .month, .year]
      case .days: [.year]
      case .months(let months) where months < 12: [.year]
      case .irregular: [.day, .week, .year]
      case .steps, .months: []
      }
  }

  /// Number of features, F: two for each cycle.
  public var count: Int { 2 * cycles.count }

  /// `sin day`, `cos day`, ….
  public var names: [String] { cycles.flatMap { ["sin \($0.rawValue)", "cos \($0.rawValue)"] } }

  /// The features of one stamp, `[F]`.
  public func values(at stamp: Timestamp) -> [Double] {
    var values: [Double] = []
    append(at: stamp, to: &values)
    return values
  }

  /// Appends the features of one stamp to an array.
  package func append(at stamp: Timestamp, to values: inout [Double]) {
    for cycle in cycles {
      let angle = 2 * Double.pi * Self.phase(of: stamp, in: cycle)
      values.append(sin(angle))
      values.append(cos(angle))
    }
  }

  /// How far a cycle has come round, from 0 up to but not including 1.
  static func phase(of stamp: Timestamp, in cycle: Cycle) -> Double {
    let day = Double(stamp.secondOfDay) / 86_400
    switch cycle {
    case .day:
      return day
    case .week:
      return (Double(stamp.weekday) + day) / 7
    case .month:
      let civil = stamp.civil
      let length = CivilTime.daysInMonth(year: civil.year, month: civil.month)
      return (Double(civil.day - 1) + day) / Double(length)
    case .year:
      let civil = stamp.civil
      return (Double(civil.dayOfYear - 1) + day) / (CivilTime.isLeap(year: civil.year) ? 366 : 365)
    }
  }
}
