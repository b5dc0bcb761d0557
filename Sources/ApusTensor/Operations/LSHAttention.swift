import CApusKernels

/// The hashing and the masks of LSH attention.
///
/// Kitaev, Kaiser and Levskaya, 2020, *Reformer: The Efficient Transformer*, arXiv:2001.04451.
public struct LSHLayout: Sendable, Hashable {
  /// The limits of the lists of tokens with equal hashes.
  public enum Lists: String, Sendable, Codable, CaseIterable {
    /// As published: all tokens sorted by bucket, cut into blocks that look past the borders of
    /// buckets and rounds. Later tokens shift the blocks of earlier ones: not causal as a function.
    case sorted
    /// Each bucket a list of its own, in order of time: causal to the bit, and can be streamed.
    case bucketLocal = "bucket-local"
  }

  /// Heads, H.
  public var heads: Int
  /// Features of a head, K.
  public var headSize: Int
  /// Rounds of hashing, R.
  public var rounds: Int
  /// Even factors of the number of buckets; one round costs the sum of them, not the product.
  public var factors: [Int]
  /// Tokens of a block, c.
  public var block: Int
  /// Blocks that a block sees before itself.
  public var before: Int
  /// Blocks that a block sees after itself; 0 when lists are local to buckets.
  public var after: Int
  /// Whether a token sees no later one.
  public var isCausal: Bool
  /// The limits of the lists.
  public var lists: Lists

  /// Creates a layout.
  public init(
    heads: Int, headSize: Int, rounds: Int, factors: [Int], block: Int, before: Int = 1,
    after: Int = 0, isCausal: Bool = true, lists: Lists = .bucketLocal
  ) {
    self.heads = heads
    self.headSize = headSize
    self.rounds = rounds
    self.factors = factors
    self.block = block
    self.before = before
    self.after = after
    self.isCausal = isCausal
    self.lists = lists
  }

  /// Buckets of a round.
  public var buckets: Int { factors.reduce(1, *) }

  /// Columns of the rotations of one round: half the sum of the factors.
  public var rotationWidth: Int { factors.reduce(0) { $0 + $1 / 2 } }

  /// The shape of the rotations: `[H, K, R, width]`.
  public var rotationShape: Shape { [heads, headSize, rounds, rotationWidth] }

  func shape(batch: Int, time: Int, slots: Int? = nil, isShared: Bool = true) -> apus_lsh_shape {
    let width = heads * headSize
    return apus_lsh_shape(
      batch: batch, time: time, heads: heads, head_size: headSize, rounds: rounds,
      slots: slots ?? time, groups: lists == .sorted ? 0 : buckets, block: block, before: before,
      after: after, q_stride: width, k_stride: width, v_stride: width, causal: isCausal ? 1 : 0,
      shared: isShared ? 1 : 0)
  }

  /// The layout in which every token sees all others, or all before it.
  func seeingAll(_ time: Int) -> LSHLayout { chunked(max(time, 1), before: 0, after: 0) }

  /// The layout of one list in order of time.
  func chunked(_ block: Int, before: Int, after: Int) -> LSHLayout {
    LSHLayout(
      heads: heads, headSize: headSize, rounds: 1, factors: [1], block: block, before: before,
      after: after, isCausal: isCausal, lists: isCausal && after == 0 ? .bucketLocal : .sorted)
  }
}

extension Tensor {
  /// The buckets of tokens: no gradient flows through them.
  ///
  /// In every round and for every factor f of the number of buckets, the place of the largest among
  /// `(x · P, −x · P)` with f/2 random directions P. Andoni et al., 2015, arXiv:1509.02897.
  /// The tensor is `[B, T, H · K]`.
  /// - Parameters:
  ///   - rotations: `[H, K, R, width]`, see ``LSHLayout/rotationShape``.
  ///   - layout: Heads, rounds, buckets.
  /// - Returns: Integers, `[B, H, R, T]`.
  public func lshBuckets(rotations: Tensor, layout: LSHLayout) -> Tensor {
    let (batch, time) = (self.shape[0], self.shape[1])
    ensure(
      self.shape[2] == layout.heads * layout.headSize && rotations.shape == layout.rotationShape,
      "lshBuckets: x is \(self.shape), the rotations are \(rotations.shape)")
    let buckets = Tensor(
      uninitialized: [batch, layout.heads, layout.rounds, time], dtype: .int32)
    guard layout.buckets > 1 else {
      return Tensor([Int32](repeating: 0, count: buckets.count), buckets.shape)
    }
    var shape = layout.shape(batch: batch, time: time)
    withPointers(buckets.ints.out, self, rotations) {
      apus_lsh_buckets_f32($0, $1, $2, layout.factors, layout.factors.count, &shape)
    }
    return buckets
  }

  /// LSH attention: queries are keys, and a token sees those of its bucket that stand near it.
  ///
  /// Keys are queries of length one, scores `q · k` with no other scale; a token sees itself only where
  /// it sees no other. The softmax runs over all rounds together, which is what combining the rounds
  /// by their log-sum-exps amounts to.
  /// - Parameters:
  ///   - queries: `[B, T, H · K]`.
  ///   - values: `[B, T, H · K]`.
  ///   - buckets: `[B, H, R, T]` by ``lshBuckets(rotations:layout:)``; nil: every token sees all.
  ///   - layout: Heads, rounds, blocks.
  ///   - slots: The length that sorted lists are filled up to, with places that are masked: a
  ///     multiple of the block. T rounded up to one when nil.
  ///   - rotary: Positions turned into queries and keys after hashing.
  /// - Returns: `[B, T, H · K]`.
  public static func lshAttention(
    queries: Tensor, values: Tensor, buckets: Tensor?, layout: LSHLayout, slots: Int? = nil,
    rotary: Rotation? = nil
  ) -> Tensor {
    let (batch, time) = (queries.shape[0], queries.shape[1])
    guard let buckets else {
      return listAttention(
        [queries, values], layout: layout.seeingAll(time), shape: .init(slots: time), rotary: rotary
      )
    }
    ensure(
      buckets.shape == [batch, layout.heads, layout.rounds, time],
      "lshAttention: the queries are \(queries.shape), the buckets \(buckets.shape)")
    let rounded = (time + layout.block - 1) / layout.block * layout.block
    let slots = layout.lists == .sorted ? slots ?? rounded : time
    ensure(
      layout.lists != .sorted || (slots >= time && slots % layout.block == 0),
      "lshAttention: \(slots) slots for \(time) tokens in blocks of \(layout.block)")
    let lists = Tensor(
      uninitialized: [batch, layout.heads, layout.rounds, slots], dtype: .int32)
    let starts = Tensor(
      uninitialized: [batch, layout.heads, layout.rounds, layout.buckets + 1], dtype: .int32)
    var shape = layout.shape(batch: batch, time: time, slots: slots)
    withPointers(lists.ints.out, starts.ints.out, buckets.ints) {
      apus_lsh_order($0, $1, $2, layout.buckets, &shape)
    }
    return listAttention(
      [queries, values], layout: layout,
      shape: TokenLists(slots: slots, order: lists, starts: starts), rotary: rotary)
  }

  /// Attention within blocks of time: a token sees its block and those around it.
  ///
  /// - Parameters:
  ///   - queries: `[B, T, H · K]`; `keys` and `values` are alike. Scores are divided by √K.
  ///   - keys: Like the queries.
  ///   - values: Like the queries.
  ///   - layout: Heads, block, what is seen around it; rounds and buckets do not count.
  ///   - slots: As for ``lshAttention(queries:values:buckets:layout:slots:rotary:)``.
  ///   - rotary: Positions turned into queries and keys.
  /// - Returns: `[B, T, H · K]`.
  public static func blockAttention(
    queries: Tensor, keys: Tensor, values: Tensor, layout: LSHLayout, slots: Int? = nil,
    rotary: Rotation? = nil
  ) -> Tensor {
    let time = queries.shape[1]
    let rounded = (time + layout.block - 1) / layout.block * layout.block
    let isOne = (slots ?? rounded) <= layout.block
    let chunked =
      isOne
      ? layout.seeingAll(time)
      : layout.chunked(layout.block, before: layout.before, after: layout.after)
    return listAttention(
      [queries, keys, values], layout: chunked,
      shape: TokenLists(slots: chunked.lists == .sorted && !isOne ? slots ?? rounded : time),
      rotary: rotary)
  }
}

/// The lists that tokens are in; without an order, one list in order of time.
private struct TokenLists {
  var slots: Int
  var order: Tensor?
  var starts: Tensor?
}

/// Attention of (queries, values), which share keys, or of (queries, keys, values).
private func listAttention(
  _ inputs: [Tensor], layout: LSHLayout, shape lists: TokenLists, rotary: Rotation?
) -> Tensor {
  let (batch, time, width) = (inputs[0].shape[0], inputs[0].shape[1], inputs[0].shape[2])
  ensure(
    width == layout.heads * layout.headSize && inputs.allSatisfy { $0.shape == inputs[0].shape },
    "lshAttention: inputs of \(inputs.map(\.shape)) for \(layout.heads) heads")
  let isShared = inputs.count == 2
  func turned(_ x: Tensor) -> Tensor {
    rotary?.turned(x, heads: layout.heads, headSize: layout.headSize) ?? x.detached()
  }
  let queries = turned(inputs[0])
  let keys = isShared ? nil : turned(inputs[1])
  let values = inputs[inputs.count - 1].detached()
  var shape = layout.shape(batch: batch, time: time, slots: lists.slots, isShared: isShared)
  let o = Tensor(uninitialized: [batch, time, width])
  let lse = Tensor(uninitialized: [batch, layout.heads, time])
  let (order, starts) = (lists.order?.ints, lists.starts?.ints)
  withPointers(o.out, lse.out, queries, keys ?? queries, values, order, starts) {
    apus_lsh_attention_f32($0, $1, $2, $3, $4, $5, $6, &shape)
  }
  guard Tensor.records(inputs) else { return o }
  let saved = o.detached()
  return o.tracked(from: inputs) { dout in
    var shape = shape
    let dq = Tensor(uninitialized: queries.shape)
    let dk = isShared ? nil : Tensor(uninitialized: queries.shape)
    let dv = Tensor(uninitialized: queries.shape)
    withPointers(dq.out, dk?.out, dv.out, dout) { dq, dk, dv, dout in
      withPointers(queries, keys ?? queries, values, saved, lse, order, starts) {
        apus_lsh_attention_backward_f32(dq, dk, dv, dout, $0, $1, $2, $3, $4, $5, $6, &shape)
      }
    }
    for d in [dq, dk].compactMap(\.self) {
      rotary?.turn(d, heads: layout.heads, headSize: layout.headSize, back: true)
    }
    return isShared ? [dq, dv] : [dq, dk, dv]
  }
}
