/// A linear autoregression of what differs from the season, by ridge.
///
/// Each place in the season has its mean (its climatology); what is left follows
/// `x_t = a + Σ w_k x_{t-k}` over the last values and those around one, two and seven seasons ago. The
/// last fifth of training chooses the ridge. Steps ahead are taken one by one. Volatilities stay inside
/// the range of what was seen. Of more than 8000 values only the last teach. Missing values take
/// the last value before them; a missing target does not teach.
package struct SeasonalRegression: AnchorRule {
  package var residuals = ResidualQuantiles()
  /// Values that are read one by one.
  let lookback: Int
  private var lags: [Int] = []
  private var season = [0.0]
  private var weights: [Double] = []
  private var intercept = 0.0
  private static let mostValues = 8000
  private static let ridges: [Double] = [1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1, 10]

  package init(lookback: Int) { self.lookback = min(max(1, lookback), 48) }

  package var warmUp: Int { lags.last ?? 1 }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    let m = task.seasonLength
    let skipped = max(0, history.count - Self.mostValues) / m * m
    let recent = Array(history.dropFirst(skipped))
    var lags = Set(1...lookback)
    if m > 1 {
      for turn in [1, 2, 7] { lags.formUnion([turn * m - 1, turn * m, turn * m + 1]) }
    }
    self.lags = lags.filter { $0 >= 1 && $0 <= max(1, recent.count / 4) }.sorted()
    setSeason(recent, length: m)
    let filled = filledForward(recent)
    let rest = filled.enumerated().map { $0.element - season[$0.offset % season.count] }
    // In its own unit the intercept weighs as much as a lag.
    let deviation = variance(of: rest.filter(\.isFinite)).squareRoot()
    let unit = deviation > 0 ? deviation : 1
    let values = rest.map { $0 / unit }
    let rows = recent.indices.filter {
      $0 >= warmUp && recent[$0].isFinite && values[$0 - warmUp].isFinite
    }
    guard rows.count >= 2 * self.lags.count + 16 else {
      throw RuleError.tooShort(
        found: rows.count + warmUp, needed: warmUp + 2 * self.lags.count + 16)
    }
    let split = rows.count - rows.count / 5
    let early = Moments(values, rows[..<split], self.lags)
    let late = Moments(values, rows[split...], self.lags)
    let losses = Self.ridges.map { late.loss(of: early.solution(ridge: $0)) }
    let best = losses.indices.min { losses[$0] < losses[$1] } ?? 0
    let solution = (early + late).solution(ridge: Self.ridges[best])
    (weights, intercept) = (Array(solution.dropLast()), unit * solution[solution.count - 1])
  }

  private mutating func setSeason(_ values: [Double], length m: Int) {
    var (sums, counts) = ([Double](repeating: 0, count: m), [Double](repeating: 0, count: m))
    for (index, value) in values.enumerated() where value.isFinite {
      sums[index % m] += value
      counts[index % m] += 1
    }
    let mean = sums.reduce(0, +) / counts.reduce(0, +)
    season = zip(sums, counts).map { $1 > 0 ? $0 / $1 : mean }
  }

  /// Means of products of the target, its lags and 1.
  private struct Moments {
    /// `[lags + 2][lags + 2]`, the lower triangle: lags, 1, target.
    var products: PaddedMatrix

    init(_ values: [Double], _ rows: ArraySlice<Int>, _ lags: [Int]) {
      let n = lags.count
      products = PaddedMatrix(rows: n + 2, columns: n + 2)
      var row = PaddedMatrix(rows: 1, columns: n + 2)
      row[0, n] = 1
      for index in rows {
        for (place, lag) in lags.enumerated() { row[0, place] = values[index - lag] }
        row[0, n + 1] = values[index]
        products.addProducts(of: row)
      }
    }

    static func + (first: Moments, second: Moments) -> Moments {
      var sum = first
      sum.products += second.products
      return sum
    }

    /// Weights of the lags and the intercept.
    func solution(ridge: Double) -> [Double] {
      let n = products.rows - 2
      let matrix = (0...n).map { products.prefix($0 + 1, ofRow: $0) }
      return solveSymmetric(
        matrix, products.prefix(n + 1, ofRow: n + 1).map { [$0] }, ridge: ridge / Double(n + 1)
      )
      .map { $0[0] }
    }

    /// The sum of squared errors of a solution.
    func loss(of solution: [Double]) -> Double {
      let n = products.rows - 2
      let all = solution + [-1]
      var sum = 0.0
      for i in 0...(n + 1) {
        for j in 0...i { sum += (i == j ? 1 : 2) * all[i] * all[j] * products[i, j] }
      }
      return sum
    }
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(self, isVolatility: task.measure == .volatility)
  }

  package struct Anchors: AnchorMemory {
    private let rule: SeasonalRegression
    private let isVolatility: Bool
    /// The last values without their season, newest last.
    private var window: [Double] = []
    private var last = Double.nan
    private var count = 0
    private var range = RunningRange()

    fileprivate init(_ rule: SeasonalRegression, isVolatility: Bool) {
      (self.rule, self.isVolatility) = (rule, isVolatility)
    }

    package mutating func push(_ value: Double) {
      range.push(value)
      let part = rule.season[count % rule.season.count]
      count += 1
      if value.isFinite { last = value }
      guard last.isFinite else { return }
      if window.isEmpty {
        window = [Double](repeating: last - part, count: rule.warmUp)
      } else {
        window.append(last - part)
        window.removeFirst()
      }
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      var window = window
      return (0..<steps).map { step in
        var expected = rule.intercept
        for (weight, lag) in zip(rule.weights, rule.lags) {
          expected += weight * window[window.count - lag]
        }
        window.append(expected)
        window.removeFirst()
        let value = expected + rule.season[(count + step) % rule.season.count]
        return isVolatility ? Anchor(factor: range.clamp(value)) : Anchor(value)
      }
    }
  }
}
