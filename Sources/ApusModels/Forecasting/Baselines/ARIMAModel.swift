import Foundation

/// The order of a seasonal ARIMA model, (p,d,q)(P,D,Q) with season m, and whether it has a constant.
package struct ARIMAOrder: Sendable, Hashable, CustomStringConvertible {
  /// Lags of the autoregression, p, and of that by seasons, P.
  package var (p, seasonalP) = (0, 0)
  /// Differences, d, and those by seasons, D.
  package var (d, seasonalD) = (0, 0)
  /// Lags of the moving average, q, and of that by seasons, Q.
  package var (q, seasonalQ) = (0, 0)
  /// m.
  package var season = 1
  /// Whether the differenced series has a mean.
  package var hasConstant = false

  /// White noise around 0.
  package init() {}

  package var description: String {
    "ARIMA(\(p),\(d),\(q))"
      + (season > 1 ? "(\(seasonalP),\(seasonalD),\(seasonalQ))[\(season)]" : "")
      + (hasConstant ? " with constant" : "")
  }

  /// Numbers that are estimated, but for the variance.
  var coefficients: Int { p + q + seasonalP + seasonalQ + (hasConstant ? 1 : 0) }
  /// Values that differencing takes.
  package var differenced: Int { d + seasonalD * season }

  /// What (1 - B)^d (1 - B^m)^D takes off a value: `w_t = y_t - Σ c y_{t - lag}`.
  var differences: [(lag: Int, weight: Double)] {
    var polynomial = [1.0]
    func multiply(lag: Int) {
      let before = polynomial
      polynomial += [Double](repeating: 0, count: lag)
      for (index, value) in before.enumerated() { polynomial[index + lag] -= value }
    }
    for _ in 0..<d { multiply(lag: 1) }
    for _ in 0..<seasonalD { multiply(lag: season) }
    return polynomial.enumerated().dropFirst().filter { $0.element != 0 }
      .map { ($0.offset, -$0.element) }
  }
}

/// A seasonal ARIMA model with numbers: what the differenced series follows.
package struct ARIMAModel: Sendable {
  package var order: ARIMAOrder
  /// φ and Φ multiplied out, `[p + m P]`.
  package var ar: [Double] = []
  /// θ and Θ multiplied out, `[q + m Q]`.
  package var ma: [Double] = []
  /// The mean of the differenced series.
  package var mean = 0.0
  /// The variance of ε.
  package var variance = 0.0
  package var logLikelihood = -Double.infinity
  package var aicc = Double.infinity
  /// The free numbers behind ``ar``, ``ma`` and ``mean``.
  fileprivate(set) var point: [Double] = []

  package init(_ order: ARIMAOrder) { self.order = order }

  /// Fits the model to a differenced series.
  ///
  /// First by the conditional sum of squares, then, unless `isQuick`, by exact maximum likelihood, the
  /// variance being concentrated out in both. Polynomials stay stationary and invertible through
  /// their partial autocorrelations.
  ///
  /// - Parameters:
  ///   - order: p, q, P, Q, m and the constant.
  ///   - values: The differenced series, in a unit in which it is about 1.
  ///   - start: A fitted neighbor, whose numbers are a good start.
  ///   - isQuick: Whether the conditional sum is enough, as for a search through long series.
  package init(
    _ order: ARIMAOrder, fitting values: [Double], start: ARIMAModel? = nil, isQuick: Bool = false
  ) {
    self.order = order
    let count = Double(values.count(where: \.isFinite))
    let k = Double(order.coefficients + 1)
    guard count > k + 2 else { return }
    let usual = order.start(mean: values.reduce(0) { $1.isFinite ? $0 + $1 / count : $0 })
    var first = usual
    if let start { first = start.point(for: order) ?? usual }
    let skipped = min(order.p + order.season * order.seasonalP, values.count / 3)
    guard
      var best = minimizeSquares(
        from: first, { Self.errors(order, $0, values, skipping: skipped) })
    else { return }
    // The errors that count stand for those that do not.
    var squares = best.sum / max(1, count - Double(skipped)) * count
    if !isQuick {
      // What long seasons make dear gets fewer steps; the conditional sum is near already.
      let states = max(
        order.p + order.season * order.seasonalP, order.q + order.season * order.seasonalQ + 1)
      let limit = min(25, max(3, 2_000_000 / (values.count * states * states)))
      guard
        let exact = minimizeSquares(
          from: best.point, tolerance: 1e-9, limit: limit,
          { Self.errors(order, $0, values, skipping: nil) })
      else { return }
      best = exact
      squares = best.sum
    }
    // An exact fit is as good as rounding lets us see.
    squares = max(squares, count * 1e-20)
    let likelihood = -0.5 * count * (log(2 * .pi * squares / count) + 1)
    point = best.point
    (ar, ma, mean) = order.polynomials(at: point)
    variance = squares / count
    logLikelihood = likelihood
    aicc = -2 * likelihood + 2 * k + 2 * k * (k + 1) / (count - k - 1)
    if isNearUnitCircle(ar) || isNearUnitCircle(ma.map { -$0 }) { aicc = .infinity }
  }

  /// Standardized errors, whose squares are to be least. For the conditional sum the first `skipping`
  /// errors do not count; nil asks for the exact likelihood, whose determinant is multiplied in.
  private static func errors(
    _ order: ARIMAOrder, _ point: [Double], _ values: [Double], skipping: Int?
  ) -> [Double]? {
    let (ar, ma, mean) = order.polynomials(at: point)
    if let skipping {
      return conditionalErrors(values, ar: ar, ma: ma, mean: mean, skipping: skipping)
    }
    var filter = ARMAFilter(ar: ar, ma: ma, isExact: true)
    var logs = 0.0
    var errors: [Double] = []
    errors.reserveCapacity(values.count)
    for value in values {
      let (error, variance) = filter.push(value - mean)
      guard error.isFinite else { continue }
      guard variance > 0 else { return nil }
      if variance != 1 { logs += log(variance) }
      errors.append(variance == 1 ? error : error / variance.squareRoot())
    }
    let factor = exp(logs / (2 * Double(max(1, errors.count))))
    guard factor.isFinite else { return nil }
    return errors.map { $0 * factor }
  }

  /// The exact log-likelihood of a differenced series at the given polynomials, the variance being
  /// concentrated out.
  package static func logLikelihood(_ values: [Double], ar: [Double], ma: [Double], mean: Double)
    -> Double
  {
    var filter = ARMAFilter(ar: ar, ma: ma, isExact: true)
    var (squares, logs, count) = (0.0, 0.0, 0.0)
    for value in values {
      let (error, variance) = filter.push(value - mean)
      guard error.isFinite else { continue }
      squares += error * error / variance
      logs += log(variance)
      count += 1
    }
    return -0.5 * (count * (log(2 * .pi * squares / count) + 1) + logs)
  }

  /// The free numbers of this model in another order; nil where their seasons differ.
  private func point(for other: ARIMAOrder) -> [Double]? {
    guard !point.isEmpty || order.coefficients == 0 else { return nil }
    var rest = point[...]
    var result: [Double] = []
    for (index, (here, there)) in zip(order.parts, other.parts).enumerated() {
      let part = Array(rest.prefix(here))
      rest = rest.dropFirst(here)
      result += part.prefix(there)
      let fresh = index < 2 ? 0.05 : -0.05
      if there > here { result += [Double](repeating: fresh, count: there - here) }
    }
    if other.hasConstant { result.append(order.hasConstant ? rest.first ?? 0 : 0) }
    return result
  }
}

/// Errors of the recursion that takes all before the first value as expected; missing values err by 0.
private func conditionalErrors(
  _ values: [Double], ar: [Double], ma: [Double], mean: Double, skipping: Int
) -> [Double] {
  func sparse(_ weights: [Double]) -> [(lag: Int, weight: Double)] {
    weights.enumerated().filter { $0.element != 0 }.map { ($0.offset + 1, $0.element) }
  }
  let (past, shocks) = (sparse(ar), sparse(ma))
  var centered = values
  var errors = [Double](repeating: 0, count: values.count)
  for index in values.indices {
    var expected = 0.0
    for (lag, weight) in past where lag <= index { expected += weight * centered[index - lag] }
    for (lag, weight) in shocks where lag <= index { expected += weight * errors[index - lag] }
    let value = values[index] - mean
    centered[index] = value.isFinite ? value : expected
    errors[index] = centered[index] - expected
  }
  for index in 0..<skipping { errors[index] = 0 }
  return errors
}

extension ARIMAOrder {
  /// How the free numbers are divided: φ, Φ, θ, Θ; the constant follows.
  fileprivate var parts: [Int] { [p, seasonalP, q, seasonalQ] }

  fileprivate func start(mean: Double) -> [Double] {
    // Opposite signs, since equal polynomials would cancel.
    [Double](repeating: 0.1, count: p + seasonalP)
      + [Double](repeating: -0.1, count: q + seasonalQ) + (hasConstant ? [mean] : [])
  }

  /// Free numbers into polynomials that are multiplied out, and the mean.
  fileprivate func polynomials(at point: [Double]) -> (ar: [Double], ma: [Double], mean: Double) {
    var rest = point[...]
    let factors = parts.map { count in
      let part = autoregression(ofPartials: rest.prefix(count).map { 0.9999 * tanh($0) })
      rest = rest.dropFirst(count)
      return part
    }
    return (
      expanded(factors[0], factors[1]),
      expanded(factors[2], factors[3]).map { -$0 }, rest.first ?? 0
    )
  }

  /// `(1 - Σ a B^i)(1 - Σ b B^{m j})` as the weights taken off.
  private func expanded(_ plain: [Double], _ seasonal: [Double]) -> [Double] {
    guard !seasonal.isEmpty else { return plain }
    var result = [Double](repeating: 0, count: plain.count + season * seasonal.count)
    for (i, a) in plain.enumerated() { result[i] += a }
    for (j, b) in seasonal.enumerated() {
      result[season * (j + 1) - 1] += b
      for (i, a) in plain.enumerated() { result[season * (j + 1) + i] -= a * b }
    }
    return result
  }
}

/// Partial autocorrelations inside (-1, 1) into the weights of a stationary autoregression.
///
/// Durbin and Levinson's recursion; Monahan, 1984.
private func autoregression(ofPartials partials: [Double]) -> [Double] {
  var weights: [Double] = []
  for partial in partials {
    let before = weights
    for (index, value) in before.reversed().enumerated() { weights[index] -= partial * value }
    weights.append(partial)
  }
  return weights
}

/// Whether `1 - Σ a_k z^k` has a root nearer than 1.01 to the origin.
///
/// The recursion of Durbin and Levinson run backwards on `a_k 1.01^k`: one partial autocorrelation of
/// size 1 or more is enough. Models so close to the edge forecast badly (Hyndman and Khandakar, 2008);
/// but one lag alone may be there, as it is when differencing was more than needed: a moving average
/// near -1 then is slow exponential smoothing.
private func isNearUnitCircle(_ weights: [Double]) -> Bool {
  guard let last = weights.lastIndex(where: { abs($0) > 1e-8 }), last > 0 else { return false }
  var scaled = weights.enumerated().map { $0.element * pow(1.01, Double($0.offset + 1)) }
  while let last = scaled.popLast() {
    if abs(last) >= 1 { return true }
    let before = scaled
    for index in before.indices {
      scaled[index] = (before[index] + last * before[before.count - 1 - index]) / (1 - last * last)
    }
  }
  return false
}
