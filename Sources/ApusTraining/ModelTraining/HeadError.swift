public import ApusData
import ApusModels
public import ApusTensor
import Foundation

/// A head that does not suit what is forecast.
public enum HeadError: Error, Equatable {
  /// Counts are levels, and something else is forecast.
  case notLevel(measure: Measure)
  /// A value is no count.
  case noCount(series: String, row: Int, value: Double)
}

extension HeadError: ApusError {
  public var exitStatus: ExitStatus {
    switch self {
    case .notLevel: .usage
    case .noCount: .badData
    }
  }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .notLevel(let measure):
      """
      The head counts expects the values as they are, but the measure is \(measure.rawValue). Add --measure level, \
      or choose another head.
      """
    case .noCount(let series, let row, let value):
      """
      Series '\(series)' is \(String(format: "%.12g", value)) in its row \(row + 1), but the head counts expects \
      whole numbers from 0 to 1e9. Choose the head quantiles, student-t or mixture.
      """
    }
  }
}

extension ForecastHead {
  /// How the target is seen; nil as suits the measure.
  var scaleKind: ScaleKind? { isOfCounts ? .count : nil }

  /// Looks whether the head can say what the values of a table are.
  ///
  /// - Parameters:
  ///   - table: The table, as read or measured as a level.
  ///   - measure: What is forecast.
  /// - Throws: ``HeadError``.
  func requireFit(_ table: SeriesTable, measure: Measure) throws(HeadError) {
    guard isOfCounts else { return }
    guard measure == .level else { throw .notLevel(measure: measure) }
    for series in table.series {
      for (row, value) in series.values.enumerated() where value.isFinite {
        guard (0...1e9).contains(value), value == value.rounded() else {
          throw .noCount(series: series.id, row: row, value: value)
        }
      }
    }
  }
}
