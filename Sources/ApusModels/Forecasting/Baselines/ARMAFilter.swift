/// The Kalman filter of an autoregression with moving average, exact from the first value on.
///
/// `w_t = Σ φ_k w_{t-k} + ε_t + Σ θ_k ε_{t-k}` in Harvey's form with r = max(p, q + 1) states, which
/// start with their stationary covariance. Once the gain has settled a value costs r operations,
/// before that r². A missing value lets the state go on and the covariance grow.
/// Harvey, 1989, *Forecasting, Structural Time Series Models and the Kalman Filter*, section 3.4.
struct ARMAFilter: Sendable {
  /// φ and 1, θ, both padded to r.
  private let (ar, ma): ([Double], [Double])
  /// What is expected of the state; its first number is what is expected of the next value.
  private(set) var state: [Double]
  /// The covariance of the state in units of the variance of ε, `[r][r]` row by row.
  private var covariance: [Double]
  /// Whether the covariance is that of ε alone.
  private var isSteady: Bool

  /// Creates the filter before its first value.
  ///
  /// - Parameters:
  ///   - ar: φ, of a stationary process.
  ///   - ma: θ.
  ///   - isExact: Whether it starts with the stationary covariance; otherwise as if all before the
  ///     first value had been 0, the conditional sum of squares.
  init(ar: [Double], ma: [Double], isExact: Bool) {
    let r = max(ar.count, ma.count + 1)
    self.ar = ar + [Double](repeating: 0, count: r - ar.count)
    self.ma = [1] + ma + [Double](repeating: 0, count: r - 1 - ma.count)
    state = [Double](repeating: 0, count: r)
    isSteady = !isExact
    covariance = isExact ? stationaryCovariance(ar: self.ar, ma: self.ma, order: ar.count) : []
  }

  /// What is expected of the next value.
  var expected: Double { state[0] }

  /// What is expected of the next `steps` values.
  func ahead(_ steps: Int) -> [Double] {
    var state = state
    let r = state.count
    return (0..<steps).map { _ in
      let first = state[0]
      for i in 0..<r { state[i] = ar[i] * first + (i + 1 < r ? state[i + 1] : 0) }
      return first
    }
  }

  /// Takes the next value in, NaN where it is missing.
  ///
  /// - Returns: The error of what was expected and its variance in units of that of ε.
  mutating func push(_ value: Double) -> (error: Double, variance: Double) {
    let r = state.count
    let error = value - state[0]
    guard error.isFinite else {
      advance(by: 0, gain: ma, first: state[0])
      spread()
      return (.nan, .nan)
    }
    if isSteady {
      advance(by: error, gain: ma, first: value)
      return (error, 1)
    }
    let variance = covariance[0]
    let gain = (0..<r).map { covariance[$0 * r] / variance }
    advance(by: error, gain: gain, first: value)
    // What is known of the value exactly leaves no variance: the first row and column vanish.
    var excess = 0.0
    for i in 0..<r {
      let isLast = i + 1 == r
      for j in i..<r {
        let noise = ma[i] * ma[j]
        var next = noise
        if !isLast, j + 1 < r {
          next += covariance[(i + 1) * r + j + 1] - gain[i + 1] * gain[j + 1] * variance
        }
        covariance[i * r + j] = next
        covariance[j * r + i] = next
        if i == j { excess += abs(next - noise) }
      }
    }
    isSteady = excess < 1e-10
    return (error, variance)
  }

  /// Moves the state one step on.
  private mutating func advance(by error: Double, gain: [Double], first value: Double) {
    let r = state.count
    for i in 0..<r {
      state[i] = ar[i] * value + (i + 1 < r ? state[i + 1] + gain[i + 1] * error : 0)
    }
  }

  /// Moves the covariance one step on without a value.
  private mutating func spread() {
    let r = state.count
    if isSteady { covariance = (0..<(r * r)).map { ma[$0 / r] * ma[$0 % r] } }
    let before = covariance
    func old(_ i: Int, _ j: Int) -> Double { i < r && j < r ? before[i * r + j] : 0 }
    for i in 0..<r {
      for j in 0..<r {
        covariance[i * r + j] =
          ar[i] * ar[j] * old(0, 0) + ar[i] * old(0, j + 1) + ar[j] * old(i + 1, 0)
          + old(i + 1, j + 1) + ma[i] * ma[j]
      }
    }
    isSteady = false
  }
}

/// The covariance of Harvey's state before any value, `[r][r]`, in units of the variance of ε.
///
/// Its first row follows from autocovariances and the weights of past ε, the rest from
/// `P[i][j] = φ_i φ_j P[0][0] + φ_i P[0][j+1] + φ_j P[i+1][0] + P[i+1][j+1] + θ_i θ_j`.
private func stationaryCovariance(ar: [Double], ma: [Double], order p: Int) -> [Double] {
  let r = ar.count
  var weights = ma  // ψ
  for i in 1..<max(1, r) where i < r {
    for k in 0..<min(i, p) { weights[i] += ar[k] * weights[i - 1 - k] }
  }
  let covariances = autocovariances(ar: ar, ma: ma, weights: weights, order: p)  // γ, [r + 1]
  var matrix = [Double](repeating: 0, count: r * r)
  matrix[0] = covariances[0]
  for i in 1..<max(1, r) where i < r {
    var sum = 0.0
    for k in i..<r { sum += ar[k] * covariances[1 + k - i] + ma[k] * weights[k - i] }
    (matrix[i], matrix[i * r]) = (sum, sum)
  }
  func at(_ i: Int, _ j: Int) -> Double { i < r && j < r ? matrix[i * r + j] : 0 }
  for i in stride(from: r - 1, to: 0, by: -1) {
    for j in stride(from: r - 1, through: i, by: -1) {
      let value =
        ar[i] * ar[j] * matrix[0] + ar[i] * at(0, j + 1) + ar[j] * at(i + 1, 0) + at(i + 1, j + 1)
        + ma[i] * ma[j]
      (matrix[i * r + j], matrix[j * r + i]) = (value, value)
    }
  }
  return matrix
}

/// Autocovariances 0...r from the Yule-Walker equations, in units of the variance of ε.
private func autocovariances(ar: [Double], ma: [Double], weights: [Double], order p: Int)
  -> [Double]
{
  let r = ar.count
  func right(_ k: Int) -> Double {
    var sum = 0.0
    for j in k..<max(k, r) { sum += ma[j] * weights[j - k] }
    return sum
  }
  var rows = (0...p).map { k in
    var row = [Double](repeating: 0, count: p + 2)
    row[k] += 1
    for j in 1..<max(1, p + 1) where j <= p { row[abs(k - j)] -= ar[j - 1] }
    row[p + 1] = right(k)
    return row
  }
  eliminate(&rows)
  var result = rows.map { $0[p + 1] }
  for k in (p + 1)..<max(p + 1, r + 1) {
    var sum = right(k)
    for j in 0..<p { sum += ar[j] * result[abs(k - 1 - j)] }
    result.append(sum)
  }
  return result
}

/// Gauss-Jordan elimination with row pivots: leaves the answer in the last column.
private func eliminate(_ rows: inout [[Double]]) {
  let n = rows.count
  for column in 0..<n {
    let pivot = (column..<n).max { abs(rows[$0][column]) < abs(rows[$1][column]) } ?? column
    rows.swapAt(column, pivot)
    let head = rows[column][column]
    guard head != 0 else { continue }
    for i in column...n { rows[column][i] /= head }
    let source = rows[column]
    for other in 0..<n where other != column && rows[other][column] != 0 {
      let factor = rows[other][column]
      for i in column...n { rows[other][i] -= factor * source[i] }
    }
  }
}
