import Foundation

/// The learning rate over a run: a linear rise, then a fall to a floor.
///
/// A schedule sees how far a run is, by steps or by time alike, so that it ends where the budget
/// ends.
public struct Schedule: Codable, Hashable, Sendable {
  /// The shape of the fall.
  public enum Decay: String, Codable, CaseIterable, Sendable {
    /// No fall.
    case constant
    /// A straight line to the floor.
    case linear
    /// Half a cosine to the floor. Loshchilov and Hutter, 2016, *SGDR*, arXiv:1608.03983, equation 5.
    case cosine
    /// By 1/√step after the rise, never under the floor. Vaswani et al., 2017, *Attention Is All You
    /// Need*, arXiv:1706.03762, equation 3.
    case inverseSquareRoot
  }

  /// How long the rise lasts.
  public enum Warmup: Codable, Hashable, Sendable {
    /// This many steps.
    case steps(Int)
    /// This share of the budget, in 0..<1.
    case share(Double)
  }

  /// The shape of the fall; by default half a cosine.
  public var decay = Decay.cosine
  /// The highest rate, at the end of the rise; by default 0.001.
  public var peak = 1e-3
  /// The rate at the end; by default a tenth of the default peak.
  public var floor = 1e-4
  /// The rise; by default the first twentieth of the budget.
  public var warmup = Warmup.share(0.05)

  /// Creates the default schedule.
  public init() {}

  /// Creates a schedule.
  public init(
    decay: Decay = .cosine, peak: Double = 1e-3, floor: Double = 1e-4,
    warmup: Warmup = .share(0.05)
  ) {
    self.decay = decay
    self.peak = peak
    self.floor = floor
    self.warmup = warmup
  }

  /// Half a cosine down to a twentieth of its peak, after a rise within a twentieth of the budget.
  static func cosine(peak: Double) -> Schedule { Schedule(peak: peak, floor: peak / 20) }

  /// The learning rate of one step.
  ///
  /// - Parameters:
  ///   - step: The step about to be made, from 0.
  ///   - share: How much of the budget is spent, 0...1: steps over all steps, or seconds over all
  ///     seconds.
  ///   - totalSteps: All steps, where the budget is in steps; makes a rise given as a share exact.
  /// - Returns: What the optimizer is to multiply its step by.
  public func learningRate(step: Int, share: Double, totalSteps: Int? = nil) -> Double {
    let rise: (done: Double, share: Double)
    switch (warmup, totalSteps) {
    case (.steps(let steps), let total):
      rise = (ratio(step + 1, steps), total.map { ratio(steps, $0) } ?? 0)
    case (.share(let part), let total?):
      let steps = Int((part * Double(total)).rounded())
      rise = (ratio(step + 1, steps), ratio(steps, total))
    case (.share(let part), nil):
      // By time the first step stands at 0; it shall not be lost.
      rise = (part > 0 ? min(1, max(share / part, 0.01)) : 1, part)
    }
    return rise.done * falling(step: step, share: share, riseShare: rise.share)
  }

  private func falling(step: Int, share: Double, riseShare: Double) -> Double {
    let position = min(1, max(0, (share - riseShare) / max(1 - riseShare, 1e-9)))
    switch decay {
    case .constant: return peak
    case .linear: return floor + (peak - floor) * (1 - position)
    case .cosine: return floor + (peak - floor) * 0.5 * (1 + cos(.pi * position))
    case .inverseSquareRoot:
      if case .steps(let steps) = warmup, steps > 0 {
        return max(floor, peak * (Double(steps) / Double(max(step + 1, steps))).squareRoot())
      }
      let start = max(riseShare, 0.01)
      return max(floor, peak * (start / max(share, start)).squareRoot())
    }
  }

  /// `part / whole`, at most 1; 1 for an empty whole.
  private func ratio(_ part: Int, _ whole: Int) -> Double {
    whole > 0 ? min(1, Double(part) / Double(whole)) : 1
  }
}
