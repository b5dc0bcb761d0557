import Foundation

/// The stepwise search for the order of a seasonal ARIMA model.
///
/// Hyndman and Khandakar, 2008, *Automatic Time Series Forecasting: the forecast Package for R*:
/// seasonal differences by the strength of the season (over 0.64), differences by the test of
/// Kwiatkowski et al., then from four starts always to a neighbor with a smaller AICc, p and q to 5,
/// P and Q to 2.
struct ARIMASearch {
  private let values: [Double]
  private let differenced: ARIMAOrder
  /// Operations of one exact likelihood.
  private let cost: Int
  private let isQuick: Bool
  private var tried: [ARIMAOrder: ARIMAModel] = [:]
  private var best: ARIMAModel
  private let most: ARIMAOrder
  /// The most models that one search fits.
  private static let mostModels = 94

  /// Finds the model of a series.
  ///
  /// - Parameters:
  ///   - series: Values in a unit in which they are about 1; missing ones NaN.
  ///   - m: The season of ARIMA; 1 for none.
  /// - Returns: The model of the differenced series; white noise where nothing can be fitted.
  static func model(of series: [Double], seasonLength m: Int) -> ARIMAModel {
    var order = ARIMAOrder()
    order.season = m
    // A test sees no gaps: what is missing is as the value before.
    let filled = filledForward(series).filter(\.isFinite)
    var rest = filled
    if m > 1, filled.count > 2 * m,
      STL.seasonalStrength(filled, seasonLength: m) > 0.64
    {
      order.seasonalD = 1
      rest = Stationarity.difference(rest, lag: m)
    }
    while order.d < 2, rest.count > 10, Stationarity.hasUnitRoot(rest) {
      rest = Stationarity.difference(rest)
      order.d += 1
    }
    var values = series
    if order.seasonalD > 0 { values = Stationarity.difference(values, lag: m) }
    for _ in 0..<order.d { values = Stationarity.difference(values) }
    var search = ARIMASearch(values, order)
    return search.run()
  }

  private init(_ values: [Double], _ order: ARIMAOrder) {
    (self.values, differenced) = (values, order)
    let (n, m) = (values.count, order.season)
    var most = order
    let lags = min(5, n / 3, m > 1 ? m - 1 : 5)
    (most.p, most.q) = (lags, lags)
    let seasons = m > 1 ? min(2, n / 3 / m) : 0
    (most.seasonalP, most.seasonalQ) = (seasons, seasons)
    self.most = most
    // The exact likelihood costs the square of the longest lag.
    let states = max(lags, seasons * m) + 1
    cost = n * states * states
    isQuick = cost > 20_000
    best = ARIMAModel(order)
  }

  private mutating func run() -> ARIMAModel {
    let hasConstant = differenced.d + differenced.seasonalD < 2
    let numbers: [(p: Int, q: Int, seasonalP: Int, seasonalQ: Int)] = [
      (2, 2, 1, 1), (0, 0, 0, 0), (1, 0, 1, 0), (0, 1, 0, 1),
    ]
    for number in numbers {
      var order = differenced
      (order.p, order.q) = (min(number.p, most.p), min(number.q, most.q))
      order.seasonalP = min(number.seasonalP, most.seasonalP)
      order.seasonalQ = min(number.seasonalQ, most.seasonalQ)
      order.hasConstant = hasConstant
      _ = isBetter(order)
    }
    _ = isBetter(differenced)
    while tried.count < Self.mostModels, neighbors(hasConstant).contains(where: { isBetter($0) }) {}
    guard isQuick else { return best }
    let ranked = tried.values.filter { $0.aicc < .infinity }.sorted { $0.aicc < $1.aicc }
    // Orders within a hair of each other are told apart where that is cheap.
    let count = cost > 200_000 ? 2 : 5
    var exact: [ARIMAModel] = []
    // The exact fit may leave the admissible region, and the next order takes its place.
    for model in ranked.prefix(2 * count) where exact.count < count {
      let fit = ARIMAModel(model.order, fitting: values, start: model)
      if fit.aicc < .infinity { exact.append(fit) }
    }
    return exact.min { $0.aicc < $1.aicc } ?? best
  }

  /// Fits an order that was not tried yet; says whether it is the best so far.
  private mutating func isBetter(_ order: ARIMAOrder) -> Bool {
    guard tried[order] == nil, tried.count < Self.mostModels else { return false }
    let start = best.aicc < .infinity ? best : nil
    let model = ARIMAModel(order, fitting: values, start: start, isQuick: isQuick)
    tried[order] = model
    guard model.aicc < best.aicc else { return false }
    best = model
    return true
  }

  /// Orders one step away, in the order in which they are tried.
  private func neighbors(_ mayHaveConstant: Bool) -> [ARIMAOrder] {
    let steps = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)]
    let seasonal = steps.map { step in
      var order = best.order
      order.seasonalP += step.0
      order.seasonalQ += step.1
      return order
    }
    let plain = steps.map { step in
      var order = best.order
      order.p += step.0
      order.q += step.1
      return order
    }
    var other = best.order
    other.hasConstant.toggle()
    return (seasonal + plain + (mayHaveConstant ? [other] : [])).filter { order in
      (0...most.p).contains(order.p) && (0...most.q).contains(order.q)
        && (0...most.seasonalP).contains(order.seasonalP)
        && (0...most.seasonalQ).contains(order.seasonalQ)
    }
  }
}
