/// Solves `(A + ridge · I) X = B` for a symmetric positive semidefinite A.
///
/// By Cholesky. A column that the others already explain (a constant input, a copy) gets zeros
/// instead of an answer that rounding made up.
///
/// - Parameters:
///   - matrix: A, `[n][n]`; only the lower triangle is read.
///   - right: B, `[n][m]`.
///   - ridge: Added to the diagonal, in units of its mean.
/// - Returns: X, `[n][m]`.
package func solveSymmetric(
  _ matrix: [[Double]], _ right: [[Double]], ridge: Double
) -> [[Double]] {
  let n = matrix.count
  let diagonal = matrix.indices.map { matrix[$0][$0] }
  let addition = ridge * diagonal.reduce(0, +) / Double(max(1, n))
  var factor = PaddedMatrix(rows: n, columns: n)
  for i in 0..<n {
    for j in 0..<i {
      // What is not there yet is 0.
      let sum = matrix[i][j] - factor.dot(i, j, first: j)
      factor[i, j] = factor[j, j] > 0 ? sum / factor[j, j] : 0
    }
    let sum = matrix[i][i] + addition - factor.dot(i, i, first: i)
    factor[i, i] = sum > 1e-11 * (diagonal[i] + addition) ? sum.squareRoot() : 0
  }
  let columns = right.first?.count ?? 0
  var solution = PaddedMatrix(right, columns: columns)
  func divide(_ i: Int) {
    solution.multiply(row: i, by: factor[i, i] > 0 ? 1 / factor[i, i] : 0)
  }
  for i in 0..<n {
    for k in 0..<i where factor[i, k] != 0 { solution.add(-factor[i, k], timesRow: k, to: i) }
    divide(i)
  }
  for i in (0..<n).reversed() {
    for k in (i + 1)..<max(n, i + 1) where factor[k, i] != 0 {
      solution.add(-factor[k, i], timesRow: k, to: i)
    }
    divide(i)
  }
  return (0..<n).map { solution.prefix(columns, ofRow: $0) }
}

/// A regression of one number on a few, by least squares with an intercept.
struct Regression {
  private(set) var intercept = 0.0
  private(set) var slopes: [Double] = []
  /// The variance of the residuals, unbiased.
  private(set) var residualVariance = 0.0

  /// Fits the line through `rows`, inputs beside the number to explain; nil with none to spare.
  init?(_ rows: [(inputs: [Double], output: Double)]) {
    guard let first = rows.first, rows.count > first.inputs.count + 1 else { return nil }
    let (n, count) = (first.inputs.count, Double(rows.count))
    var means = [Double](repeating: 0, count: n + 1)
    for row in rows {
      for i in 0..<n { means[i] += row.inputs[i] / count }
      means[n] += row.output / count
    }
    var products = [[Double]](repeating: [Double](repeating: 0, count: n), count: n)
    var right = [[Double]](repeating: [0], count: n)
    for row in rows {
      for i in 0..<n {
        let centered = row.inputs[i] - means[i]
        for j in 0...i { products[i][j] += centered * (row.inputs[j] - means[j]) }
        right[i][0] += centered * (row.output - means[n])
      }
    }
    slopes = solveSymmetric(products, right, ridge: 0).map { $0[0] }
    intercept = means[n] - zip(slopes, means).reduce(0) { $0 + $1.0 * $1.1 }
    let squares = rows.reduce(0) {
      let error = $1.output - self($1.inputs)
      return $0 + error * error
    }
    residualVariance = squares / (count - Double(n) - 1)
  }

  /// The number expected for `inputs`.
  func callAsFunction(_ inputs: [Double]) -> Double {
    zip(slopes, inputs).reduce(intercept) { $0 + $1.0 * $1.1 }
  }
}
