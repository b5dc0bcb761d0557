import Foundation

/// A form of exponential smoothing with what was estimated for it.
package struct SmoothingFit: Sendable, Hashable {
  package var form: SmoothingForm
  package var parameters: SmoothingParameters
  /// Where smoothing starts, before the first value.
  package var start: SmoothingState
  /// `n ln Σ e² + 2 Σ ln |ŷ|`, the sum over relative errors only: minus twice the log-likelihood up
  /// to a constant that all forms share.
  package var criterion = Double.infinity
  /// The criterion corrected for the number of parameters; infinite with too few values.
  package var aicc = Double.infinity

  package init(form: SmoothingForm, parameters: SmoothingParameters, start: SmoothingState) {
    (self.form, self.parameters, self.start) = (form, parameters, start)
  }
}

extension SmoothingFit {
  /// The form with the least AICc, and its parameters.
  ///
  /// For each form the free parameters are searched from start values of classical decomposition;
  /// then start values and parameters are improved in turn. Forms far behind the best after the
  /// first search are left there. AICc sees one step ahead only: a form whose forecasts of the whole
  /// horizon err by a tenth more than those of another form is not chosen, or factors that chase the
  /// smallest values of a season would win there and be lost a day later.
  ///
  /// - Parameters:
  ///   - values: At least one of them present, in a unit in which they are about 1.
  ///   - m: Values in a season; 1 for no season.
  ///   - horizon: P.
  /// - Returns: nil when there are too few values for even the simplest form.
  package static func best(of values: [Double], seasonLength m: Int, horizon: Int) -> SmoothingFit?
  {
    let present = values.filter(\.isFinite)
    let hasSeason = m > 1 && values.count >= 2 * m + 1 && present.count > m + 5
    let forms = SmoothingForm.candidates(
      isPositive: present.allSatisfy { $0 > 0 }, hasSeason: hasSeason)
    var fits = forms.map { SmoothingFit($0, values, seasonLength: hasSeason ? m : 1) }
    let bar = fits.map(\.aicc).min() ?? .infinity
    guard bar < .infinity else { return nil }
    // What better start values can gain grows with their number.
    let reach = 10 + 4 * Double(hasSeason ? m : 1)
    for index in fits.indices where fits[index].aicc < bar + reach {
      for _ in 0..<3 {
        let before = fits[index].criterion
        fits[index].improveStart(values)
        fits[index].improveParameters(values, step: 0.3, limit: 120)
        if before - fits[index].criterion < 0.01 { break }
      }
    }
    fits = fits.filter { $0.aicc < bar + reach }
    let paths = fits.map { $0.pathError(values, horizon: horizon) }
    let limit = 1.1 * (paths.min() ?? 0)
    return zip(fits, paths).filter { $0.1 <= limit }.min { $0.0.aicc < $1.0.aicc }?.0
  }

  /// The root mean squared error of whole forecasts from up to 64 origins in the last half.
  private func pathError(_ values: [Double], horizon: Int) -> Double {
    var state = start
    var damping: [Double] = []
    var power = 1.0
    for _ in 0..<horizon {
      power *= parameters.phi
      damping.append((damping.last ?? 0) + power)
    }
    let first = values.count / 2
    let stride = max(1, (values.count - first) / 64)
    var (sum, count) = (0.0, 0.0)
    for (origin, value) in values.enumerated() {
      if origin >= first, (origin - first) % stride == 0 {
        for step in 1...min(horizon, values.count - origin) {
          let error =
            values[origin + step - 1]
            - form.expected(state, step: step, damping: damping[step - 1])
          if error.isFinite {
            sum += error * error
            count += 1
          }
        }
      }
      form.advance(&state, by: value, parameters)
    }
    return (sum / max(1, count)).squareRoot()
  }

  /// A form with start values of classical decomposition and parameters that suit them.
  private init(_ form: SmoothingForm, _ values: [Double], seasonLength m: Int) {
    let start = SmoothingState(values, form: form, seasonLength: m)
    let tries: [Double] = [0.05, 0.3, 0.8]
    let candidates = tries.map { alpha in
      SmoothingFit(
        form: form,
        parameters: SmoothingParameters(
          alpha: alpha, beta: form.trend == .none ? 0 : 0.1 * alpha,
          gamma: form.season == .none ? 0 : 0.1 * (1 - alpha),
          phi: form.trend == .damped ? 0.95 : 1), start: start)
    }
    let criteria = candidates.map { $0.criterion(of: values) }
    let best = criteria.indices.min { criteria[$0] < criteria[$1] } ?? 0
    self = candidates[best]
    improveParameters(values, step: 0.8, limit: 200)
  }

  /// Searches the free parameters around the present ones.
  private mutating func improveParameters(_ values: [Double], step: Double, limit: Int) {
    let count = Double(values.count(where: \.isFinite))
    var trial = self
    let best = minimize(
      from: parameters.point(form), step: step, tolerance: 1e-7, limit: limit
    ) { point in
      trial.parameters = SmoothingParameters(point, form: form)
      return trial.criterion(of: values) / count
    }
    trial.parameters = SmoothingParameters(best.point, form: form)
    let found = trial.criterion(of: values)
    if found < criterion || criterion == .infinity { (self, criterion) = (trial, found) }
    weigh(count)
  }

  private mutating func weigh(_ count: Double) {
    let k = Double(form.parameterCount(seasonLength: start.season.count))
    aicc = count > k + 1 ? criterion + 2 * k + 2 * k * (k + 1) / (count - k - 1) : .infinity
  }

  /// Moves the start values by one Gauss-Newton step, as far as it helps.
  ///
  /// With additive errors, trend and season the errors are linear in them, so that the step is exact.
  private mutating func improveStart(_ values: [Double]) {
    let origin = start.free(form)
    // Beyond this size the step costs more than start values are worth.
    guard origin.count <= 60 else { return }
    let base = errors(of: values)
    let size = max(abs(start.level), 1e-3)
    var trial = self
    let slopes: [[Double]] = origin.indices.map { index in
      var point = origin
      point[index] += 1e-4 * size
      trial.start.setFree(point, form)
      return zip(trial.errors(of: values), base).map { ($0 - $1) / (1e-4 * size) }
    }
    let products = slopes.indices.map { i in
      (0...i).map { j in zip(slopes[i], slopes[j]).reduce(0) { $0 + $1.0 * $1.1 } }
    }
    let right = slopes.map { slope in [zip(slope, base).reduce(0) { $0 - $1.0 * $1.1 }] }
    let step = solveSymmetric(products, right, ridge: 1e-12).map { $0[0] }
    for share in [1, 0.5, 0.2] {
      trial.start.setFree(zip(origin, step).map { $0 + share * $1 }, form)
      let found = trial.criterion(of: values)
      guard found < criterion else { continue }
      (start, criterion) = (trial.start, found)
      return
    }
  }

  /// The errors of all values, 0 for missing ones; relative ones where the form has such.
  private func errors(of values: [Double]) -> [Double] {
    var state = start
    return values.map { value in
      let expected = form.advance(&state, by: value, parameters)
      guard value.isFinite else { return 0 }
      return form.hasRelativeError ? (value - expected) / expected : value - expected
    }
  }

  /// ``criterion`` at the present parameters; infinite where a relative error has no meaning.
  package func criterion(of values: [Double]) -> Double {
    var state = start
    var (squares, logs, count) = (0.0, 0.0, 0.0)
    // The logarithm of a product is the sum of logarithms, and far cheaper.
    var product = 1.0
    let isRelative = form.hasRelativeError
    for value in values {
      let expected = form.advance(&state, by: value, parameters)
      guard value.isFinite else { continue }
      var error = value - expected
      if isRelative {
        guard expected > 1e-8 else { return .infinity }
        error /= expected
        product *= expected
        if !(1e-100...1e100 ~= product) {
          logs += log(product)
          product = 1
        }
      }
      squares += error * error
      count += 1
    }
    logs += log(product)
    // An exact fit is as good as rounding lets us see.
    return count * log(max(squares, count * 1e-20)) + 2 * logs
  }
}

extension SmoothingParameters {
  /// The free numbers that give these parameters.
  fileprivate func point(_ form: SmoothingForm) -> [Double] {
    func free(_ share: Double) -> Double {
      let inside = min(max(share, 1e-4), 1 - 1e-4)
      return log(inside / (1 - inside))
    }
    var point = [free(alpha)]
    if form.trend != .none { point.append(free(beta / alpha)) }
    if form.season != .none { point.append(free(gamma / (1 - alpha))) }
    if form.trend == .damped { point.append(free((phi - 0.8) / 0.18)) }
    return point
  }
}

extension SmoothingState {
  /// The season of classical decomposition, and the line through the first values without it.
  init(_ values: [Double], form: SmoothingForm, seasonLength m: Int) {
    let isFactor = form.season == .multiplicative
    let first = Array(values.prefix(max(8 * m, 3 * m + 1)))
    let figure =
      form.season == .none ? [0] : seasonalFigure(of: first, length: m, isRatio: isFactor)
    let span = min(values.count, max(10, 2 * m))
    let rows = values.prefix(span).enumerated().filter { $0.element.isFinite }.map { row in
      let season = figure[row.offset % figure.count]
      return (
        inputs: [Double(row.offset + 1)],
        output: isFactor ? row.element / max(season, 1e-3) : row.element - season
      )
    }
    let mean = rows.reduce(0) { $0 + $1.output } / Double(max(1, rows.count))
    let present = values.first(where: \.isFinite) ?? 0
    let line = form.trend == .none ? nil : Regression(rows)
    let level = line?.intercept ?? (rows.isEmpty ? present : mean)
    self.init(level: level, trend: line?.slopes[0] ?? 0, season: figure)
  }

  /// Level, trend and all places of the season but the last, as far as the form has them.
  fileprivate func free(_ form: SmoothingForm) -> [Double] {
    [level] + (form.trend == .none ? [] : [trend])
      + (form.season == .none ? [] : Array(season.dropLast()))
  }

  /// The other way; the last place follows from the sum of the season.
  fileprivate mutating func setFree(_ point: [Double], _ form: SmoothingForm) {
    var rest = point[...]
    level = rest.removeFirst()
    if form.trend != .none { trend = rest.removeFirst() }
    guard form.season != .none else { return }
    let total = form.season == .multiplicative ? Double(season.count) : 0
    season = Array(rest) + [total - rest.reduce(0, +)]
  }
}
