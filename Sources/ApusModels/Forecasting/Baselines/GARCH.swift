import Foundation

/// GARCH(1,1) with Student t innovations: symmetric, with leverage, or of the logarithm.
///
/// `x_t = μ + e_t`, and `z_t = e_t / √v_t` is Student t with ν degrees of freedom, scaled to unit
/// variance. `v_t = ω + (α + γ 1[e_{t-1} < 0]) e²_{t-1} + β v_{t-1}`, or in the exponential form
/// `ln v_t = ω + α (|z_{t-1}| - √(2/π)) + γ z_{t-1} + β ln v_{t-1}`. Estimated by maximum likelihood on
/// the series in units of its deviation. Bollerslev, 1987, *A Conditionally Heteroskedastic Time
/// Series Model for Speculative Prices and Rates of Return*; leverage after Glosten, Jagannathan and
/// Runkle, 1993; the exponential form after Nelson, 1991.
///
/// Several steps ahead the variance follows its expectation (that of its logarithm in the exponential
/// form) and the t shape is kept, which is an approximation. A level is modelled by its first
/// differences, whose variances add up.
package struct GARCH: BaselineRule {
  /// How a variance follows from the one before it.
  package enum Dynamics: Sendable, Hashable {
    /// Gains and losses weigh the same.
    case symmetric
    /// Losses weigh more or less than gains, after Glosten, Jagannathan and Runkle.
    case leverage
    /// The logarithm of the variance moves.
    case exponential
  }

  /// What is estimated; variances in the squared units of the series.
  package struct Parameters: Sendable, Hashable {
    package var dynamics = Dynamics.symmetric
    package var mean = 0.0
    package var omega = 0.0
    package var alpha = 0.0
    package var gamma = 0.0
    package var beta = 0.0
    package var degreesOfFreedom = 8.0

    /// The variance expected after a return of which `variance` was expected; a missing return is
    /// taken as what was to be expected.
    func variance(after variance: Double, return value: Double) -> Double {
      let error = value - mean
      let isPresent = error.isFinite
      guard dynamics == .exponential else {
        let square = isPresent ? error * error : variance
        let reaction = isPresent ? alpha + (error < 0 ? gamma : 0) : alpha + 0.5 * gamma
        return omega + reaction * square + beta * variance
      }
      // An absurd return must not make the next variance infinite.
      let z = isPresent ? min(max(error / variance.squareRoot(), -50), 50) : 0
      let news = isPresent ? alpha * (abs(z) - (2 / Double.pi).squareRoot()) + gamma * z : 0
      return exp(omega + news + beta * log(variance))
    }

    /// The same process in a unit `deviation` times as small, around `mean`.
    fileprivate func scaled(by deviation: Double, around center: Double) -> Parameters {
      var scaled = self
      scaled.mean = center + deviation * mean
      scaled.omega =
        dynamics == .exponential
        ? omega + 2 * (1 - beta) * log(deviation) : omega * deviation * deviation
      return scaled
    }
  }

  let dynamics: Dynamics
  package private(set) var parameters = Parameters()
  /// The log-likelihood of the training history at `parameters`.
  package private(set) var logLikelihood = -Double.infinity
  /// The variance before the first value of training.
  private var backcast = 0.0
  private var horizon = 0
  /// Fewer returns than this cannot carry five parameters.
  private static let fewest = 50

  package init(_ dynamics: Dynamics) { self.dynamics = dynamics }

  package mutating func learn(_ history: [Double], task: ForecastTask) throws {
    guard task.measure != .volatility else { throw RuleError.notApplicable(task.measure) }
    let values = returns(of: history, task: task)
    let present = values.filter(\.isFinite)
    guard present.count >= Self.fewest else {
      throw RuleError.tooShort(found: present.count, needed: Self.fewest)
    }
    horizon = task.horizon
    let count = Double(present.count)
    let mean = present.reduce(0, +) / count
    let deviation = (present.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count).squareRoot()
    guard deviation > 1e-14 * abs(mean) else {
      parameters = Parameters(mean: mean)  // a constant: nothing to spread
      backcast = 0
      return
    }
    // Estimating on unit variance makes the search the same in any unit of money.
    let standardized = values.map { ($0 - mean) / deviation }
    let fit = Likelihood(standardized, dynamics).maximize()
    parameters = fit.parameters.scaled(by: deviation, around: mean)
    backcast = fit.backcast * deviation * deviation
    logLikelihood = fit.logLikelihood - count * log(deviation)
  }

  package func memory(_ task: ForecastTask) throws -> Memory {
    guard task.horizon <= horizon else {
      throw RuleError.horizonTooLong(asked: task.horizon, fitted: horizon)
    }
    return Memory(parameters, variance: firstVariance, task: task)
  }

  package struct Memory: BaselineMemory {
    private let parameters: Parameters
    private let isLevel: Bool
    private let horizon: Int
    /// Quantiles of a step of unit variance.
    private let shape: [Double]
    /// What is expected of the next value.
    private var variance: Double
    private var last = Double.nan

    fileprivate init(_ parameters: Parameters, variance: Double, task: ForecastTask) {
      (self.parameters, self.variance) = (parameters, variance)
      (isLevel, horizon) = (task.measure == .level, task.horizon)
      let nu = parameters.degreesOfFreedom
      let t = StudentT(degreesOfFreedom: nu)
      shape = task.levels.map { t.quantile($0) * ((nu - 2) / nu).squareRoot() }
    }

    package mutating func push(_ value: Double) {
      variance = parameters.variance(after: variance, return: isLevel ? value - last : value)
      if value.isFinite { last = value }
    }

    package func forecast() -> BaselineForecast {
      var (variance, total) = (variance, 0.0)
      var forecast = BaselineForecast(quantiles: [], mean: [])
      for step in 1...horizon {
        total += variance
        let mean = isLevel ? last + Double(step) * parameters.mean : parameters.mean
        let deviation = (isLevel ? total : variance).squareRoot()
        forecast.mean.append(mean)
        forecast.quantiles.append(shape.map { mean + deviation * $0 })
        variance = parameters.variance(after: variance, return: .nan)
      }
      return forecast
    }
  }

  /// The variance expected of the first value.
  private var firstVariance: Double { parameters.variance(after: backcast, return: .nan) }

  /// The variance expected at each origin, 0 through `returns.count`.
  package func variances(of returns: [Double]) -> [Double] {
    returns.reduce(into: [firstVariance]) { found, value in
      found.append(parameters.variance(after: found[found.count - 1], return: value))
    }
  }

  private func returns(of series: [Double], task: ForecastTask) -> [Double] {
    guard task.measure == .level else { return series }
    let filled = filledForward(series)
    return series.indices.map { $0 == 0 ? .nan : series[$0] - filled[$0 - 1] }
  }
}

extension GARCH {
  /// The likelihood of standardized returns, and the search for its maximum.
  struct Likelihood {
    let returns: [Double]
    let dynamics: Dynamics
    let backcast: Double

    init(_ returns: [Double], _ dynamics: Dynamics) {
      (self.returns, self.dynamics) = (returns, dynamics)
      // The first 75 squares with falling weights stand for the unseen past, as in Python's arch.
      var (sum, weights, weight) = (0.0, 0.0, 1.0)
      for value in returns.prefix(75) where value.isFinite {
        sum += weight * value * value
        weights += weight
        weight *= 0.94
      }
      backcast = weights > 0 && sum > 0 ? sum / weights : 1
    }

    /// The log-likelihood at `p`.
    func callAsFunction(_ p: Parameters) -> Double {
      let nu = p.degreesOfFreedom
      var variance = p.variance(after: backcast, return: .nan)
      var (sum, count) = (0.0, 0.0)
      for value in returns {
        let error = value - p.mean
        if error.isFinite {
          sum += log(variance) + (nu + 1) * log(1 + error * error / (variance * (nu - 2)))
          count += 1
        }
        variance = p.variance(after: variance, return: value)
      }
      let constant =
        logGamma((nu + 1) / 2) - logGamma(nu / 2) - 0.5 * log(Double.pi * (nu - 2))
      return count * constant - 0.5 * sum
    }

    /// The maximum, searched from the best of a few likely starts with the variance on target.
    func maximize() -> (parameters: Parameters, logLikelihood: Double, backcast: Double) {
      var starts: [[Double]] = []
      for persistence in [0.7, 0.9, 0.98] {
        for share in [0.05, 0.15, 0.3] {
          for degrees in [5.0, 12] {
            let tail = log(degrees - 2.05)
            let memory = log(persistence / (1 - persistence))
            switch dynamics {
            case .exponential: starts.append([0, 0, memory, share, tail, -0.05])
            case .leverage, .symmetric:
              let split = log(share / (1 - share))
              let point = [0, log(1 - persistence), memory, split, tail]
              starts.append(point + (dynamics == .leverage ? [0] : []))
            }
          }
        }
      }
      let count = Double(max(1, returns.count(where: \.isFinite)))
      let objective = { (point: [Double]) in -self(parameters(at: point)) / count }
      let start = starts.min { objective($0) < objective($1) } ?? starts[0]
      let best = minimize(from: start, objective)
      return (parameters(at: best.point), -best.value * count, backcast)
    }

    /// Free numbers into admissible parameters: ω > 0, persistence and shares in 0...1, ν > 2.05.
    private func parameters(at point: [Double]) -> Parameters {
      func unit(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
      let persistence = unit(point[2])
      let degrees = min(500, 2.05 + exp(point[4]))
      if dynamics == .exponential {
        return Parameters(
          dynamics: dynamics, mean: point[0], omega: (1 - persistence) * point[1], alpha: point[3],
          gamma: point[5], beta: persistence, degreesOfFreedom: degrees)
      }
      let reaction = persistence * unit(point[3])  // α + γ/2
      let lean = dynamics == .leverage ? tanh(point[5]) : 0  // which sign of news weighs more
      return Parameters(
        dynamics: dynamics, mean: point[0], omega: exp(point[1]), alpha: reaction * (1 - lean),
        gamma: 2 * reaction * lean, beta: persistence - reaction, degreesOfFreedom: degrees)
    }
  }
}
