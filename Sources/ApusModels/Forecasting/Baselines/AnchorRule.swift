/// Where a forecast distribution hangs: quantiles are `location + scale · q`.
package struct Anchor: Sendable {
  package var location: Double
  package var scale: Double
  /// The point forecast, which need not be the mean of the quantiles.
  package var mean: Double
}

/// A rule that says where and how wide; the shape comes from its own training residuals.
///
/// At every training origin the standardized residual of step h is
/// `z = (y - location) / scale`; a forecast is `location + scale · Q_h(z)`. For volatilities the
/// location is 0 and the scale the point forecast, so that errors act as factors and quantiles
/// stay positive.
package protocol AnchorRule: BaselineRule {
  /// The first origin, counted from the start of a series, that has all the values the rule wants.
  var warmUp: Int { get }
  /// What the residuals of training looked like; set by ``BaselineRule/learn(_:task:)``.
  var residuals: ResidualQuantiles { get set }
  /// Estimates the parameters, before residuals are taken.
  mutating func estimate(_ history: [Double], task: ForecastTask) throws
  /// Runs over the series once and returns the anchor for an origin and a step from 1.
  func anchors(of series: [Double], task: ForecastTask) -> (Int, Int) -> Anchor
}

extension AnchorRule {
  package mutating func learn(_ history: [Double], task: ForecastTask) throws {
    guard history.contains(where: \.isFinite) else { throw RuleError.tooShort(found: 0, needed: 9) }
    try estimate(history, task: task)
    let first = (history.firstIndex(where: \.isFinite) ?? 0) + 1
    residuals = try ResidualQuantiles(
      of: history, from: max(warmUp, first), task: task, anchors: anchors(of: history, task: task))
  }

  package func predict(_ series: [Double], origins: [Int], task: ForecastTask) throws
    -> [BaselineForecast]
  {
    guard task.horizon <= residuals.horizon else {
      throw RuleError.horizonTooLong(asked: task.horizon, fitted: residuals.horizon)
    }
    let anchor = anchors(of: series, task: task)
    let shapes = (1...task.horizon).map { residuals.quantiles(step: $0, levels: task.levels) }
    return origins.map { origin in
      let steps = (1...task.horizon).map { anchor(origin, $0) }
      return BaselineForecast(
        quantiles: zip(steps, shapes).map { step, shape in
          shape.map { step.location + step.scale * $0 }
        },
        mean: steps.map(\.mean))
    }
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
    of history: [Double], from first: Int, task: ForecastTask, anchors: (Int, Int) -> Anchor
  ) throws {
    let origins = max(0, history.count - first)
    let stride = max(1, origins / Self.mostOrigins)
    for step in 1...task.horizon {
      var sample: [Double] = []
      for origin in Swift.stride(from: first, through: history.count - step, by: stride) {
        let value = history[origin + step - 1]
        guard value.isFinite else { continue }
        let anchor = anchors(origin, step)
        let error = value - anchor.location
        let residual = anchor.scale > 0 ? error / anchor.scale : error == 0 ? 0 : .nan
        if residual.isFinite { sample.append(residual) }
      }
      if sample.count < Self.fewest {
        guard let last = samples.last else {
          throw RuleError.tooShort(found: sample.count, needed: first + Self.fewest)
        }
        let widening =
          task.measure == .level ? (Double(step) / Double(step - 1)).squareRoot() : 1
        samples.append(last.map { $0 * widening })
      } else {
        samples.append(sample.sorted())
      }
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
