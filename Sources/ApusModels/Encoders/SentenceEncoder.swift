public import ApusTensor

/// One vector for a sentence: the hidden states of an encoder, pooled and brought to length one, so
/// that the product of two vectors is the cosine of their angle.
///
/// Reimers and Gurevych, 2019, *Sentence-BERT*, arXiv:1908.10084.
public struct SentenceEncoder {
  /// The pooling of the hidden states.
  public enum Pooling: String, Sendable, Codable {
    /// The mean over all tokens, `[CLS]` and `[SEP]` included.
    case mean
    /// The state of the first token.
    case firstToken
  }

  /// The encoder.
  public let encoder: Bert
  /// The pooling of the hidden states.
  public let pooling: Pooling
  /// Whether vectors are brought to length one.
  public let isNormalized: Bool

  /// The length of a vector, D.
  public var dimensions: Int { encoder.config.hiddenSize }

  /// Puts the parts together.
  public init(encoder: Bert, pooling: Pooling = .mean, isNormalized: Bool = true) {
    self.encoder = encoder
    self.pooling = pooling
    self.isNormalized = isNormalized
  }

  /// One vector per sequence, differentiably.
  ///
  /// - Parameter tokens: The sequences, with their `[CLS]` and `[SEP]`.
  /// - Returns: `[sequences, D]`. It does not depend on what else is in the batch but for rounding.
  public func callAsFunction(_ tokens: PackedTokens) -> Tensor {
    let hidden = encoder.hidden(tokens)
    let vectors =
      switch pooling {
      case .mean: hidden.rowMean(lengths: tokens.lengths)
      case .firstToken: Tensor(tokens.starts, [tokens.lengths.count]).embedded(in: hidden)
      }
    guard isNormalized else { return vectors }
    // x/|x| is the root-mean-square norm with all gains 1/√D.
    let gain = 1 / Float(dimensions).squareRoot()
    return vectors.rmsNorm(weight: Tensor(repeating: gain, [dimensions]), epsilon: 1e-24)
  }
}
