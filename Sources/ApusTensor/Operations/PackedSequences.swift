import CApusKernels

extension Tensor {
  /// Exact attention among the tokens of each sequence, where sequences of different lengths lie one
  /// after the other: there is no padding, so nothing can depend on it.
  ///
  /// The tensor is `[N, (H + 2 · H_kv) · K]`: queries, keys, values of each token of all sequences.
  /// - Parameters:
  ///   - lengths: Tokens of each sequence, at least one each; N together.
  ///   - layout: Heads, window, scale; usually not causal.
  /// - Returns: `[N, H · K]`.
  public func attention(lengths: [Int], layout: AttentionLayout) -> Tensor {
    let (rows, width) = (self.shape[0], self.shape[1])
    ensure(
      width == layout.fusedSize && lengths.allSatisfy { $0 > 0 } && lengths.reduce(0, +) == rows,
      "attention: rows of \(self.shape) for sequences of \(lengths.reduce(0, +)) tokens")
    let runs = Run.all(lengths)
    let (queries, keys) = (layout.heads * layout.headSize, layout.keyValueHeads * layout.headSize)
    func shape(_ run: Run) -> apus_attention_shape {
      layout.shape(
        batch: run.count, queries: run.length, keys: run.length, qStride: width, kStride: width,
        qBatch: run.length * width, kBatch: run.length * width)
    }
    let o = Tensor(uninitialized: [rows, queries])
    let records = Tensor.records(self)
    let lse = records ? Tensor(uninitialized: [rows, layout.heads]) : nil
    withPointers(o.out, lse?.out, self) { o, lse, fused in
      for run in runs {
        var shape = shape(run)
        let q = fused + run.start * width
        apus_attention_f32(
          o + run.start * queries, lse.map { $0 + run.start * layout.heads }, q, q + queries,
          q + queries + keys, &shape)
      }
    }
    guard records, let lse else { return o }
    let (saved, savedO) = (detached(), o.detached())
    return o.tracked(from: [self]) { dout in
      let d = Tensor(uninitialized: saved.shape)
      withPointers(d.out, dout, saved, savedO, lse) { d, dout, fused, o, lse in
        for run in runs {
          var shape = shape(run)
          let (dq, q) = (d + run.start * width, fused + run.start * width)
          apus_attention_backward_f32(
            dq, dq + queries, dq + queries + keys, dout + run.start * queries, q, q + queries,
            q + queries + keys, o + run.start * queries, lse + run.start * layout.heads, &shape)
        }
      }
      return [d]
    }
  }

  /// The mean of the rows of each sequence, where sequences lie one after the other.
  ///
  /// The tensor is `[N, D]`.
  /// - Parameter lengths: Rows of each sequence, at least one each; N together.
  /// - Returns: `[sequences, D]`.
  public func rowMean(lengths: [Int]) -> Tensor {
    let (rows, width) = (shape[0], shape[1])
    ensure(
      lengths.allSatisfy { $0 > 0 } && lengths.reduce(0, +) == rows,
      "meanOfRows: \(shape) for sequences of \(lengths.reduce(0, +)) rows")
    let y = Tensor(uninitialized: [lengths.count, width])
    withPointers(y.out, self) { y, x in
      var start = 0
      for (index, length) in lengths.enumerated() {
        let mean = y + index * width
        apus_column_sum_f32(mean, x + start * width, length, width, width, 0)
        apus_scale_f32(mean, mean, 1 / Float(length), width)
        start += length
      }
    }
    guard Tensor.records(self) else { return y }
    return y.tracked(from: [self]) { dy in
      let dx = Tensor(uninitialized: [rows, width])
      withPointers(dx.out, dy) { dx, dy in
        var start = 0
        for (index, length) in lengths.enumerated() {
          for row in start..<start + length {
            apus_scale_f32(dx + row * width, dy + index * width, 1 / Float(length), width)
          }
          start += length
        }
      }
      return [dx]
    }
  }
}

/// Neighbouring sequences of one length: the kernel takes them at once.
private struct Run {
  let start: Int  // in rows
  let count: Int
  let length: Int

  static func all(_ lengths: [Int]) -> [Run] {
    var runs: [Run] = []
    var start = 0
    for length in lengths {
      if let last = runs.last, last.length == length {
        runs[runs.count - 1] = Run(start: last.start, count: last.count + 1, length: length)
      } else {
        runs.append(Run(start: start, count: 1, length: length))
      }
      start += length
    }
    return runs
  }
}
