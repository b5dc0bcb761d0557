import Foundation

/// Arithmetic of the audit.
package enum AuditStatistics {
  package static func mean(_ values: some Collection<Double>) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }

  /// The population variance.
  package static func variance(_ values: some Collection<Double>) -> Double {
    let mean = mean(values)
    return values.isEmpty
      ? 0 : values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
  }

  package static func autocorrelation(_ values: [Double], lag: Int) -> Double {
    guard lag > 0, lag < values.count else { return 0 }
    let mean = mean(values)
    var (products, squares) = (0.0, 0.0)
    for index in values.indices {
      squares += (values[index] - mean) * (values[index] - mean)
      if index >= lag { products += (values[index] - mean) * (values[index - lag] - mean) }
    }
    return squares > 0 ? products / squares : 0
  }

  /// The correlation of two stretches of equal length; 0 where one is constant.
  package static func correlation(_ one: ArraySlice<Double>, _ other: ArraySlice<Double>) -> Double
  {
    let (a, b) = (mean(one), mean(other))
    var (products, left, right) = (0.0, 0.0, 0.0)
    for (x, y) in zip(one, other) {
      products += (x - a) * (y - b)
      left += (x - a) * (x - a)
      right += (y - b) * (y - b)
    }
    return left > 0 && right > 0 ? products / (left * right).squareRoot() : 0
  }

  /// How many decimals numbers are written with, 0 to 9.
  package static func decimals(_ values: [Double]) -> Int {
    let sample = values.filter(\.isFinite).prefix(200)
    var power = 1.0
    for places in 0..<9 {
      let isWhole = sample.allSatisfy { value in
        let scaled = value * power
        return abs(scaled - scaled.rounded()) <= 1e-9 * max(1, abs(scaled))
      }
      if isWhole { return places }
      power *= 10
    }
    return 9
  }
}

/// Directions of regressors, made orthogonal one after the other, and what they leave of a series.
///
/// Modified Gram-Schmidt, twice: the residual is as exact as that of a QR factorization, so that a column
/// made of others leaves rounding alone. Björck, 1967, *Solving linear least squares problems by
/// Gram-Schmidt orthogonalization*.
struct Residuals {
  private var directions: [[Double]] = []

  /// Adds a regressor; one that the others explain adds nothing.
  mutating func add(_ values: [Double]) {
    var column = Self.centered(values)
    let size = Self.norm(column)
    guard size > 0 else { return }
    for _ in 0..<2 { Self.subtract(directions, from: &column) }
    let rest = Self.norm(column)
    guard rest > 1e-9 * size else { return }
    for index in column.indices { column[index] /= rest }
    directions.append(column)
  }

  /// What the regressors and a constant leave of a series.
  func of(_ values: [Double]) -> [Double] {
    var rest = Self.centered(values)
    for _ in 0..<2 { Self.subtract(directions, from: &rest) }
    return rest
  }

  /// The number of directions.
  var count: Int { directions.count }

  private static func centered(_ values: [Double]) -> [Double] {
    let mean = AuditStatistics.mean(values)
    return values.map { $0 - mean }
  }

  private static func norm(_ values: [Double]) -> Double {
    var sum = 0.0
    for value in values { sum += value * value }
    return sum.squareRoot()
  }

  private static func subtract(_ directions: [[Double]], from column: inout [Double]) {
    for direction in directions {
      var product = 0.0
      for index in column.indices { product += direction[index] * column[index] }
      for index in column.indices { column[index] -= product * direction[index] }
    }
  }
}

extension AuditStatistics {
  /// The natural logarithm; NaN of what has none.
  package static func logarithm(_ value: Double) -> Double { value > 0 ? log(value) : .nan }
}
