/// Where a forecast distribution hangs: quantiles are `location + scale · q`.
package struct Anchor: Sendable {
  package var location: Double
  package var scale: Double
  /// The point forecast, which need not be the mean of the quantiles.
  package var mean: Double

  package init(location: Double, scale: Double, mean: Double) {
    (self.location, self.scale, self.mean) = (location, scale, mean)
  }

  /// A point to which errors are added.
  init(_ point: Double) { self.init(location: point, scale: 1, mean: point) }

  /// A point that errors multiply, so that quantiles have its sign.
  init(factor point: Double) { self.init(location: 0, scale: point, mean: point) }
}

/// A rule that says where and how wide; the shape comes from its own training residuals.
///
/// At every training origin the standardized residual of step h is
/// `z = (y - location) / scale`; a forecast is `location + scale · Q_h(z)`. For volatilities the
/// location is 0 and the scale the point forecast, so that errors act as factors and quantiles
/// stay positive.
package protocol AnchorRule: BaselineRule {
  /// The first origin, counted from the start of a series, that has all the values the rule needs.
  var warmUp: Int { get }
  /// What the residuals of training looked like; set by ``BaselineRule/learn(_:task:)``.
  var residuals: ResidualQuantiles { get set }
  /// Whether the median of a task is the point forecast itself, and not where errors of training had
  /// theirs. Default: no.
  func isMedian(_ task: ForecastTask) -> Bool
  /// Estimates the parameters, before residuals are taken.
  mutating func estimate(_ history: [Double], task: ForecastTask) throws
  /// What the rule keeps of a series; as it is before the first value.
  associatedtype Anchors: AnchorMemory
  func anchors(_ task: ForecastTask) -> Anchors
}

/// What an ``AnchorRule`` keeps of a series while values come.
package protocol AnchorMemory: Sendable {
  /// Takes in the next value; NaN where it is missing.
  mutating func push(_ value: Double)
  /// The anchors of the next `steps` values. Asked for only after a value was present.
  func anchors(_ steps: Int) -> [Anchor]
}

extension AnchorRule {
  package func isMedian(_ task: ForecastTask) -> Bool { false }

  package mutating func learn(_ history: [Double], task: ForecastTask) throws {
    guard history.contains(where: \.isFinite) else { throw RuleError.tooShort(found: 0, needed: 9) }
    try estimate(history, task: task)
    let first = (history.firstIndex(where: \.isFinite) ?? 0) + 1
    residuals = try ResidualQuantiles(
      of: history, from: max(warmUp, first), task: task, anchors: anchors(task))
    if isMedian(task) { residuals.center() }
  }

  package func memory(_ task: ForecastTask) throws -> AnchoredMemory<Anchors> {
    guard task.horizon <= residuals.horizon else {
      throw RuleError.horizonTooLong(asked: task.horizon, fitted: residuals.horizon)
    }
    return AnchoredMemory(
      anchors: anchors(task),
      shapes: (1...task.horizon).map { residuals.quantiles(step: $0, levels: task.levels) })
  }
}

/// The memory of an ``AnchorRule`` with the shape that its residuals had.
package struct AnchoredMemory<Anchors: AnchorMemory>: BaselineMemory {
  fileprivate var anchors: Anchors
  /// `[P][Q]`.
  fileprivate let shapes: [[Double]]

  package mutating func push(_ value: Double) { anchors.push(value) }

  package func forecast() -> BaselineForecast {
    let steps = anchors.anchors(shapes.count)
    return BaselineForecast(
      quantiles: zip(steps, shapes).map { step, shape in
        shape.map { step.location + step.scale * $0 }
      },
      mean: steps.map(\.mean))
  }
}

/// Standardized residuals of training, in order, one sample for each step ahead.
package struct ResidualQuantiles: Sendable {
  private var samples: [[Double]] = []
  /// Fewer residuals than this say nothing about a distribution.
  private static let fewest = 8
  /// More origins than this are thinned evenly: they cost time and add nothing.
  private static let mostOrigins = 4096

  /// The number of steps learned.
  package var horizon: Int { samples.count }

  /// Nothing learned yet.
  package init() {}

  /// Takes the residuals of `history` at the origins from `first` on.
  ///
  /// A step with fewer than 8 residuals borrows those of the last step that has enough; for a level,
  /// where errors add up, widened by the square root of the ratio of the steps. Throws when even the
  /// first step has too few.
  init(
    of history: [Double], from first: Int, task: ForecastTask, anchors: some AnchorMemory
  ) throws {
    var anchors = anchors
    let stride = max(1, max(0, history.count - first) / Self.mostOrigins)
    var found = [[Double]](repeating: [], count: task.horizon)
    for (origin, value) in history.enumerated() {
      if origin >= first, (origin - first) % stride == 0 {
        let steps = anchors.anchors(min(task.horizon, history.count - origin))
        for (step, anchor) in steps.enumerated() {
          let value = history[origin + step]
          guard value.isFinite else { continue }
          let error = value - anchor.location
          let residual = anchor.scale > 0 ? error / anchor.scale : error == 0 ? 0 : .nan
          if residual.isFinite { found[step].append(residual) }
        }
      }
      anchors.push(value)
    }
    for (index, sample) in found.enumerated() {
      if sample.count < Self.fewest {
        guard let last = samples.last else {
          throw RuleError.tooShort(found: sample.count, needed: first + Self.fewest)
        }
        let widening =
          task.measure == .level ? (Double(index + 1) / Double(index)).squareRoot() : 1
        samples.append(last.map { $0 * widening })
      } else {
        samples.append(sortedNumbers(sample))
      }
    }
  }

  /// Moves the residuals of each step so that their median is 0.
  mutating func center() {
    samples = samples.map { sample in
      let middle = quantile(ofSorted: sample, at: 0.5)
      return sample.map { $0 - middle }
    }
  }

  /// The quantiles of the residuals `step` ahead.
  func quantiles(step: Int, levels: [Double]) -> [Double] {
    levels.map { quantile(ofSorted: samples[step - 1], at: $0) }
  }

  /// The mean of the squared residuals `step` ahead.
  func meanSquare(step: Int) -> Double {
    samples[step - 1].reduce(0) { $0 + $1 * $1 } / Double(samples[step - 1].count)
  }
}
