import ApusModels
import ApusTestSupport
import Foundation
import Testing

/// What statsforecast, statsmodels and LightGBM make of the same series.
@Suite("Baselines beside their peers")
struct BaselinePeerTests {
  struct Fixture: Decodable {
    struct Smoothing: Decodable {
      let series, form: String
      let alpha, level, trend, aicc: Double
      let beta, gamma, phi: Double?
      let season, forecast: [Double]
      let logLikelihood: Double
    }
    struct Theta: Decodable {
      let series, kind: String
      let season: Int
      let alpha, theta, squaredError: Double
      let forecast: [Double]
    }
    struct Arima: Decodable {
      let series: String
      let order, seasonal: [Int]
      let constant: Bool
      let phi, theta, forecast: [Double]
      let mean, variance, logLikelihood: Double
    }
    struct Order: Decodable {
      let series: String
      let order, seasonal: [Int]
      let aicc: Double
    }
    struct Parts: Decodable { let trend, season: [Double] }
    struct Trees: Decodable {
      let columns: [[Double]]
      let outputs: [Double]
      let seenError, unseenError: Double
    }
    let series: [String: [Double]]
    let smoothing, chosenSmoothing: [Smoothing]
    let theta: [Theta]
    let arima: [Arima]
    let chosenArima: [Order]
    let kpss: [String: Double]
    let stl: Parts
    let demand: [Double]
    let intermittent: [String: Double]
    let trees: Trees
  }

  static let seasons = ["sales": 12, "balance": 4, "process": 1, "walk": 1]
  let golden: Fixture

  init() throws { golden = try snakeFixture("baselines", as: Fixture.self) }

  func values(_ name: String) throws -> [Double] { try #require(golden.series[name]) }

  func task(_ name: String) -> ForecastTask {
    ForecastTask(
      horizon: 8, levels: [0.1, 0.5, 0.9], seasonLength: Self.seasons[name] ?? 1, measure: .level)
  }

  /// The form that its name, such as "ETS(M,Ad,A)", says.
  func form(_ name: String) throws -> SmoothingForm {
    let words = name.dropFirst(4).dropLast().split(separator: ",").map(String.init)
    return SmoothingForm(
      hasRelativeError: words[0] == "M", trend: try #require(.init(rawValue: words[1])),
      season: try #require(.init(rawValue: words[2])))
  }

  @Test("exponential smoothing has their likelihood, AICc and forecast at their parameters")
  func smoothing() throws {
    for peer in golden.smoothing {
      let values = try values(peer.series)
      let fit = SmoothingFit(
        form: try form(peer.form),
        parameters: SmoothingParameters(
          alpha: peer.alpha, beta: peer.beta ?? 0, gamma: peer.gamma ?? 0, phi: peer.phi ?? 1),
        start: SmoothingState(
          level: peer.level, trend: peer.trend, season: peer.season.isEmpty ? [0] : peer.season))
      #expect("\(fit.form)" == peer.form)
      let criterion = fit.criterion(of: values)
      #expect(abs(-0.5 * criterion - peer.logLikelihood) < 1e-6, "\(peer.form)")
      let (n, m) = (Double(values.count), max(1, peer.season.count))
      let k = Double(fit.form.parameterCount(seasonLength: m))
      #expect(abs(criterion + 2 * k + 2 * k * (k + 1) / (n - k - 1) - peer.aicc) < 1e-6)
      var state = fit.start
      for value in values { fit.form.advance(&state, by: value, fit.parameters) }
      var (damping, power) = (0.0, 1.0)
      for (step, expected) in peer.forecast.enumerated() {
        power *= fit.parameters.phi
        damping += power
        let found = fit.form.expected(state, step: step + 1, damping: damping)
        // Theirs dampens the second step by φ as well, not by φ².
        guard step == 0 || peer.phi == nil else { continue }
        #expect(abs(found - expected) < 1e-6 * abs(expected), "\(peer.form)")
      }
    }
  }

  @Test("exponential smoothing finds a form at least as likely as theirs")
  func chosenSmoothing() throws {
    for peer in golden.chosenSmoothing {
      let values = try values(peer.series)
      var rule = ExponentialSmoothing()
      try rule.learn(values, task: task(peer.series))
      let unit = values.reduce(0) { $0 + abs($1) } / Double(values.count)
      // In another unit the criterion shifts by n ln unit².
      let aicc = rule.fit.aicc + 2 * Double(values.count) * log(unit)
      #expect(aicc < peer.aicc + 0.1, "\(peer.series): \(rule.fit.form) \(aicc) \(peer.aicc)")
      let forecast = try #require(
        rule.predict(values, origins: [values.count], task: task(peer.series)).first)
      let spread = forecast.quantiles[0][2] - forecast.quantiles[0][0]
      for (found, expected) in zip(forecast.mean, peer.forecast) {
        #expect(abs(found - expected) < spread, "\(peer.series): \(found) \(expected)")
      }
    }
  }

  @Test("Theta and its kin forecast what theirs forecast")
  func theta() throws {
    for peer in golden.theta {
      let values = try values(peer.series)
      let task = ForecastTask(
        horizon: 8, levels: [0.5], seasonLength: peer.season, measure: .level)
      var baseline = try Baseline.named(peer.kind, lookback: 1)
      try baseline.fit(values, task: task)
      let found = try baseline.mean(values[...], task: task)
      if peer.season == 1, let rule = baseline.rule as? Theta {
        #expect(rule.model.squaredError < 1.0001 * peer.squaredError, "\(peer.series) \(peer.kind)")
        // Where their simplex ended at the wrong end of θ there is nothing to compare.
        if rule.model.squaredError < 0.999 * peer.squaredError { continue }
      }
      for (step, expected) in peer.forecast.enumerated() {
        #expect(
          abs(found[step] - expected) < 2e-3 * abs(expected),
          "\(peer.series) \(peer.kind) \(step): \(found[step]) \(expected)")
      }
    }
  }

  func order(_ plain: [Int], _ seasonal: [Int], _ name: String) -> ARIMAOrder {
    var order = ARIMAOrder()
    (order.p, order.d, order.q) = (plain[0], plain[1], plain[2])
    (order.seasonalP, order.seasonalD, order.seasonalQ) = (seasonal[0], seasonal[1], seasonal[2])
    order.season = Self.seasons[name] ?? 1
    return order
  }

  func differenced(_ values: [Double], _ order: ARIMAOrder) -> [Double] {
    var result = values
    if order.seasonalD > 0 { result = Stationarity.difference(result, lag: order.season) }
    for _ in 0..<order.d { result = Stationarity.difference(result) }
    return result
  }

  @Test("ARIMA has their likelihood and forecast at their parameters, and finds no less")
  func arima() throws {
    for peer in golden.arima {
      let values = try values(peer.series)
      var order = order(peer.order, peer.seasonal, peer.series)
      order.hasConstant = peer.constant
      let changes = differenced(values, order)
      let likelihood = ARIMAModel.logLikelihood(
        changes, ar: peer.phi, ma: peer.theta, mean: peer.mean)
      // Theirs starts differences with a variance of 1e6 instead of leaving them out.
      #expect(abs(likelihood - peer.logLikelihood) < 0.02, "\(order): \(likelihood)")

      var model = ARIMAModel(order)
      (model.ar, model.ma, model.mean) = (peer.phi, peer.theta, peer.mean)
      var anchors = ARIMA.Anchors(model)
      for value in values { anchors.push(value) }
      for (found, expected) in zip(anchors.anchors(8), peer.forecast) {
        #expect(
          abs(found.location - expected) < 1e-3 * peer.variance.squareRoot(), "\(order)")
      }

      let unit = peer.variance.squareRoot()
      let own = ARIMAModel(order, fitting: changes.map { $0 / unit })
      let best = own.logLikelihood - Double(changes.count) * log(unit)
      #expect(best > likelihood - 1e-3, "\(order): \(best) \(likelihood)")
      #expect(best < likelihood + 1, "\(order): \(best) \(likelihood)")
    }
  }

  @Test("ARIMA finds an order at least as good as theirs")
  func chosenArima() throws {
    for peer in golden.chosenArima {
      let values = try values(peer.series)
      var rule = ARIMA()
      try rule.learn(values, task: task(peer.series))
      let (own, theirs) = (rule.model, order(peer.order, peer.seasonal, peer.series))
      #expect(own.order.d == theirs.d && own.order.seasonalD == theirs.seasonalD, "\(own.order)")
      let count = Double(values.count)
      let mean = values.reduce(0, +) / count
      let unit = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count).squareRoot()
      let aicc = own.aicc + 2 * Double(values.count - own.order.differenced) * log(unit)
      #expect(aicc < peer.aicc + 1, "\(peer.series): \(own.order) \(aicc), theirs \(peer.aicc)")
    }
  }

  @Test("the tests before ARIMA and MSTL are theirs")
  func stationarity() throws {
    for (name, expected) in golden.kpss {
      #expect(abs(Stationarity.kpss(try values(name)) - expected) < 1e-9, "\(name)")
    }
    let parts = STL(try values("sales"), seasonLength: 12)
    for (found, expected) in zip(parts.trend + parts.season, golden.stl.trend + golden.stl.season) {
      #expect(abs(found - expected) < 1e-6)
    }
  }

  @Test("intermittent demand is theirs", arguments: ["croston", "croston-sba", "tsb"])
  func intermittent(name: String) throws {
    var baseline = try Baseline.named(name, lookback: 1)
    let task = ForecastTask(horizon: 3, levels: [0.1, 0.9], measure: .level)
    try baseline.fit(golden.demand, task: task)
    let expected = try #require(golden.intermittent[name])
    for found in try baseline.mean(golden.demand[...], task: task) {
      #expect(abs(found - expected) < 1e-6)
    }
    let quantiles = try baseline.forecast(golden.demand[...], task: task)
    #expect(quantiles.allSatisfy { $0[0] == 0 && $0[1] > 0 })
  }

  @Test("trees learn as much as those of LightGBM")
  func trees() {
    let (seen, unseen) = (0..<900, 900..<golden.trees.outputs.count)
    let trees = BoostedTrees(
      golden.trees.columns.map { Array($0[seen]) }, Array(golden.trees.outputs[seen]),
      options: .init(mostTrees: 60))
    func error(_ rows: Range<Int>) -> Double {
      let sum = rows.reduce(0) { sum, row in
        let error = golden.trees.outputs[row] - trees(golden.trees.columns.map { $0[row] })
        return sum + error * error
      }
      return (sum / Double(rows.count)).squareRoot()
    }
    #expect(abs(error(seen) / golden.trees.seenError - 1) < 0.05, "\(error(seen))")
    #expect(abs(error(unseen) / golden.trees.unseenError - 1) < 0.05, "\(error(unseen))")
  }
}
