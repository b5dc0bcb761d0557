/// The linear map from the window of a row to the rows ahead by which a ``Forecaster`` starts.
///
/// Least squares without an intercept, `min Σ ‖y − V w‖² + ridge`, where window and rows ahead are less
/// the last value of the window if `isRelative`: the map then is that of NLinear (Zeng et al., 2023,
/// arXiv:2205.13504) and the same in any units. The last fifth of each series chooses the ridge, or no
/// map at all. One map for all series, each taken in a unit of its own.
package struct DirectMap {
  /// A series to learn from.
  package struct History {
    /// The values up to the end of training; NaN where missing.
    package var values: [Double]
    /// What they are divided by, so that no series counts for more than others; above 0.
    package var unit: Double

    /// Creates a history.
    package init(values: [Double], unit: Double) { (self.values, self.unit) = (values, unit) }
  }

  /// `[P][W]`, oldest row of the window first; zeros where too few windows are there to learn from.
  package let weights: [[Double]]
  /// The ridge that was chosen, in units of the mean square of the inputs; nil where no map is best.
  package let ridge: Double?

  /// Ridges to choose from.
  static let ridges = [0, 1e-4, 1e-3, 1e-2, 0.1, 1, 10]
  /// Fewer windows than this teach nothing, and fewer than half of it choose nothing.
  private static let fewest = 32

  /// Fits the map.
  ///
  /// - Parameters:
  ///   - histories: The series. Missing values take the last value before them.
  ///   - window: W.
  ///   - horizon: P.
  ///   - isRelative: Whether values count relative to the last of the window.
  package init(fitting histories: [History], window: Int, horizon: Int, isRelative: Bool) {
    let length = window + horizon
    var (early, between) = (WindowMoments(length: length), WindowMoments(length: length))
    var late = early
    for history in histories {
      let values = Self.filled(history)
      guard values.count >= length else { continue }
      // The first target of the last fifth; windows across it teach in the end, and choose nothing.
      let split = values.count - values.count / 5
      let ends = (values.count - length + 1, max(0, split - length + 1), max(0, split - window))
      early.add(values, starts: 0..<min(ends.1, ends.0))
      between.add(values, starts: min(ends.1, ends.0)..<min(ends.2, ends.0))
      late.add(values, starts: min(ends.2, ends.0)..<ends.0)
    }
    let anchor = isRelative ? window - 1 : nil
    let nothing = [[Double]](repeating: Array(repeating: 0, count: window), count: horizon)
    let few = Double(Self.fewest)
    guard early.count >= few, late.count >= few / 2 else {
      (weights, ridge) = (nothing, nil)
      return
    }
    let judge = Products(late, window: window, horizon: horizon, anchor: anchor)
    let teacher = Products(early, window: window, horizon: horizon, anchor: anchor)
    let losses = Self.ridges.map { judge.loss(of: teacher.solution(ridge: $0)) }
    let best = losses.indices.min { losses[$0] < losses[$1] } ?? 0
    guard losses[best] < judge.loss(of: nothing) else {
      (weights, ridge) = (nothing, nil)
      return
    }
    let all = Products(early + between + late, window: window, horizon: horizon, anchor: anchor)
    (weights, ridge) = (all.solution(ridge: Self.ridges[best]), Self.ridges[best])
  }

  /// The values in their unit, from the first that is there, missing ones filled by those before.
  private static func filled(_ history: History) -> [Double] {
    guard let first = history.values.firstIndex(where: \.isFinite) else { return [] }
    var last = 0.0
    return history.values[first...].map { value in
      if value.isFinite { last = value / history.unit }
      return last
    }
  }
}

/// Mean products of windows and what follows them.
private struct Products {
  /// `[W][W]`.
  let inputs: [[Double]]
  /// `[W][P]`.
  let both: [[Double]]
  /// `[P]`, of the squares.
  let outputs: [Double]

  init(_ moments: WindowMoments, window: Int, horizon: Int, anchor: Int?) {
    func product(_ i: Int, _ j: Int) -> Double { moments.product(i, j, relativeTo: anchor) }
    inputs = (0..<window).map { i in (0..<window).map { product(i, $0) } }
    both = (0..<window).map { i in (0..<horizon).map { product(i, window + $0) } }
    outputs = (0..<horizon).map { product(window + $0, window + $0) }
  }

  /// `[P][W]`.
  func solution(ridge: Double) -> [[Double]] {
    let columns = solveSymmetric(inputs, both, ridge: ridge)
    return outputs.indices.map { step in columns.map { $0[step] } }
  }

  /// The mean squared error over steps.
  func loss(of weights: [[Double]]) -> Double {
    var total = 0.0
    for (step, row) in weights.enumerated() {
      // E (y - w x)² = Eyy - 2 w Exy + w Exx w
      total += outputs[step]
      for (i, weight) in row.enumerated() where weight != 0 {
        var part = -2 * both[i][step]
        for (j, other) in row.enumerated() { part += inputs[i][j] * other }
        total += weight * part
      }
    }
    return total / Double(max(1, weights.count))
  }
}
