import ApusTensor
import Foundation

/// A learning rate and a size that a model may be trained with.
package struct TuningCandidate: Hashable {
  /// The peak of the learning rate.
  package var learningRate: Double
  /// Width of the backbone; nil where a configuration decides it.
  package var width: Int?
  /// Layers of the backbone as their option counts them; nil where a configuration decides them.
  package var layers: Int?

  /// Creates one.
  package init(learningRate: Double, width: Int? = nil, layers: Int? = nil) {
    (self.learningRate, self.width, self.layers) = (learningRate, width, layers)
  }
}

/// What the candidates of a model are drawn from: what nobody has decided.
package struct TuningSpace {
  /// What is trained without a search.
  package private(set) var usual: TuningCandidate
  /// What is searched for.
  private var (searchesRate, searchesWidth, searchesLayers) = (true, true, true)

  /// The most by which a learning rate is multiplied or divided.
  package static let rateRange = 4.0

  /// What is left open for a model.
  ///
  /// - Parameters:
  ///   - choice: The model; of one with a configuration only the rate is.
  ///   - rate: The learning rate that is trained with where none is given.
  ///   - size: Width and layers where none are given, as their options count them.
  ///   - given: What a person has decided.
  /// - Throws: ``TuningError/nothingToSearch``.
  package init(
    _ choice: ModelChoice, rate: Double, size: (width: Int, layers: Int),
    given: (learningRate: Double?, width: Int?, layers: Int?)
  ) throws {
    usual = TuningCandidate(
      learningRate: given.learningRate ?? rate, width: given.width, layers: given.layers)
    searchesRate = given.learningRate == nil
    (searchesWidth, searchesLayers) = (false, false)
    if case .architecture = choice {
      (searchesWidth, searchesLayers) = (given.width == nil, given.layers == nil)
      usual.width = usual.width ?? size.width
      usual.layers = usual.layers ?? size.layers
    }
    guard searchesRate || searchesWidth || searchesLayers else {
      throw TuningError.nothingToSearch
    }
  }

  /// Draws candidates.
  ///
  /// The first is what is trained without a search. The rates of the others are spread evenly over the logarithm,
  /// one to each part of its range, and so are half, twice and once the width and the layers, each in an order of
  /// its own (McKay, Beckman and Conover, 1979, *A Comparison of Three Methods for Selecting Values of Input
  /// Variables*).
  ///
  /// - Parameters:
  ///   - count: How many, the first included.
  ///   - seed: Decides them.
  /// - Returns: The candidates, none twice: fewer where so many cannot differ.
  package func candidates(_ count: Int, seed: UInt64) -> [TuningCandidate] {
    var draw = PhiloxGenerator(RandomKey(seed: seed, stream: 0x7475_6e65))
    let others = max(0, count - 1)
    let rates = (0..<others).shuffled(using: &draw)
    let factors = (0..<others).map { [0.5, 2, 1][$0 % 3] }
    let (widths, depths) = (factors.shuffled(using: &draw), factors.shuffled(using: &draw))
    var found = [usual]
    for number in 0..<others {
      var candidate = usual
      if searchesRate {
        let within = Double.random(in: 0..<1, using: &draw)
        let place = (Double(rates[number]) + within) / Double(others)
        candidate.learningRate = Self.rounded(
          usual.learningRate * pow(Self.rateRange, 2 * place - 1))
      }
      if searchesWidth {
        candidate.width = usual.width.map { max(1, Int(Double($0) * widths[number])) }
      }
      if searchesLayers {
        candidate.layers = usual.layers.map { max(1, Int(Double($0) * depths[number])) }
      }
      if !found.contains(candidate) { found.append(candidate) }
    }
    return found
  }

  /// Three significant digits, which are enough to be told and typed again.
  private static func rounded(_ rate: Double) -> Double {
    Double(String(format: "%.3g", rate)) ?? rate
  }
}
