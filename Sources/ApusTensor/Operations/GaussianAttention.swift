import CApusKernels

extension Tensor {
  /// Kernelized attention: `o_i = Σ_j exp(−|q_i − k_j|² / (2√K)) v_j`, not divided by its sum.
  ///
  /// Chen et al., 2021, *Skyformer*, arXiv:2111.00035, exact: time grows with T², memory with T. The
  /// layout's scale stands for 1/√K.
  /// The tensor is `[B, T, (H + 2 · H_kv) · K]`: queries, keys, values of each token.
  /// - Parameter layout: Heads, window, mask.
  /// - Returns: `[B, T, H · K]`.
  public func gaussianAttention(layout: AttentionLayout) -> Tensor {
    let (batch, time, width) = (self.shape[0], self.shape[1], self.shape[2])
    ensure(
      width == layout.fusedSize,
      "gaussianAttention: a row of \(self.shape) should have \(layout.fusedSize)")
    let (queries, keys) = (layout.heads * layout.headSize, layout.keyValueHeads * layout.headSize)
    var shape = layout.shape(
      batch: batch, queries: time, keys: time, qStride: width, kStride: width, qBatch: time * width,
      kBatch: time * width)
    let o = Tensor(uninitialized: [batch, time, queries])
    withPointers(o.out, self) {
      apus_gaussian_attention_f32($0, $1, $1 + queries, $1 + queries + keys, &shape)
    }
    guard Tensor.records(self) else { return o }
    let saved = detached()
    return o.tracked(from: [self]) { dout in
      let d = Tensor(uninitialized: saved.shape)
      var shape = shape
      withPointers(d.out, dout, saved) { d, dout, fused in
        let (dk, k) = (d + queries, fused + queries)
        apus_gaussian_attention_backward_f32(d, dk, dk + keys, dout, fused, k, k + keys, &shape)
      }
      return [d]
    }
  }

  /// The matrix between the features of landmarks, `diag(r) V diag(r)`: near the inverse of their
  /// Gaussian kernel matrix.
  ///
  /// With M the kernel matrix plus `gamma` on its diagonal and r its row sums to the power −½, V is
  /// the inverse of `diag(r) M diag(r)` by third-order iteration. Every matrix is scaled by itself, so
  /// that rows of a batch do not see each other; the authors' program scales by the largest of all.
  /// The tensor is `[N, s, K]`: landmarks in the units of x̃.
  /// - Parameters:
  ///   - gamma: Keeps the matrix away from singular.
  ///   - iterations: Steps; six reach rounding error at the default gamma.
  /// - Returns: `[N, s, s]`.
  public func landmarkMixing(gamma: Float = 0.1, iterations: Int = 6) -> Tensor {
    ensure(shape.rank == 3, "landmarkMixing: \(shape) should be [N, landmarks, features]")
    let (count, landmarks, size) = (shape[0], shape[1], shape[2])
    let g = Tensor(uninitialized: [count, landmarks, landmarks])
    let records = Tensor.records(self)
    let saved =
      records
      ? Tensor(uninitialized: [count, apus_landmarks_saved(landmarks, iterations)]) : nil
    let status = withPointers(g.out, saved?.out, self) {
      apus_landmarks_f32($0, $1, $2, count, landmarks, size, gamma, iterations)
    }
    ensure(status == 0, "landmarkMixing: a product failed: oneDNN \(status)")
    guard records, let saved else { return g }
    let savedX = detached()
    return g.tracked(from: [self]) { dg in
      let dx = Tensor(uninitialized: savedX.shape)
      let status = withPointers(dx.out, dg, saved, savedX) {
        apus_landmarks_backward_f32(
          $0, $1, $2, $3, count, landmarks, size, gamma, iterations)
      }
      ensure(status == 0, "landmarkMixing: a product failed: oneDNN \(status)")
      return [dx]
    }
  }
}
