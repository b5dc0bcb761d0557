/// Standardizes columns with the mean and the population standard deviation of the training rows.
public struct StandardScaler: Codable, Sendable, Equatable {
  /// Mean of each column over its training values; 0 where it has none.
  public let means: [Double]
  /// Standard deviation of each column; 1 where it is constant or empty, so that it scales to 0.
  public let deviations: [Double]

  /// Reads a stored scaler; rejects one that has not a mean and a positive deviation of each
  /// column.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    means = try keys.decode([Double].self, forKey: .means)
    deviations = try keys.decode([Double].self, forKey: .deviations)
    try keys.require(means.allSatisfy(\.isFinite), .means, "finite numbers are expected")
    try keys.require(
      deviations.count == means.count && deviations.allSatisfy { $0 > 0 && $0.isFinite },
      .deviations, "a positive number for each of the \(means.count) means is expected")
  }

  /// Fits on training values.
  ///
  /// - Parameter columns: For each column its training values, of any number; values that are not finite
  ///   do not count.
  public init(fitting columns: [[Double]]) {
    var (means, deviations) = ([Double](), [Double]())
    for column in columns {
      let present = column.filter(\.isFinite)
      let count = Double(max(1, present.count))
      // Dividing first keeps sums of huge values finite.
      let mean = present.reduce(0) { $0 + $1 / count }
      let variance = present.reduce(0) { $0 + ($1 - mean) * (($1 - mean) / count) }
      means.append(mean)
      let deviation = variance.squareRoot()
      // Rounding makes the deviation of a constant column tiny and not zero.
      deviations.append(
        deviation.isFinite && deviation > abs(mean) * 1e-12 ? deviation : 1)
    }
    self.means = means
    self.deviations = deviations
  }

  /// A value of column `column` in standard units; 0, the mean, where it is missing.
  public func scaled(_ value: Double, column: Int) -> Double {
    value.isFinite ? (value - means[column]) / deviations[column] : 0
  }
}
