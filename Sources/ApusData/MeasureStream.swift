#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#endif

/// A measure at work row by row: ``Measure/apply(to:)`` is this, run over a whole series, so that a live
/// stream and a file give the same bits.
public struct MeasureStream: Sendable {
  /// One row of the measure.
  public struct Row: Sendable, Equatable {
    /// The target, measured; NaN where missing.
    public var value: Double
    /// The covariates in the order of ``MeasureStream/covariateNames``; NaN where missing.
    public var covariates: [Double]
  }

  /// The measure.
  public let measure: Measure
  /// The covariates that come out, by name.
  public let covariateNames: [String]
  private let roles: [PriceColumn?]
  private var rows = 0
  private var last: Double?

  /// Starts before the first row.
  ///
  /// - Parameters:
  ///   - measure: What the series is turned into.
  ///   - covariates: The columns beside the target, by the names of the file.
  public init(_ measure: Measure, covariates: [String]) {
    self.measure = measure
    covariateNames = covariates.compactMap(measure.covariateName)
    roles = covariates.map { PriceColumn(columnName: $0) }
  }

  /// What a measure remembers between rows.
  package struct Memory: Codable, Sendable, Equatable {
    var rows: Int
    var last: Double?
  }

  /// What is remembered.
  package var memory: Memory {
    get { Memory(rows: rows, last: last) }
    set { (rows, last) = (max(0, newValue.rows), newValue.last.flatMap { $0 > 0 ? $0 : nil }) }
  }

  /// Appends a row.
  ///
  /// - Parameters:
  ///   - value: The target as the file has it; NaN where missing.
  ///   - covariates: One number for each column, in the order of the initializer.
  /// - Returns: The measure of the row; nil for the first row of returns and volatility, which has no row
  ///   before it.
  public mutating func push(_ value: Double, covariates: [Double]) -> Row? {
    guard measure != .level else { return Row(value: value, covariates: covariates) }
    let before = last
    let isFirst = rows == 0
    rows += 1
    if value > 0 { last = value }
    guard !isFirst else { return nil }
    var measured = value > 0 ? before.map { log(value / $0) } ?? .nan : .nan
    if measure == .volatility {
      measured =
        Self.parkinson(high: cell(.high, covariates), low: cell(.low, covariates))
        ?? measured * measured
    }
    return Row(value: measured, covariates: stationary(value, covariates))
  }

  private func cell(_ role: PriceColumn, _ covariates: [Double]) -> Double? {
    roles.firstIndex(of: role).map { covariates[$0] }
  }

  /// Nil where there is no range: a bar without high or low, or of one price.
  private static func parkinson(high: Double?, low: Double?) -> Double? {
    guard let high, let low, low > 0, high > low else { return nil }
    let range = log(high / low)
    return range * range / (4 * 0.693_147_180_559_945_3)
  }

  private func stationary(_ value: Double, _ covariates: [Double]) -> [Double] {
    let close = cell(.close, covariates) ?? value
    return zip(roles, covariates).compactMap { role, number in
      switch role {
      case .open?, .high?, .low?: number > 0 && close > 0 ? log(number / close) : .nan
      case .close?: nil  // the target already says it
      case .volume?: number >= 0 ? log(1 + number) : .nan
      case nil: number
      }
    }
  }
}

extension Measure {
  /// The name of a column after ``apply(to:)``; nil for a column that is dropped.
  public func covariateName(_ column: String) -> String? {
    guard self != .level else { return column }
    return switch PriceColumn(columnName: column) {
    case .open?, .high?, .low?: "ln(\(column)/close)"
    case .close?: nil
    case .volume?: "ln(1+\(column))"
    case nil: column
    }
  }

  /// Whether the measure reads a column beside the target, whatever a model reads.
  public func needs(column: String) -> Bool {
    guard self != .level, let role = PriceColumn(columnName: column) else { return false }
    return role == .close || (self == .volatility && (role == .high || role == .low))
  }
}
