import CApusKernels

extension Tensor {
  /// Mean cross-entropy of the next token, straight from the hidden states: the logits
  /// `[B, T, V]` are stored a block of rows at a time only.
  ///
  /// The tensor is `[..., D]`.
  /// - Parameters:
  ///   - head: `[V, D]`.
  ///   - bias: Added to the logits, `[V]`, or nil.
  ///   - targets: Integers, one per row of `hidden`; a negative one is left out. The others must lie
  ///     in `0..<V`.
  ///   - logitScale: Multiplies the logits, bias included.
  /// - Returns: A scalar, in nats per token that counts; 0 when none does.
  public func crossEntropy(
    head: Tensor, bias: Tensor? = nil, targets: Tensor, logitScale: Float = 1
  ) -> Tensor {
    let (vocabulary, features) = (head.shape[0], head.shape[1])
    let rows = targets.count
    precondition(
      self.count == rows * features && bias.map { $0.count == vocabulary } ?? true,
      "crossEntropy: hidden \(shape), head \(head.shape), targets \(targets.shape)")
    let ids = UnsafeBufferPointer(start: targets.ints, count: rows)
    var valid = 0
    for id in ids {
      precondition(id < vocabulary, "crossEntropy: target \(id) of \(vocabulary)")
      if id >= 0 { valid += 1 }
    }
    let records = Tensor.records(self, head, bias ?? head)
    let bf16 = Arithmetic.current.products == .bfloat16
    let dhidden = records && isTracked ? Tensor(uninitialized: shape) : nil
    let dhead = records && head.isTracked ? Tensor(uninitialized: head.shape) : nil
    let dbias =
      records ? bias.flatMap { $0.isTracked ? Tensor(uninitialized: $0.shape) : nil } : nil
    let losses = Tensor(uninitialized: [rows])
    let block = max(1, min(rows, crossEntropyRows(vocabulary: vocabulary)))
    let logits = Tensor(uninitialized: [block, vocabulary])
    let gradientScale = records && valid > 0 ? logitScale / Float(valid) : 0
    for start in stride(from: 0, to: rows, by: block) {
      let count = min(block, rows - start)
      let x = floats + start * features
      product(
        logits.floats, x, head.floats, bias: bias?.floats, rows: count, columns: vocabulary,
        inner: features, aStride: features, bStride: features, cStride: vocabulary,
        transposeB: true,
        bf16: bf16)
      if logitScale != 1 {
        apus_scale_f32(logits.floats, logits.floats, logitScale, count * vocabulary)
      }
      apus_cross_entropy_f32(
        logits.floats, losses.floats + start, targets.ints + start, count, vocabulary, gradientScale
      )
      if let dhidden {
        product(
          dhidden.floats + start * features, logits.floats, head.floats, rows: count,
          columns: features, inner: vocabulary, aStride: vocabulary, bStride: features,
          cStride: features, bf16: bf16)
      }
      if let dhead {
        product(
          dhead.floats, logits.floats, x, rows: vocabulary, columns: features, inner: count,
          aStride: vocabulary, bStride: features, cStride: features, transposeA: true,
          accumulate: start > 0, bf16: bf16)
      }
      if let dbias {
        apus_column_sum_f32(
          dbias.floats, logits.floats, count, vocabulary, vocabulary, start > 0 ? 1 : 0)
      }
    }
    let loss = Tensor(valid == 0 ? 0 : Float(apus_sum_f32(losses.floats, rows) / Double(valid)))
    withExtendedLifetime((self, head, bias, targets, logits, losses)) {}
    guard records else { return loss }
    let inputs = [self, head] + (bias.map { [$0] } ?? [])
    if valid == 0 { return loss.tracked(from: inputs) { _ in inputs.map { _ in nil } } }
    return loss.tracked(from: inputs) { upstream in
      [dhidden, dhead, dbias].map { $0.map { timesScalar($0, upstream) } }
    }
  }

  /// The cross-entropy of each row, untracked, with the logits a block of rows at a time as in
  /// ``crossEntropy(head:bias:targets:logitScale:)``.
  ///
  /// - Returns: One loss per target, in nats; 0 where the target is negative.
  public func crossEntropies(
    head: Tensor, bias: Tensor? = nil, targets: Tensor, logitScale: Float = 1
  ) -> [Float] {
    let (vocabulary, features, rows) = (head.shape[0], head.shape[1], targets.count)
    precondition(
      self.count == rows * features && bias.map { $0.count == vocabulary } ?? true,
      "crossEntropies: hidden \(shape), head \(head.shape), targets \(targets.shape)")
    precondition(
      targets.integers.allSatisfy { $0 < vocabulary },
      "crossEntropies: a target is above \(vocabulary)")
    let bf16 = Arithmetic.current.products == .bfloat16
    let losses = Tensor(uninitialized: [rows])
    let block = max(1, min(rows, crossEntropyRows(vocabulary: vocabulary)))
    let logits = Tensor(uninitialized: [block, vocabulary])
    for start in stride(from: 0, to: rows, by: block) {
      let count = min(block, rows - start)
      product(
        logits.floats, floats + start * features, head.floats, bias: bias?.floats, rows: count,
        columns: vocabulary, inner: features, aStride: features, bStride: features,
        cStride: vocabulary, transposeB: true, bf16: bf16)
      if logitScale != 1 {
        apus_scale_f32(logits.floats, logits.floats, logitScale, count * vocabulary)
      }
      apus_cross_entropy_f32(
        logits.floats, losses.floats + start, targets.ints + start, count, vocabulary, 0)
    }
    withExtendedLifetime((logits, bias)) {}
    return losses.values
  }

  /// Mean cross-entropy of logits in memory, for heads that are more than a product.
  ///
  /// The tensor is `[..., V]`.
  /// - Parameter targets: Integers below V, one per row; a negative one is left out.
  /// - Returns: A scalar, in nats per target that counts; 0 when none does.
  public func crossEntropy(targets: Tensor) -> Tensor {
    let (vocabulary, rows) = (shape.last, targets.count)
    let ids = targets.integers
    precondition(
      shape.rows == rows && ids.allSatisfy { $0 < vocabulary },
      "crossEntropy: logits \(shape), targets \(targets.shape)")
    let valid = ids.count { $0 >= 0 }
    let records = Tensor.records(self)
    let dlogits = records ? copied() : self
    let losses = Tensor(uninitialized: [rows])
    apus_cross_entropy_f32(
      dlogits.floats, losses.floats, targets.ints, rows, vocabulary,
      records && valid > 0 ? 1 / Float(valid) : 0)
    let loss = Tensor(valid == 0 ? 0 : Float(apus_sum_f32(losses.floats, rows) / Double(valid)))
    withExtendedLifetime((self, dlogits, targets, losses)) {}
    guard records else { return loss }
    return loss.tracked(from: [self]) { [valid == 0 ? nil : timesScalar(dlogits, $0)] }
  }

  /// The cross-entropy of each row of logits in memory, untracked.
  ///
  /// The tensor is `[..., V]`; left as they are.
  /// - Parameter targets: Integers below V, one per row; a negative one is left out.
  /// - Returns: One loss per target, in nats; 0 where the target is negative.
  public func crossEntropies(targets: Tensor) -> [Float] {
    let (vocabulary, rows) = (shape.last, targets.count)
    precondition(
      shape.rows == rows && targets.integers.allSatisfy { $0 < vocabulary },
      "crossEntropies: logits \(shape), targets \(targets.shape)")
    let losses = Tensor(uninitialized: [rows])
    apus_cross_entropy_f32(
      floats, losses.floats, targets.ints, rows, vocabulary, 0)
    withExtendedLifetime((self, targets)) {}
    return losses.values
  }
}

/// Rows of logits held at once: about 8 MB, a function of the vocabulary alone.
private func crossEntropyRows(vocabulary: Int) -> Int {
  max(64, min(2048, 2_097_152 / max(vocabulary, 1) / 64 * 64))
}

extension Tensor {
  /// Mean pinball loss of monotone quantiles, with both as one node.
  ///
  /// The free outputs are made monotone around the median: `q_m = x_m`, and outwards by softplus
  /// steps. Koenker and Bassett, 1978, *Regression Quantiles*.
  /// The tensor is `[rows, Q]`, any leading axes.
  /// - Parameters:
  ///   - targets: One per row.
  ///   - levels: The Q quantile levels, ascending in (0, 1).
  ///   - weights: One per row; 0 leaves the row out whatever its target holds. Nil: all ones.
  /// - Returns: A scalar: the weighted mean over rows of the mean over levels.
  public func pinballLoss(targets: Tensor, levels: [Float], weights: Tensor? = nil) -> Tensor {
    let (width, rows) = (levels.count, targets.count)
    precondition(
      count == rows * width && weights.map { $0.count == rows } ?? true,
      "pinballLoss: outputs \(shape), \(rows) targets, \(width) levels")
    let quantiles = Tensor(uninitialized: [rows, width])
    apus_monotone_quantiles_f32(quantiles.floats, floats, rows, width)
    let records = Tensor.records(self)
    let dquantiles = records ? Tensor(uninitialized: [rows, width]) : nil
    let losses = Tensor(uninitialized: [rows])
    apus_pinball_f32(
      losses.floats, dquantiles?.floats, quantiles.floats, targets.floats, weights?.floats, levels,
      rows, width)
    let total = weights.map { apus_sum_f32($0.floats, rows) } ?? Double(rows)
    let loss = Tensor(total > 0 ? Float(apus_sum_f32(losses.floats, rows) / total) : 0)
    withExtendedLifetime((targets, weights, quantiles, losses)) {}
    guard records, let dquantiles else { return loss }
    let saved = detached()
    return loss.tracked(from: [self]) { upstream in
      let dx = Tensor(uninitialized: saved.shape)
      apus_monotone_quantiles_backward_f32(
        dx.floats, dquantiles.floats, saved.floats, rows, width)
      apus_scale_f32(
        dx.floats, dx.floats, total > 0 ? upstream.floats[0] / Float(total) : 0, dx.count)
      withExtendedLifetime((saved, dquantiles, upstream)) {}
      return [dx]
    }
  }

  /// Quantiles from a forecaster's free outputs, `[rows, Q]`, ascending in each row.
  public func monotoneQuantiles(count levels: Int) -> Tensor {
    precondition(count % levels == 0, "monotoneQuantiles: \(shape) by \(levels)")
    let quantiles = Tensor(uninitialized: shape)
    apus_monotone_quantiles_f32(
      quantiles.floats, floats, count / levels, levels)
    withExtendedLifetime(self) {}
    return quantiles
  }
}

/// `x` times the single element of `scalar`; x itself when that is 1.
private func timesScalar(_ x: Tensor, _ scalar: Tensor) -> Tensor {
  let factor = scalar.floats[0]
  return factor == 1 ? x : x.detached() * factor
}
