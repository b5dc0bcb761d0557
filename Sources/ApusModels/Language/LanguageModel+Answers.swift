public import ApusNN
public import ApusTensor

extension LanguageModel {
  /// Mean cross-entropy where something is asked, with the backbone's auxiliary loss on top. The head
  /// sees those rows alone.
  ///
  /// - Parameters:
  ///   - tokens: Ids, `[B, T]`, in `0..<V`.
  ///   - rows: Which of the B · T tokens are asked for what follows, `[N]`.
  ///   - answers: What does, `[N]`.
  /// - Returns: A scalar, in nats per answer.
  public func loss(_ tokens: Tensor, rows: Tensor, answers: Tensor) -> Tensor {
    let output = backbone.output(embedded(tokens))
    return output.added(
      to: output.hidden.gathered(rows: rows).crossEntropy(
        head: head.value, bias: headBias?.value, targets: answers, logitScale: layout.logitScale,
        logitCap: layout.logitCap))
  }

  /// Logits after some of T further tokens. The head sees those rows alone, so that long sequences
  /// cost no memory for logits. Records nothing.
  ///
  /// - Parameters:
  ///   - tokens: Ids, `[B, T]`.
  ///   - rows: Which of the B · T tokens, `[N]`; nil or none for none.
  ///   - state: What earlier tokens left; advanced by T.
  /// - Returns: Logits, `[N, V]`; nil without rows.
  public func logits(
    _ tokens: Tensor, rows: Tensor?, state: inout BackboneState
  ) -> Tensor? {
    withoutGradient {
      let hidden = backbone(embedded(tokens), state: &state)
      guard let rows, rows.count > 0 else { return nil }
      return logits(ofHidden: hidden.gathered(rows: rows))
    }
  }
}
