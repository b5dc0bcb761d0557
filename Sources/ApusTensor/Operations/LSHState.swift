import CApusKernels

/// The keys and values that later tokens still see, by round and bucket: the state of LSH attention
/// with lists local to buckets, and of attention within blocks of time.
///
/// Every bucket keeps its last `before + 1` blocks, so memory and time per token stay bounded: at
/// most `B · H · R · buckets · (before + 1) · c · 2K` floats, taken block by block as buckets fill.
public struct LSHState: Sendable {
  /// B, how many sequences are remembered.
  public private(set) var batch: Int
  private let layout: LSHLayout
  private let isShared: Bool
  private var counts: TensorValue
  private var pages: TensorValue
  private var memory: TensorValue
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
  ///   - blocks: As for `blockAttention(queries:keys:values:layout:slots:rotary:)`; causal.
  public init(batch: Int, blocks: LSHLayout) {
    self.init(
      batch: batch, layout: blocks.chunked(blocks.block, before: blocks.before, after: 0),
      isShared: false)
  }

  private init(batch: Int, layout: LSHLayout, isShared: Bool) {
    ensure(
      layout.isCausal && layout.lists == .bucketLocal, "LSHState: only causal lists by bucket")
    self.layout = layout
    self.batch = batch
    self.isShared = isShared
    let groups = [batch, layout.heads, layout.rounds, layout.buckets]
    let slots = groups + [layout.before + 1]
    counts = Tensor([Int32](repeating: 0, count: groups.reduce(1, *)), Shape(groups)).contents
    pages = Tensor([Int32](repeating: -1, count: slots.reduce(1, *)), Shape(slots)).contents
    memory = Tensor(uninitialized: [0, 2, layout.block, layout.headSize]).contents
  }

  /// Bytes of the keys and values kept, and of the tables that find them.
  public var byteCount: Int { counts.byteCount + pages.byteCount + memory.byteCount }

  /// Bytes of the keys and values when every bucket is full.
  public var mostBytes: Int { 4 * pages.count * 2 * layout.block * layout.headSize }

  /// Bytes of the keys and values that there is room for now.
  public var keptBytes: Int { memory.byteCount }

  /// LSH attention of T further tokens. Records nothing.
  ///
  /// - Parameters:
  ///   - queries: `[B, T, H · K]`.
  ///   - values: Like the queries.
  ///   - buckets: `[B, H, R, T]`.
  ///   - rotary: Positions turned into queries and keys.
  /// - Returns: `[B, T, H · K]`.
  public mutating func attend(
    queries: Tensor, values: Tensor, buckets: Tensor, rotary: Rotation? = nil
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
    queries: Tensor, keys: Tensor, values: Tensor, rotary: Rotation? = nil
  ) -> Tensor {
    attend([queries, keys, values], buckets: nil, rotary: rotary)
  }

  private mutating func attend(
    _ inputs: [Tensor], buckets: Tensor?, rotary: Rotation?
  ) -> Tensor {
    let time = inputs[0].shape[1]
    ensure(
      inputs.allSatisfy { $0.shape == [batch, time, layout.heads * layout.headSize] }
        && isShared == (inputs.count == 2)
        && buckets?.shape ?? [batch, layout.heads, 1, time]
          == [batch, layout.heads, layout.rounds, time],
      "LSHState: inputs of \(inputs.map(\.shape)), buckets \(buckets?.shape ?? [])")
    func turned(_ x: Tensor) -> Tensor {
      rotary?.turned(x, heads: layout.heads, headSize: layout.headSize) ?? x
    }
    let queries = turned(inputs[0])
    let keys = isShared ? queries : turned(inputs[1])
    let values = inputs[inputs.count - 1]
    var shape = layout.shape(batch: batch, time: time, isShared: isShared)
    pages.makeUnique()
    counts.makeUnique()
    used = withPointers(pages.ints.out, counts.ints, buckets?.ints) {
      apus_lsh_reserve($0, used, $1, $2, &shape)
    }
    makeRoom()
    let o = Tensor(uninitialized: [batch, time, layout.heads * layout.headSize])
    withPointers(
      o.out, memory.out, counts.ints.out, pages.ints, queries, keys, values, buckets?.ints
    ) { apus_lsh_step_f32($0, $1, $2, $3, $4, $5, $6, $7, &shape) }
    return o
  }

  /// Makes the memory this state's own, with room for the pages in use.
  private mutating func makeRoom() {
    let present = memory.shape[0]
    guard used > present else { return memory.makeUnique() }
    let room = min(max(used, 2 * present), pages.count)
    let grown = Tensor(uninitialized: [room, 2, layout.block, layout.headSize])
    withPointers(grown.out, memory) { $0.update(from: $1, count: memory.count) }
    memory = grown.contents
  }
}

extension LSHState: LayerState {
  public func rows(_ rows: [Int]) -> LSHState {
    var taken = self
    taken.batch = rows.count
    taken.counts =
      Tensor(
        rows.flatMap { Self.part($0, of: counts) }, counts.shape.replacingFirst(with: rows.count)
      ).contents
    // Pages are numbered anew, so that the memory holds those of the sequences taken and no others.
    var kept: [Int32] = []
    let numbers = rows.flatMap { Self.part($0, of: pages) }.map { page -> Int32 in
      guard page >= 0 else { return page }
      kept.append(page)
      return Int32(kept.count - 1)
    }
    taken.pages = Tensor(numbers, pages.shape.replacingFirst(with: rows.count)).contents
    taken.memory = memory.sequences(kept.map { Int($0) })
    taken.used = kept.count
    return taken
  }

  public init(joining states: [LSHState]) {
    self = states[0]
    batch = states.reduce(0) { $0 + $1.batch }
    counts = TensorValue(joining: states.map(\.counts))
    var first: Int32 = 0
    let numbers = states.flatMap { state in
      defer { first += Int32(state.used) }
      return Tensor(state.pages).integers.map { $0 < 0 ? $0 : first + $0 }
    }
    pages = Tensor(numbers, pages.shape.replacingFirst(with: batch)).contents
    memory = TensorValue(joining: states.map { $0.memory.sequences(Array(0..<$0.used)) })
    used = Int(first)
  }

  private static func part(_ row: Int, of table: TensorValue) -> [Int32] {
    let size = table.count / max(table.shape[0], 1)
    return Array(Tensor(table).integers[row * size..<(row + 1) * size])
  }
}

extension Shape {
  /// The same axes but for the first.
  fileprivate func replacingFirst(with size: Int) -> Shape {
    Shape([size] + dimensions.dropFirst())
  }
}

/// Everything that came in so far: the state of what can only be computed from the start again.
public struct HistoryState: Sendable {
  /// The rows of each sequence.
  private var sequences: [GrowingRows]

  /// Before the first token of `batch` sequences.
  public init(batch: Int) { sequences = [GrowingRows](repeating: GrowingRows(), count: batch) }

  /// Appends `[B, T, D]` and returns all there is of each sequence, B times `[1, t + T, D]`.
  public mutating func append(_ x: Tensor) -> [Tensor] {
    let (time, width) = (x.shape[1], x.shape[2])
    ensure(
      x.shape[0] == batch, "append: \(x.shape[0]) sequences, but the state has \(batch)")
    return sequences.indices.map { row in
      sequences[row].add(time, rowSize: width) { all, new in
        let copy = Tensor(uninitialized: [1, new + time, width])
        withPointers(copy.out, all, x.input.from(row * time * width)) { copy, all, x in
          (all + new * width).update(from: x, count: time * width)
          copy.update(from: all, count: (new + time) * width)
        }
        return copy
      }
    }
  }
}

extension HistoryState: LayerState {
  public var batch: Int { sequences.count }

  /// Bytes of what is kept.
  public var byteCount: Int { sequences.reduce(0) { $0 + $1.byteCount } }

  public func rows(_ rows: [Int]) -> HistoryState {
    var taken = self
    taken.sequences = rows.map { sequences[$0] }
    return taken
  }

  public mutating func put(_ other: HistoryState, at rows: [Int]) {
    for (sequence, row) in zip(other.sequences, rows) { sequences[row] = sequence }
  }

  public init(joining states: [HistoryState]) { sequences = states.flatMap(\.sequences) }

  public func prefix(_ tokens: [Int]) -> HistoryState? {
    var shorter = self
    shorter.sequences = zip(sequences, tokens).map { $0.prefix($1) }
    return shorter
  }
}
