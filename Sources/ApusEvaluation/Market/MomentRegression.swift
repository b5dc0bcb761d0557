import ApusModels

/// A regression by least squares whose rows come and go, by their sums of products.
package struct MomentRegression {
  /// Sums of products of `1, x…, y`, the lower triangle.
  private var sums: [[Double]]
  private let inputs: Int
  package private(set) var count = 0

  /// A regression on so many numbers and a constant.
  package init(inputs: Int) {
    self.inputs = inputs
    sums = (0..<inputs + 2).map { [Double](repeating: 0, count: $0 + 1) }
  }

  /// Takes in a row.
  package mutating func add(_ x: [Double], _ y: Double) { update(x, y, sign: 1) }

  /// Takes a row out again.
  package mutating func remove(_ x: [Double], _ y: Double) { update(x, y, sign: -1) }

  private mutating func update(_ x: [Double], _ y: Double, sign: Double) {
    let row = [1] + x + [y]
    for i in row.indices {
      for j in 0...i { sums[i][j] += sign * row[i] * row[j] }
    }
    count += sign > 0 ? 1 : -1
  }

  /// The weights, the constant first, and the unbiased variance of the residuals; nil with no row to spare.
  package func solved() -> (weights: [Double], variance: Double)? {
    guard count > inputs + 2 else { return nil }
    let last = inputs + 1
    let right = (0..<last).map { [sums[last][$0]] }
    let weights = solveSymmetric(Array(sums.prefix(last)), right, ridge: 0).map { $0[0] }
    let explained = zip(weights, right).reduce(0) { $0 + $1.0 * $1.1[0] }
    let squares = max(0, sums[last][last] - explained)
    return (weights, squares / Double(count - inputs - 1))
  }
}
