import Foundation

/// That a model was still improving when its budget ended, and what more of it might bring.
///
/// The validation losses from a tenth of the steps on are continued as `a + b n^(-c)` of the number of
/// steps n: a power of c from 0.1 to 2 is tried, a and b fit by least squares. Such laws describe the
/// learning curves of networks well (Hestness et al., 2017, arXiv:1712.00409), but what a longer run
/// brings is an estimate, as a longer run also has another schedule.
public struct UnfinishedTraining: Codable, Sendable, Hashable {
  /// The share of all that the validation loss fell that fell in the last quarter of the steps, 0...1.
  public var lastQuarter: Double
  /// Seconds that a run of twice the steps would take beside those it took.
  public var seconds: Double
  /// The fraction by which the loss would fall further in them.
  public var gain: Double

  /// The least ``gain`` that a training is called unfinished for.
  public static let leastGain = 0.01

  /// Looks at one learning curve. Nil where training was finished: the best validation lies before the last
  /// tenth of the steps, or twice the steps would lower the loss by less than ``leastGain``. Nil with fewer
  /// than six points too, which tell nothing.
  ///
  /// - Parameter curve: Points in order of time, whose last is the end of the budget.
  public init?(_ curve: [LearningPoint]) {
    let points = curve.compactMap { point in
      point.validationLoss.finite.map { (steps: Double(point.step), loss: $0, point.seconds) }
    }.filter { $0.steps > 0 }
    guard points.count >= 6, let last = points.last,
      let best = points.min(by: { $0.loss < $1.loss }), best.steps >= 0.9 * last.steps,
      let first = points.first, first.loss > best.loss
    else { return nil }
    let late = points.filter { $0.steps >= 0.1 * last.steps }
    guard late.count >= 5,
      let law = PowerLaw(late.map { (x: $0.steps / last.steps, y: $0.loss) })
    else { return nil }
    let fall = law(1) - law(2)
    gain = abs(best.loss) > 0 ? fall / abs(best.loss) : 0
    let before = points.filter { $0.steps <= 0.75 * last.steps }.map(\.loss).min() ?? first.loss
    lastQuarter = min(1, max(0, (before - best.loss) / (first.loss - best.loss)))
    seconds = last.2
    guard gain >= Self.leastGain, lastQuarter > 0, seconds.isFinite else { return nil }
  }

  /// Looks at the curves of several seeds: the means over the runs that were unfinished, if they are more
  /// than half of all; else nil.
  ///
  /// - Parameter curves: Those of the runs.
  public init?(ofRuns curves: [[LearningPoint]]) {
    let found = curves.compactMap { UnfinishedTraining($0) }
    guard 2 * found.count > curves.count else { return nil }
    lastQuarter = Metrics.mean(found.map(\.lastQuarter))
    seconds = Metrics.mean(found.map(\.seconds))
    gain = Metrics.mean(found.map(\.gain))
  }

  /// The finding in a sentence.
  ///
  /// - Parameter name: The model.
  /// - Returns: Such as "mamba is unfinished: 14 % of its improvement fell in the last quarter of its
  ///   training; about 20 s more may lower its loss by another 3.1 % (an estimate from its learning
  ///   curve)."
  public func sentence(_ name: String) -> String {
    let share = Figures.percent(lastQuarter, decimals: lastQuarter < 0.1 ? 1 : 0)
    let more = Figures.percent(gain, decimals: 1)
    let time =
      (1..<60).contains(seconds)
      ? "\(Figures.fixed(seconds, 0)) s" : Figures.duration(seconds)
    return """
      \(name) is unfinished: \(share) of its improvement fell in the last quarter of its training; about \
      \(time) more for each run may lower its validation loss by another \(more) (an \
      estimate from its learning curve).
      """
  }
}

/// The curve `a + b x^(-c)` with b above 0 that lies nearest to points.
package struct PowerLaw {
  package let a, b, c: Double

  /// Fits it by least squares; nil where no falling curve fits better than a level.
  package init?(_ points: [(x: Double, y: Double)]) {
    let count = Double(points.count)
    let mean = points.reduce(0) { $0 + $1.y } / count
    var best: (a: Double, b: Double, c: Double, error: Double)?
    for tenth in 1...20 {
      let c = Double(tenth) / 10
      let powers = points.map { pow($0.x, -c) }
      let middle = powers.reduce(0, +) / count
      let square = powers.reduce(0) { $0 + ($1 - middle) * ($1 - middle) }
      guard square > 0 else { continue }
      let b = zip(powers, points).reduce(0) { $0 + ($1.0 - middle) * ($1.1.y - mean) } / square
      let a = mean - b * middle
      let error = zip(powers, points).reduce(0) {
        let rest = $1.1.y - a - b * $1.0
        return $0 + rest * rest
      }
      if b > 0, error < best?.error ?? .infinity { best = (a, b, c, error) }
    }
    guard let best, best.error.isFinite else { return nil }
    (a, b, c) = (best.a, best.b, best.c)
  }

  package func callAsFunction(_ x: Double) -> Double { a + b * pow(x, -c) }
}
