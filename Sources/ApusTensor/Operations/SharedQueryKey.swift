import CApusKernels

extension Tensor {
  /// Queries and keys from one shared representation: normalized by the root mean square head by head,
  /// then scaled and shifted feature by feature. Both carry `1/√K`, so that scores need no scale.
  ///
  /// Ma et al., 2024, *Megalodon*, arXiv:2404.08801, section 3.3.
  /// The tensor is `[..., H · K]`.
  /// - Parameters:
  ///   - gain: The gains less one of queries and of keys, `[2, H · K]`.
  ///   - bias: `[2, H · K]`.
  ///   - heads: H.
  ///   - epsilon: Added to the mean square.
  /// - Returns: Queries, then keys: `[..., 2 · H · K]`.
  public func sharedQueryKey(gain: Tensor, bias: Tensor, heads: Int, epsilon: Float) -> Tensor {
    let (width, rows) = (shape.last, shape.rows)
    ensure(
      width % heads == 0 && gain.count == 2 * width && bias.count == 2 * width,
      "sharedQueryKey: z is \(shape), gain \(gain.shape), \(heads) heads")
    let size = width / heads
    let qk = Tensor(uninitialized: shape.replacingLast(with: 2 * width))
    let scales = Tensor(uninitialized: [rows, heads])
    withPointers(qk.out, scales.out, self, gain, bias) {
      apus_shared_query_key_f32($0, $1, $2, $3, $4, rows, heads, size, epsilon)
    }
    guard Tensor.records(self, gain, bias) else { return qk }
    let (savedZ, savedGain) = (detached(), gain.detached())
    return qk.tracked(from: [self, gain, bias]) { dqk in
      let dz = Tensor(uninitialized: savedZ.shape)
      let dgain = Tensor(uninitialized: savedGain.shape)
      let dbias = Tensor(uninitialized: savedGain.shape)
      withPointers(dz.out, dgain.out, dbias.out, dqk, savedZ, savedGain, scales) {
        apus_shared_query_key_backward_f32($0, $1, $2, $3, $4, $5, $6, rows, heads, size)
      }
      return [dz, dgain, dbias]
    }
  }
}
