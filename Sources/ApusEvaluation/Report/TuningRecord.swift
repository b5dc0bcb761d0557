/// The search for a learning rate and a size of one model: what was tried, how far it came, and what was kept.
public struct TuningRecord: Codable, Sendable, Equatable {
  /// One learning rate and size.
  public struct Candidate: Codable, Sendable, Equatable {
    /// The peak of the learning rate.
    public var learningRate: Double
    /// Width of the backbone; nil where a configuration decides it.
    public var width: Int?
    /// Layers of the backbone as its option counts them; nil where a configuration decides it.
    public var layers: Int?
    /// The best validation loss by the end of each rung that it trained in; nil where it had none.
    public var losses: [Double?] = []
    /// Steps of the optimizer.
    public var steps = 0
    /// Wall seconds.
    public var seconds = 0.0
    /// Why it could not go on, where that was not for its loss.
    public var message: String?

    /// Creates a candidate that has not been trained yet.
    public init(learningRate: Double, width: Int?, layers: Int?) {
      (self.learningRate, self.width, self.layers) = (learningRate, width, layers)
    }

    /// The candidate in words, such as "learning rate 0.004, width 32, 2 layers".
    public var words: String {
      (["learning rate \(String(learningRate))"]
        + [
          width.map { "width \($0)" }, layers.map { "\($0) layer\($0 == 1 ? "" : "s")" },
        ].compactMap(\.self)).joined(separator: ", ")
    }
  }

  /// All that were tried, the usual one first.
  public var candidates: [Candidate]
  /// Which of them was kept; nil where none could be trained.
  public var kept: Int?
  /// How many rungs there were.
  public var rungs: Int

  /// Creates the record of a search that has not begun.
  public init(_ candidates: [Candidate], rungs: Int) {
    (self.candidates, self.rungs, kept) = (candidates, rungs, nil)
  }

  /// The one that was kept.
  public var keptCandidate: Candidate? {
    kept.flatMap { candidates.indices.contains($0) ? candidates[$0] : nil }
  }

  /// Seconds and steps of those that were given up.
  public var givenUp: (seconds: Double, steps: Int) {
    candidates.indices.filter { $0 != kept }.reduce((0, 0)) { sum, place in
      (sum.0 + candidates[place].seconds, sum.1 + candidates[place].steps)
    }
  }

  /// The search in a sentence.
  ///
  /// - Parameter name: The model.
  /// - Returns: The sentence; nil where nothing was kept.
  public func sentence(_ name: String) -> String? {
    guard let kept, let winner = keptCandidate, let usual = candidates.first else { return nil }
    let cost = givenUp
    let end =
      kept == 0
      ? "the usual one was kept: \(winner.words)"
      : "\(winner.words) was kept, and the usual one (\(usual.words)) was given up in round "
        + "\(max(1, usual.losses.count)) of \(rungs)"
    return """
      Of \(candidates.count) learning rates and sizes of \(name), tried within its budget by successive halving, \
      \(end); what was given up took \(cost.steps) steps and \(Figures.fixed(cost.seconds, 1)) s of it.
      """
  }
}
