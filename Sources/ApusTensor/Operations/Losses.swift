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
  ///   - logitCap: Bends the scaled logits into ±this, by `cap · tanh(logit / cap)`; nil leaves them.
  /// - Returns: A scalar, in nats per token that counts; 0 when none does.
  public func crossEntropy(
    head: Tensor, bias: Tensor? = nil, targets: Tensor, logitScale: Float = 1,
    logitCap: Float? = nil
  ) -> Tensor {
    let (vocabulary, features, rows) = (head.shape[0], head.shape[1], targets.count)
    let valid = checkedTargets(targets, below: vocabulary)
    let records = Tensor.records(self, head, bias)
    let bf16 = Arithmetic.current.products == .bfloat16
    func gradient(of input: Tensor?) -> Tensor? {
      records && input?.isTracked == true ? input.map { Tensor(uninitialized: $0.shape) } : nil
    }
    let (dhidden, dhead, dbias) = (gradient(of: self), gradient(of: head), gradient(of: bias))
    let losses = Tensor(uninitialized: [rows])
    let gradientScale = records && valid > 0 ? logitScale / Float(valid) : 0
    eachBlockOfLogits(head, bias, rows: rows, logitScale, logitCap) { logits, bend, start, count in
      withPointers(logits.out, losses.out.from(start), targets.ints.from(start)) {
        apus_cross_entropy_f32($0, $1, $2, count, vocabulary, gradientScale)
      }
      if let bend, records {
        withPointers(logits.out, bend) {
          apus_activation_backward_f32($0, $0, $1, count * vocabulary, APUS_TANH)
        }
      }
      if let dhidden {
        product(
          dhidden.out.from(start * features), logits.input, head.input, rows: count,
          columns: features, inner: vocabulary, aStride: vocabulary, bStride: features,
          cStride: features, bf16: bf16)
      }
      if let dhead {
        product(
          dhead.out, logits.input, input.from(start * features), rows: vocabulary,
          columns: features, inner: count, aStride: vocabulary, bStride: features,
          cStride: features, transposeA: true, accumulate: start > 0, bf16: bf16)
      }
      withPointers(dbias?.out, logits) { dbias, logits in
        guard let dbias else { return }
        apus_column_sum_f32(dbias, logits, count, vocabulary, vocabulary, start > 0 ? 1 : 0)
      }
    }
    let loss = meanLoss(losses, of: Double(valid))
    guard records else { return loss }
    return loss.tracked(from: [self, head, bias]) { upstream in
      [dhidden, dhead, dbias].map { valid == 0 ? nil : $0.map { timesScalar($0, upstream) } }
    }
  }

  /// The cross-entropy of each row, untracked, with the logits a block of rows at a time as in
  /// ``crossEntropy(head:bias:targets:logitScale:logitCap:)``.
  ///
  /// - Returns: One loss per target, in nats; 0 where the target is negative.
  public func crossEntropies(
    head: Tensor, bias: Tensor? = nil, targets: Tensor, logitScale: Float = 1,
    logitCap: Float? = nil
  ) -> [Float] {
    let (vocabulary, rows) = (head.shape[0], targets.count)
    _ = checkedTargets(targets, below: vocabulary)
    let losses = Tensor(uninitialized: [rows])
    eachBlockOfLogits(head, bias, rows: rows, logitScale, logitCap) { logits, _, start, count in
      withPointers(logits.out, losses.out.from(start), targets.ints.from(start)) {
        apus_cross_entropy_f32($0, $1, $2, count, vocabulary, 0)
      }
    }
    return losses.values
  }

  /// Calls `body` with the logits of one block of rows after the other, `[count, V]` of the rows from
  /// `start` on, always in the same memory; with a cap also with `bend`, of which they are
  /// `cap · tanh`.
  private func eachBlockOfLogits(
    _ head: Tensor, _ bias: Tensor?, rows: Int, _ scale: Float, _ cap: Float?,
    _ body: (_ logits: Tensor, _ bend: Tensor?, _ start: Int, _ count: Int) -> Void
  ) {
    let (vocabulary, features) = (head.shape[0], head.shape[1])
    ensure(
      self.count == rows * features && bias?.count ?? vocabulary == vocabulary,
      "crossEntropy: hidden \(shape), head \(head.shape), \(rows) targets")
    // About 8 MB, a function of the vocabulary alone.
    let most = max(64, min(2048, 2_097_152 / max(vocabulary, 1) / 64 * 64))
    let block = max(1, min(rows, most))
    let logits = Tensor(uninitialized: [block, vocabulary])
    let bend = cap.map { _ in Tensor(uninitialized: logits.shape) }
    for start in stride(from: 0, to: rows, by: block) {
      let count = min(block, rows - start)
      product(
        logits.out, input.from(start * features), head.input, bias: bias, rows: count,
        columns: vocabulary, inner: features, aStride: features, bStride: features,
        cStride: vocabulary, transposeB: true, bf16: Arithmetic.current.products == .bfloat16)
      if scale != 1 {
        withPointers(logits.out) { apus_scale_f32($0, $0, scale, count * vocabulary) }
      }
      if let bend, let cap {
        withPointers(logits.out, bend.out) {
          apus_scale_f32($1, $0, 1 / cap, count * vocabulary)
          apus_activation_f32($0, $1, count * vocabulary, APUS_TANH)
          apus_scale_f32($0, $0, cap, count * vocabulary)
        }
      }
      body(logits, bend, start, count)
    }
  }

  /// Mean cross-entropy of logits in memory, for heads that are more than a product.
  ///
  /// The tensor is `[..., V]`.
  /// - Parameter targets: Integers below V, one per row; a negative one is left out.
  /// - Returns: A scalar, in nats per target that counts; 0 when none does.
  public func crossEntropy(targets: Tensor) -> Tensor {
    let rows = targets.count
    ensure(shape.rows == rows, "crossEntropy: logits \(shape), targets \(targets.shape)")
    let valid = checkedTargets(targets, below: shape.last)
    let records = Tensor.records(self)
    let dlogits = records ? copied() : self
    let losses = Tensor(uninitialized: [rows])
    let gradientScale = records && valid > 0 ? 1 / Float(valid) : 0
    dlogits.writeLosses(losses, targets, gradientScale: gradientScale)
    let loss = meanLoss(losses, of: Double(valid))
    guard records else { return loss }
    return loss.tracked(from: [self]) { [valid == 0 ? nil : timesScalar(dlogits, $0)] }
  }

  /// The cross-entropy of each row of logits in memory, untracked.
  ///
  /// The tensor is `[..., V]`; left as they are.
  /// - Parameter targets: Integers below V, one per row; a negative one is left out.
  /// - Returns: One loss per target, in nats; 0 where the target is negative.
  public func crossEntropies(targets: Tensor) -> [Float] {
    ensure(
      shape.rows == targets.count, "crossEntropies: logits \(shape), targets \(targets.shape)")
    _ = checkedTargets(targets, below: shape.last)
    let losses = Tensor(uninitialized: [targets.count])
    writeLosses(losses, targets, gradientScale: 0)
    return losses.values
  }

  /// −ln p of each row's target. With a scale other than 0 these logits, freshly made, become their
  /// gradient.
  private func writeLosses(_ losses: Tensor, _ targets: Tensor, gradientScale: Float) {
    withPointers(self, losses.out, targets.ints) {
      apus_cross_entropy_f32(
        UnsafeMutablePointer(mutating: $0), $1, $2, targets.count, shape.last, gradientScale)
    }
  }

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
    ensure(
      count == rows * width && weights?.count ?? rows == rows,
      "pinballLoss: outputs \(shape), \(rows) targets, \(width) levels")
    let quantiles = monotoneQuantiles(count: width)
    let records = Tensor.records(self)
    let dquantiles = records ? Tensor(uninitialized: [rows, width]) : nil
    let losses = Tensor(uninitialized: [rows])
    let total = withPointers(losses.out, dquantiles?.out, quantiles, targets, weights) {
      apus_pinball_f32($0, $1, $2, $3, $4, levels, rows, width)
      return $4.map { apus_sum_f32($0, rows) } ?? Double(rows)
    }
    let loss = meanLoss(losses, of: total)
    guard records, let dquantiles else { return loss }
    let saved = detached()
    return loss.tracked(from: [self]) { upstream in
      let dx = Tensor(uninitialized: saved.shape)
      let scale = total > 0 ? upstream.scalar / Float(total) : 0
      withPointers(dx.out, dquantiles, saved) {
        apus_monotone_quantiles_backward_f32($0, $1, $2, rows, width)
        apus_scale_f32($0, $0, scale, dx.count)
      }
      return [dx]
    }
  }

  /// Quantiles from a forecaster's free outputs, `[rows, Q]`, ascending in each row.
  public func monotoneQuantiles(count levels: Int) -> Tensor {
    ensure(count % levels == 0, "monotoneQuantiles: \(shape) by \(levels)")
    let quantiles = Tensor(uninitialized: shape)
    withPointers(quantiles.out, self) {
      apus_monotone_quantiles_f32($0, $1, count / levels, levels)
    }
    return quantiles
  }
}

/// How many targets count, those that are not negative; none may lie past the vocabulary.
private func checkedTargets(_ targets: Tensor, below vocabulary: Int) -> Int {
  withPointers(targets.ints, in: "crossEntropy") { ids in
    UnsafeBufferPointer(start: ids, count: targets.count).count { id in
      ensure(id < vocabulary, "crossEntropy: target \(id) of \(vocabulary)")
      return id >= 0
    }
  }
}

/// The sum of `losses` over `weight`, 0 where that is 0.
private func meanLoss(_ losses: Tensor, of weight: Double) -> Tensor {
  let sum = withPointers(losses) { apus_sum_f32($0, losses.count) }
  return Tensor(weight > 0 ? Float(sum / weight) : 0)
}

/// `x` times the single element of `scalar`; x itself when that is 1.
private func timesScalar(_ x: Tensor, _ scalar: Tensor) -> Tensor {
  let factor = scalar.scalar
  return factor == 1 ? x : x.detached() * factor
}
