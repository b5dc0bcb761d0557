import CApusKernels

/// The feature map of a query or a key.
public enum FeatureKind: Sendable, Hashable {
  /// `exp(w_i·x̃ − |x̃|²/2)` with `x̃ = x / K^¼`: in expectation over normal w, softmax attention.
  case exponential
  /// `max(w_i·x, 0) + 0.001`.
  case relu
  /// `elu(x_i) + 1`: no weights, as many features as the head has.
  case elu
  /// `exp(−|x̃ − w_i|²/2)`, mixed by a matrix on the side of the queries; nothing is divided.
  case gaussian

  var kernel: apus_features {
    switch self {
    case .exponential: APUS_FEATURES_EXPONENTIAL
    case .relu: APUS_FEATURES_RELU
    case .elu: APUS_FEATURES_ELU
    case .gaussian: APUS_FEATURES_GAUSSIAN
    }
  }
}

/// The layout of feature attention in one fused row of queries, keys and values. A token sees
/// itself and those before it.
public struct FeatureLayout: Sendable, Hashable {
  /// H.
  public var heads: Int
  /// Features of a head, K.
  public var headSize: Int
  /// The feature map of queries and keys.
  public var kind: FeatureKind
  /// Random features or landmarks, m.
  public var features: Int
  /// Added to denominators. Exponential and rectified features need none.
  public var epsilon: Float

  /// Creates a layout.
  ///
  /// - Parameters:
  ///   - heads: H.
  ///   - headSize: K.
  ///   - kind: What queries and keys are turned into.
  ///   - features: m; of no meaning to ``FeatureKind/elu``, which has K.
  public init(
    heads: Int, headSize: Int, kind: FeatureKind, features: Int? = nil
  ) {
    self.heads = heads
    self.headSize = headSize
    self.kind = kind
    self.features = kind == .elu ? headSize : features ?? headSize
    epsilon = kind == .elu ? 1e-6 : 0
  }

  /// Features of the fused row: queries, then keys, then values.
  public var fusedSize: Int { 3 * heads * headSize }

  /// Multiplies queries and keys before exponentials, K^(−¼): their product is then over √K.
  public var scale: Float { 1 / Float(headSize).squareRoot().squareRoot() }

  /// Floats that one head remembers: m·K sums of values; m sums of features unless Gaussian; the m
  /// largest logits if exponential.
  public var stateSize: Int {
    var shape = shape(batch: 1, time: 1, groups: 1)
    return apus_feature_state_size(&shape)
  }

  func shape(batch: Int, time: Int, groups: Int) -> apus_feature_shape {
    apus_feature_shape(
      batch: batch, time: time, heads: heads, head_size: headSize, value_size: headSize,
      features: features, q_stride: fusedSize, k_stride: fusedSize, v_stride: fusedSize,
      o_stride: heads * headSize, groups: groups, kind: kind.kernel, scale: scale, epsilon: epsilon)
  }

  /// How many groups of weights there are; traps where a tensor does not fit.
  func groups(_ fused: Tensor, weights: Tensor?, mixing: Tensor?) -> Int {
    ensure(
      fused.shape.rank == 3 && fused.shape[2] == fusedSize,
      "featureAttention: rows of \(fused.shape) should have \(fusedSize)")
    guard kind != .elu else { return 1 }
    let matrix = features * headSize
    guard let weights, weights.count > 0, weights.count % matrix == 0 else {
      stop("featureAttention: weights should be [groups, \(features), \(headSize)]")
    }
    let groups = weights.count / matrix
    ensure(
      [1, heads, fused.shape[0] * heads].contains(groups),
      "featureAttention: \(groups) groups of weights for \(heads) heads")
    ensure(
      kind != .gaussian || mixing?.count == groups * features * features,
      "featureAttention: mixing should be [\(groups), \(features), \(features)]")
    return groups
  }
}

extension Tensor {
  /// Attention whose weights are products of features: linear in time.
  ///
  /// Choromanski et al., 2020, *Rethinking Attention with Performers*, arXiv:2009.14794;
  /// Katharopoulos et al., 2020, *Transformers are RNNs*, arXiv:2006.16236. Exponential features are
  /// kept relative to a running maximum, so that the ratio is exact without an epsilon.
  /// The tensor is `[B, T, 3 · H · K]`: queries, keys, values of each token.
  /// - Parameters:
  ///   - layout: Heads and features.
  ///   - weights: `[groups, m, K]` of 1 group, H, or B · H. Gradients flow to those of Gaussian
  ///     features, in the units of x̃; random projections are constants.
  ///   - mixing: `[groups, m, m]` for Gaussian features.
  /// - Returns: `[B, T, H · K]`.
  public func featureAttention(layout: FeatureLayout, weights: Tensor? = nil, mixing: Tensor? = nil)
    -> Tensor
  {
    let (batch, time) = (self.shape[0], self.shape[1])
    let groups = layout.groups(self, weights: weights, mixing: mixing)
    var shape = layout.shape(batch: batch, time: time, groups: groups)
    let values = layout.heads * layout.headSize
    let o = Tensor(uninitialized: [batch, time, values])
    let inputs = [self] + (layout.kind == .gaussian ? [weights, mixing].compactMap(\.self) : [])
    let records = Tensor.records(inputs)
    let states = apus_feature_checkpoints(&shape)
    let checkpoints =
      records
      ? Tensor(uninitialized: [batch * layout.heads, states, layout.stateSize]) : nil
    withPointers(o.out, checkpoints?.out, self, weights, mixing) {
      apus_feature_attention_f32(
        $0, nil, $1, $2, $2 + values, $2 + 2 * values, $3, $4, &shape)
    }
    guard records, let checkpoints else { return o }
    let (savedFused, savedO) = (detached(), o.detached())
    let (savedWeights, savedMixing) = (weights?.detached(), mixing?.detached())
    return o.tracked(from: inputs) { dout in
      let d = Tensor(uninitialized: savedFused.shape)
      let isGaussian = layout.kind == .gaussian
      let dweights = isGaussian ? savedWeights.map { Tensor(uninitialized: $0.shape) } : nil
      let dmixing = savedMixing.map { Tensor(uninitialized: $0.shape) }
      var shape = shape
      withPointers(d.out, dweights?.out, dmixing?.out) { dq, dweights, dmixing in
        withPointers(dout, savedO, checkpoints, savedFused, savedWeights, savedMixing) {
          dout, o, checkpoints, q, weights, mixing in
          let (dk, k) = (dq + values, q + values)
          apus_feature_attention_backward_f32(
            dq, dk, dk + values, dweights, dmixing, dout, o, checkpoints, q, k, k + values,
            weights, mixing, &shape)
        }
      }
      return isGaussian ? [d, dweights, dmixing] : [d]
    }
  }
}

/// The sums over all tokens so far: the state of causal feature attention, constant in time.
public struct FeatureAttentionState: Sendable {
  /// What queries' features are multiplied by, where that is a function of weights alone: computed
  /// when the state was made, shared by its copies, no part of `byteCount`.
  let mixing: TensorValue?
  fileprivate var sums: TensorValue  // [B, H, state size]

  /// Creates the state before the first token.
  ///
  /// - Parameters:
  ///   - batch: B.
  ///   - layout: Heads and features.
  ///   - mixing: `[groups, m, m]` for Gaussian features.
  public init(batch: Int, layout: FeatureLayout, mixing: Tensor? = nil) {
    self.mixing = mixing?.contents
    let size = layout.stateSize
    var head = [Float](repeating: 0, count: size)
    if layout.kind == .exponential {
      for i in size - layout.features..<size { head[i] = -.infinity }
    }
    sums =
      Tensor((0..<batch * layout.heads).flatMap { _ in head }, [batch, layout.heads, size]).contents
  }

  /// Attends from new tokens to all before and to each other, and adds them to the sums.
  ///
  /// - Parameters:
  ///   - fused: `[B, T, 3 · H · K]` as for `featureAttention(layout:weights:mixing:)`.
  ///   - layout: Heads and features, the same in every call.
  ///   - weights: `[groups, m, K]`.
  /// - Returns: `[B, T, H · K]`. Nothing is recorded for gradients.
  public mutating func attend(
    _ fused: Tensor, layout: FeatureLayout, weights: Tensor? = nil
  ) -> Tensor {
    let (batch, time) = (fused.shape[0], fused.shape[1])
    ensure(
      sums.shape == [batch, layout.heads, layout.stateSize],
      "attend: the state is \(sums.shape), the input \(fused.shape)")
    let groups = layout.groups(fused, weights: weights, mixing: mixing.map { Tensor($0) })
    var shape = layout.shape(batch: batch, time: time, groups: groups)
    let values = layout.heads * layout.headSize
    let o = Tensor(uninitialized: [batch, time, values])
    sums.makeUnique()
    withPointers(o.out, sums.out, fused, weights, mixing) {
      apus_feature_attention_f32(
        $0, $1, nil, $2, $2 + values, $2 + 2 * values, $3, $4, &shape)
    }
    return o
  }
}

extension FeatureAttentionState: TensorState {
  static var parts: [any WritableKeyPath<FeatureAttentionState, TensorValue> & Sendable] {
    [\.sums]
  }
}
