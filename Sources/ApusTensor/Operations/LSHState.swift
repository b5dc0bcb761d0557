import CApusKernels

/// The keys and values that later tokens still see, by round and bucket: the state of LSH attention
/// with lists local to buckets, and of attention within blocks of time.
///
/// Every bucket keeps its last `before + 1` blocks, so memory and time per token stay bounded: at
/// most `B · H · R · buckets · (before + 1) · c · 2K` floats, taken block by block as buckets fill.
public struct LSHState: Sendable {
  /// How many tokens have passed.
  public private(set) var position = 0
  private let layout: LSHLayout
  private let batch: Int
  private let isShared: Bool
  private var counts: Tensor
  private var pages: Tensor
  private var memory: Tensor
  private var used = 0

  /// The state of LSH attention before the first token of `batch` sequences.
  ///
  /// - Parameters:
  ///   - batch: How many sequences.
  ///   - layout: Heads, rounds, buckets, blocks; causal, with lists local to buckets.
  public init(batch: Int, layout: LSHLayout) {
    self.init(batch: batch, layout: layout, isShared: true)
  }

  /// The state of attention within blocks of time before the first token of `batch` sequences.
  ///
  /// - Parameters:
  ///   - batch: How many sequences.
  ///   - blocks: As for ``blockAttention(queries:keys:values:layout:slots:rotary:)``; causal.
  public init(batch: Int, blocks: LSHLayout) {
    self.init(
      batch: batch, layout: blocks.chunked(blocks.block, before: blocks.before, after: 0),
      isShared: false)
  }

  private init(batch: Int, layout: LSHLayout, isShared: Bool) {
    precondition(
      layout.isCausal && layout.lists == .bucketLocal, "LSHState: only causal lists by bucket")
    self.layout = layout
    self.batch = batch
    self.isShared = isShared
    let groups = [batch, layout.heads, layout.rounds, layout.buckets]
    let slots = groups + [layout.before + 1]
    counts = Tensor([Int32](repeating: 0, count: groups.reduce(1, *)), Shape(groups))
    pages = Tensor([Int32](repeating: -1, count: slots.reduce(1, *)), Shape(slots))
    memory = Tensor(uninitialized: [0, 2, layout.block, layout.headSize])
  }

  /// Bytes of the keys and values kept, and of the tables that find them.
  public var byteCount: Int { 4 * (counts.count + pages.count + memory.count) }

  /// Bytes of the keys and values when every bucket is full.
  public var mostBytes: Int { 4 * pages.count * 2 * layout.block * layout.headSize }

  /// Bytes of the keys and values that there is room for now.
  public var keptBytes: Int { 4 * memory.count }

  /// LSH attention of T further tokens. Records nothing.
  ///
  /// - Parameters:
  ///   - queries: `[B, T, H · K]`.
  ///   - values: Like the queries.
  ///   - buckets: `[B, H, R, T]`.
  ///   - rotary: Positions turned into queries and keys.
  /// - Returns: `[B, T, H · K]`.
  public mutating func attend(
    queries: Tensor, values: Tensor, buckets: Tensor, rotary: RotaryTable? = nil
  ) -> Tensor {
    attend([queries, values], buckets: buckets, rotary: rotary)
  }

  /// Attention within blocks of time of T further tokens. Records nothing.
  ///
  /// - Parameters:
  ///   - queries: `[B, T, H · K]`.
  ///   - keys: Like the queries.
  ///   - values: Like the queries.
  ///   - rotary: Positions turned into queries and keys.
  /// - Returns: `[B, T, H · K]`.
  public mutating func attend(
    queries: Tensor, keys: Tensor, values: Tensor, rotary: RotaryTable? = nil
  ) -> Tensor {
    attend([queries, keys, values], buckets: nil, rotary: rotary)
  }

  private mutating func attend(
    _ inputs: [Tensor], buckets: Tensor?, rotary: RotaryTable?
  ) -> Tensor {
    let time = inputs[0].shape[1]
    precondition(
      inputs.allSatisfy { $0.shape == [batch, time, layout.heads * layout.headSize] }
        && isShared == (inputs.count == 2)
        && buckets?.shape ?? [batch, layout.heads, 1, time]
          == [batch, layout.heads, layout.rounds, time],
      "LSHState: inputs of \(inputs.map(\.shape)), buckets \(buckets?.shape ?? [])")
    let turn = rotary.map {
      Turn($0, batch: batch, places: position..<position + time, layout: layout)
    }
    let queries = turn?.turned(inputs[0]) ?? inputs[0]
    let keys = isShared ? queries : turn?.turned(inputs[1]) ?? inputs[1]
    let values = inputs[inputs.count - 1]
    var shape = layout.shape(batch: batch, time: time, isShared: isShared)
    pages.makeOwn()
    counts.makeOwn()
    used = apus_lsh_reserve(pages.ints, used, counts.ints, buckets?.ints, &shape)
    makeRoom()
    let o = Tensor(uninitialized: [batch, time, layout.heads * layout.headSize])
    apus_lsh_step_f32(
      o.floats, memory.floats, counts.ints, pages.ints, queries.floats, keys.floats, values.floats,
      buckets?.ints, &shape)
    withExtendedLifetime((queries, keys, values, buckets)) {}
    position += time
    return o
  }

  /// Makes the memory this state's own, with room for the pages in use.
  private mutating func makeRoom() {
    let present = memory.shape[0]
    guard used > present else { return memory.makeOwn() }
    let room = min(max(used, 2 * present), pages.count)
    let grown = Tensor(uninitialized: [room, 2, layout.block, layout.headSize])
    grown.floats.update(from: memory.floats, count: memory.count)
    memory = grown
  }
}

/// Everything that came in so far: the state of what can only be computed from the start again.
public struct HistoryState: Sendable {
  /// `[B, t, D]`, or nil before the first token.
  public private(set) var rows: Tensor?

  /// Before the first token.
  public init() {}

  /// Bytes of what is kept.
  public var byteCount: Int { (rows?.count ?? 0) * 4 }

  /// Takes in `[B, T, D]` and returns all there is, `[B, t + T, D]`.
  public mutating func append(_ x: Tensor) -> Tensor {
    guard let rows else {
      self.rows = x.copied()
      return x.detached()
    }
    let (batch, width) = (x.shape[0], x.shape[2])
    let (old, new) = (rows.shape[1] * width, x.shape[1] * width)
    let all = Tensor(uninitialized: [batch, rows.shape[1] + x.shape[1], width])
    apus_copy_rows_f32(all.floats, rows.floats, batch, old, old + new, old, 0)
    apus_copy_rows_f32(all.floats + old, x.floats, batch, new, old + new, new, 0)
    withExtendedLifetime(x) {}
    self.rows = all
    return all
  }
}

extension Tensor {
  /// Copies when the memory is shared, so that it can be written.
  fileprivate mutating func makeOwn() {
    if !isKnownUniquelyReferenced(&storage) { self = copied() }
  }
}
