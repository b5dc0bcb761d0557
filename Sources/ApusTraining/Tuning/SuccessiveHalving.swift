/// How a budget is spread over candidates of which the better half goes on, again and again.
///
/// All candidates train for a while; those with the lower validation loss go on from where they stand for as long
/// again, and half of these for twice as long, until one is left, which trains to its end. What the others took is
/// a part of the budget. Jamieson and Talwalkar, 2016, *Non-stochastic Best Arm Identification and
/// Hyperparameter Optimization*, arXiv:1502.07943, figure 3; with η = 2 it is a bracket of Li et al., 2018,
/// *Hyperband*, arXiv:1603.06560, algorithm 1.
public struct SuccessiveHalving: Sendable, Hashable {
  /// A stretch of training that some candidates make.
  public struct Rung: Sendable, Hashable {
    /// How many candidates train in it.
    public var entrants: Int
    /// Where it ends, as a share of the winner's training; 1 in the last.
    public var end: Double
  }

  /// The rungs, each with half the candidates of the one before, rounded up, and twice its end.
  public let rungs: [Rung]

  /// Plans a search.
  ///
  /// - Parameter candidates: How many are tried, at least 1.
  public init(candidates: Int) {
    var counts = [max(1, candidates)]
    while let last = counts.last, last > 1 { counts.append((last + 1) / 2) }
    rungs = counts.indices.map { rung in
      Rung(entrants: counts[rung], end: 1 / Double(1 << (counts.count - 1 - rung)))
    }
  }

  /// What all candidates take together, in trainings of the winner.
  public var cost: Double {
    zip(rungs, [0] + rungs.map(\.end)).reduce(0) { sum, pair in
      sum + Double(pair.0.entrants) * (pair.0.end - pair.1)
    }
  }

  /// What the winner's training may take, so that all candidates stay within a budget; at least a step.
  ///
  /// - Parameter total: The budget of all candidates together.
  /// - Returns: The budget by which each candidate is trained until it is given up.
  public func budget(within total: Budget) -> Budget {
    Budget(
      seconds: total.seconds.map { $0 / cost },
      steps: total.steps.map { total in
        let most = Int(Double(total) / cost)
        // Rungs end with whole steps, which may need a few more than their share.
        let fits = stride(from: most, to: 1, by: -1).first { steps(ofWinner: $0) <= total }
        return max(1, fits ?? 1)
      })
  }

  /// The steps of all candidates together where the winner makes so many.
  package func steps(ofWinner steps: Int) -> Int {
    let ends = rungs.map { Int((Double(steps) * $0.end).rounded(.up)) }
    return zip(rungs, zip(ends, [0] + ends)).reduce(0) { sum, pair in
      sum + pair.0.entrants * (pair.1.0 - pair.1.1)
    }
  }
}
