/// The closed-form linear forecast: the last L values times one matrix are the next P.
///
/// Ordinary least squares with an intercept and a ridge that the last fifth of training chooses;
/// with `isRelative` the last value is taken off the window before and added to the forecast after,
/// which is the closed form of NLinear (Zeng et al., 2023, *Are Transformers Effective for Time
/// Series Forecasting?*, arXiv:2205.13504). Several series may share one map.
///
/// A volatility stays inside the range of the values seen before the origin.
///
/// Missing inputs take the last value before them. A window with a missing target does not teach,
/// unless more than half of the windows have one; then missing targets are filled alike.
package struct LinearMap: AnchorRule {
  /// L, at least 1.
  let lookback: Int
  let isRelative: Bool
  package var residuals = ResidualQuantiles()
  /// The chosen ridge, in units of the mean variance of the inputs.
  package private(set) var ridge = 0.0
  /// `[P][L]`, oldest input first.
  private var weights: [[Double]] = []
  private var intercepts: [Double] = []

  /// Ridges to choose from, in the same unit.
  let ridges: [Double]
  /// Fewer windows than this teach nothing.
  private static let fewest = 16

  package init(
    lookback: Int, isRelative: Bool, ridges: [Double] = [0, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100]
  ) {
    self.lookback = max(1, lookback)
    self.isRelative = isRelative
    self.ridges = ridges
  }

  package var warmUp: Int { lookback }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    try estimate([history], task: task)
  }

  /// Learns one map from several series.
  package mutating func estimate(_ histories: [[Double]], task: ForecastTask) throws {
    let P = task.horizon
    let present = histories.joined().filter(\.isFinite)
    // A common offset keeps the products small; the intercept takes it back.
    let offset = present.reduce(0) { $0 + $1 / Double(max(1, present.count)) }
    var early = WindowMoments(length: lookback + P)
    var late = early
    var purged = early
    var windows = 0
    for history in histories {
      let starts = usableStarts(history, horizon: P)
      let filled = filledForward(history).map { $0 - offset }
      let all = starts.reduce(0) { $0 + $1.count }
      windows += all
      let split = history.count - history.count / 5  // the first target of the last fifth
      for run in starts {
        early.add(filled, starts: run.clamped(to: 0..<max(0, split - lookback - P + 1)))
        let middle = max(0, split - lookback - P + 1)..<max(0, split - lookback)
        purged.add(filled, starts: run.clamped(to: middle))
        late.add(filled, starts: run.clamped(to: max(0, split - lookback)..<history.count))
      }
    }
    guard windows >= Self.fewest else {
      throw RuleError.tooShort(
        found: present.count, needed: lookback + P - 1 + Self.fewest)
    }
    ridge = ridges.count == 1 ? ridges[0] : 0.1
    if early.count >= Double(Self.fewest / 2), late.count >= Double(Self.fewest / 2) {
      let (known, unseen) = (equations(early, horizon: P), Products(late, anchor))
      let losses = ridges.map { loss(of: known.solution(ridge: $0), on: unseen, horizon: P) }
      let best = losses.indices.min { losses[$0] < losses[$1] } ?? 0
      ridge = ridges.indices.contains(best) ? ridges[best] : ridge
    }
    (weights, intercepts) = equations(early + purged + late, horizon: P).solution(ridge: ridge)
    for step in 0..<P {
      let sum = isRelative ? 1 : weights[step].reduce(0, +)
      intercepts[step] += isRelative ? 0 : offset * (1 - sum)
    }
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(self, isVolatility: task.measure == .volatility)
  }

  package struct Anchors: AnchorMemory {
    private let map: LinearMap
    private let isVolatility: Bool
    /// The last L values, missing ones filled; as many first values before there are L.
    private var window: [Double] = []
    private var range = RunningRange()

    fileprivate init(_ map: LinearMap, isVolatility: Bool) {
      (self.map, self.isVolatility) = (map, isVolatility)
    }

    package mutating func push(_ value: Double) {
      range.push(value)
      if window.isEmpty {
        if value.isFinite { window = [Double](repeating: value, count: map.lookback) }
      } else {
        window.append(value.isFinite ? value : window[window.count - 1])
        window.removeFirst()
      }
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      let last = map.isRelative ? window[window.count - 1] : 0
      return (0..<steps).map { step in
        var value = map.intercepts[step] + last
        for (weight, input) in zip(map.weights[step], window) { value += weight * (input - last) }
        return isVolatility ? Anchor(factor: range.clamp(value)) : Anchor(value)
      }
    }
  }

  /// Runs of windows that may teach.
  private func usableStarts(_ history: [Double], horizon: Int) -> [Range<Int>] {
    let first = history.firstIndex(where: \.isFinite) ?? history.count
    let end = history.count - lookback - horizon + 1
    guard first < end else { return [] }
    var runs: [Range<Int>] = []
    // A window is usable from the one after the last that had the missing value as a target.
    var start = first
    for (index, value) in history.enumerated() where index >= first + lookback && !value.isFinite {
      let lastBefore = index - lookback - horizon + 1
      if lastBefore > start { runs.append(start..<min(lastBefore, end)) }
      start = max(start, index - lookback + 1)
    }
    if start < end { runs.append(start..<end) }
    let usable = runs.reduce(0) { $0 + $1.count }
    return 2 * usable >= end - first ? runs : [first..<end]
  }

  /// The place in a window that all its values are taken relative to; nil for none.
  private var anchor: Int? { isRelative ? lookback - 1 : nil }

  /// The normal equations of some windows: what the weights of every ridge follow from.
  private struct Equations {
    let means: [Double]
    /// Covariances of the inputs, the lower triangle, and those of inputs and outputs.
    let matrix, right: [[Double]]

    /// Weights `[P][L]` and intercepts that fit best.
    func solution(ridge: Double) -> (weights: [[Double]], intercepts: [Double]) {
      let columns = solveSymmetric(matrix, right, ridge: ridge)
      let weights = (right.first ?? []).indices.map { step in columns.map { $0[step] } }
      let intercepts = weights.enumerated().map { step, weights in
        means[matrix.count + step] - zip(weights, means).reduce(0) { $0 + $1.0 * $1.1 }
      }
      return (weights, intercepts)
    }
  }

  private func equations(_ moments: WindowMoments, horizon: Int) -> Equations {
    let means = (0..<moments.length).map { moments.mean($0, relativeTo: anchor) }
    func covariance(_ i: Int, _ j: Int) -> Double {
      moments.product(i, j, relativeTo: anchor) - means[i] * means[j]
    }
    return Equations(
      means: means, matrix: (0..<lookback).map { i in (0...i).map { covariance(i, $0) } },
      right: (0..<lookback).map { i in (0..<horizon).map { covariance(i, lookback + $0) } })
  }

  /// Means and mean products of some windows.
  private struct Products {
    let means: [Double]
    /// `[M][M]`.
    let all: PaddedMatrix

    init(_ moments: WindowMoments, _ anchor: Int?) {
      let length = moments.length
      means = (0..<length).map { moments.mean($0, relativeTo: anchor) }
      all = PaddedMatrix(
        (0..<length).map { i in
          (0..<length).map { moments.product(i, $0, relativeTo: anchor) }
        }, columns: length)
    }
  }

  /// The squared error on some windows, from their moments alone.
  private func loss(
    of map: (weights: [[Double]], intercepts: [Double]), on moments: Products, horizon: Int
  ) -> Double {
    let (means, products) = (moments.means, moments.all)
    let weights = PaddedMatrix(map.weights, columns: means.count)
    var total = 0.0
    for step in 0..<horizon {
      let (w, b) = (map.weights[step], map.intercepts[step])
      let target = lookback + step
      // E (y - wx - b)² = Eyy + wExxw + b² - 2 wExy - 2 b Ey + 2 b wEx
      total += products[target, target] + b * b - 2 * b * means[target]
      for i in 0..<lookback {
        let row = 2 * b * means[i] - 2 * products[i, target]
        total += w[i] * (row + products.dot(i, weights, step))
      }
    }
    return total
  }
}
