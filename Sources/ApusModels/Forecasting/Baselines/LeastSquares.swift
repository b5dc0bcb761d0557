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
  var factor = [[Double]](repeating: [], count: n)
  for i in 0..<n {
    var row = [Double](repeating: 0, count: i + 1)
    for j in 0...i {
      var sum = matrix[i][j] + (i == j ? addition : 0)
      let other = j == i ? row : factor[j]
      for k in 0..<j { sum -= row[k] * other[k] }
      if j < i {
        row[j] = factor[j][j] > 0 ? sum / factor[j][j] : 0
      } else {
        row[i] = sum > 1e-11 * (diagonal[i] + addition) ? sum.squareRoot() : 0
      }
    }
    factor[i] = row
  }
  var solution = right
  for i in 0..<n {
    for k in 0..<i where factor[i][k] != 0 { subtract(factor[i][k], k, from: i, in: &solution) }
    divide(i, by: factor[i][i], in: &solution)
  }
  for i in (0..<n).reversed() {
    for k in (i + 1)..<max(n, i + 1) where factor[k][i] != 0 {
      subtract(factor[k][i], k, from: i, in: &solution)
    }
    divide(i, by: factor[i][i], in: &solution)
  }
  return solution
}

private func subtract(_ scale: Double, _ k: Int, from i: Int, in rows: inout [[Double]]) {
  let source = rows[k]
  for column in source.indices { rows[i][column] -= scale * source[column] }
}

private func divide(_ i: Int, by pivot: Double, in rows: inout [[Double]]) {
  for column in rows[i].indices { rows[i][column] = pivot > 0 ? rows[i][column] / pivot : 0 }
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
