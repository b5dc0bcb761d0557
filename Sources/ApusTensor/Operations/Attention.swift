import Foundation
import CApusKernels

/// How attention is laid out in one fused row of queries, keys and values.
public struct AttentionLayout: Sendable, Hashable {
  /// Query heads, H.
  public var heads: Int
  /// Key-value heads; divides ``heads``. Head h reads key-value head h / (heads / keyValueHeads).
  public var keyValueHeads: Int
  /// Features of a head, K.
  public var headSize: Int
  /// A token sees at most this many tokens, itself included; nil: all before it.
  public var window: Int?
  /// Multiplies the scores; usually 1/√K.
  public var scale: Float
  /// Whether a token sees only itself and those before it.
  public var isCausal: Bool

  /// Creates a layout; `scale` defaults to 1/√headSize.
  public init(
    heads: Int, keyValueHeads: Int? = nil, headSize: Int, window: Int? = nil, scale: Float? = nil,
    isCausal: Bool = true
  ) {
    self.heads = heads
    self.keyValueHeads = keyValueHeads ?? heads
    self.headSize = headSize
    self.window = window
    self.scale = scale ?? 1 / Float(headSize).squareRoot()
    self.isCausal = isCausal
  }

  /// Features of the fused row: queries, then keys, then values.
  public var fusedSize: Int { (heads + 2 * keyValueHeads) * headSize }

  func shape(
    batch: Int, queries: Int, keys: Int, qStride: Int, kStride: Int, qBatch: Int, kBatch: Int
  ) -> apus_attention_shape {
    apus_attention_shape(
      batch: batch, queries: queries, keys: keys, heads: heads, kv_heads: keyValueHeads,
      head_size: headSize, q_stride: qStride, k_stride: kStride, v_stride: kStride,
      o_stride: heads * headSize, q_batch: qBatch, k_batch: kBatch, v_batch: kBatch,
      o_batch: queries * heads * headSize, window: window ?? 0, causal: isCausal ? 1 : 0,
      scale: scale)
  }
}

/// Cosines and sines of rotary positions, and which features they turn.
///
/// Su et al., 2021, *RoFormer*, arXiv:2104.09864.
public struct RotaryTable: Sendable {
  /// `[positions, pairs]`.
  let cosine: Tensor
  let sine: Tensor
  let frequencies: [Double]
  let scale: Double
  let isInterleaved: Bool
  /// The position of the first row.
  let start: Int
  var pairs: Int { frequencies.count }

  /// Creates the table for positions `0..<positions`.
  ///
  /// - Parameters:
  ///   - positions: How many positions the table covers.
  ///   - frequencies: Angle per position of each pair of features, in double precision.
  ///   - isInterleaved: Pairs (2m, 2m+1) instead of (m, m + pairs).
  ///   - scale: Multiplies cosine and sine.
  public init(
    positions: Int, frequencies: [Double], isInterleaved: Bool = false, scale: Double = 1
  ) {
    self.init(
      places: 0..<positions, frequencies: frequencies, isInterleaved: isInterleaved, scale: scale)
  }

  private init(places: Range<Int>, frequencies: [Double], isInterleaved: Bool, scale: Double) {
    self.frequencies = frequencies
    self.isInterleaved = isInterleaved
    self.scale = scale
    start = places.lowerBound
    let pairs = frequencies.count
    var (cosines, sines) = ([Float](), [Float]())
    cosines.reserveCapacity(places.count * pairs)
    sines.reserveCapacity(places.count * pairs)
    for position in places {
      for frequency in frequencies {
        // Angles in double: in float, far positions would collapse.
        let angle = Double(position) * frequency
        cosines.append(Float(cos(angle) * scale))
        sines.append(Float(sin(angle) * scale))
      }
    }
    cosine = Tensor(cosines, [places.count, pairs])
    sine = Tensor(sines, [places.count, pairs])
  }

  /// This table where it holds the given positions, else one of them alone: streams are unlimited.
  ///
  /// Call it once for all layers that work on the same tokens.
  public func covering(_ places: Range<Int>) -> RotaryTable {
    if places.lowerBound >= start, places.upperBound <= start + positions { return self }
    return RotaryTable(
      places: places, frequencies: frequencies, isInterleaved: isInterleaved, scale: scale)
  }

  /// A table that holds the given positions, and the row of the first of them.
  func rows(_ places: Range<Int>) -> (table: RotaryTable, first: Int) {
    let table = covering(places)
    return (table, places.lowerBound - table.start)
  }

  /// How many positions the table covers.
  public var positions: Int { cosine.shape[0] }

  /// Turns `heads` heads in each row of `rows`, in place, or back.
  func turn(
    _ rows: UnsafeMutablePointer<Float>, positions: Tensor, heads: Int, headSize: Int, stride: Int,
    back: Bool
  ) {
    apus_rope_f32(
      rows, cosine.floats, sine.floats, positions.ints, positions.count, heads, headSize, pairs,
      stride, isInterleaved ? 1 : 0, back ? 1 : 0)
    withExtendedLifetime((cosine, sine, positions)) {}
  }
}

extension Tensor {
  /// Exact attention on fused rows, computed tile by tile: the T × T scores never stand in memory.
  ///
  /// Dao, 2023, *FlashAttention-2*, arXiv:2307.08691.
  /// The tensor is `[B, T, (H + 2 · H_kv) · K]`: queries, keys, values of each token.
  /// - Parameters:
  ///   - layout: Heads, window, scale.
  ///   - rotary: Positions turned into queries and keys; token t of a row has position t.
  /// - Returns: `[B, T, H · K]`.
  public func attention(layout: AttentionLayout, rotary: RotaryTable? = nil) -> Tensor {
    let (batch, time, width) = (self.shape[0], self.shape[1], self.shape[2])
    precondition(
      width == layout.fusedSize, "attention: a row of \(self.shape) should have \(layout.fusedSize)"
    )
    let size = layout.headSize
    let (queries, keys) = (layout.heads * size, layout.keyValueHeads * size)
    let turnedHeads = layout.heads + layout.keyValueHeads
    let rotary = rotary?.rows(0..<time).table
    let positions = rotary.map { _ in
      Tensor((0..<batch).flatMap { _ in (0..<time).map { Int32($0) } }, [batch * time])
    }
    var turned = detached()
    if let rotary, let positions {
      turned = turned.copied()
      rotary.turn(
        turned.floats, positions: positions, heads: turnedHeads, headSize: size, stride: width,
        back: false)
    }
    var shape = layout.shape(
      batch: batch, queries: time, keys: time, qStride: width, kStride: width, qBatch: time * width,
      kBatch: time * width)
    let o = Tensor(uninitialized: [batch, time, queries])
    let records = Tensor.records(self)
    let lse = records ? Tensor(uninitialized: [batch, layout.heads, time]) : nil
    let (q, k) = (turned.floats, turned.floats + queries)
    apus_attention_f32(o.floats, lse?.floats, q, k, k + keys, &shape)
    withExtendedLifetime(turned) {}
    guard records, let lse else { return o }
    let savedO = o.detached()
    return o.tracked(from: [self]) { dout in
      let d = Tensor(uninitialized: turned.shape)
      let (dq, dk) = (d.floats, d.floats + queries)
      let (q, k) = (turned.floats, turned.floats + queries)
      var shape = shape
      apus_attention_backward_f32(
        dq, dk, dk + keys, dout.floats, q, k, k + keys, savedO.floats, lse.floats, &shape)
      if let rotary, let positions {
        rotary.turn(
          d.floats, positions: positions, heads: turnedHeads, headSize: size, stride: width,
          back: true)
      }
      withExtendedLifetime((dout, turned, savedO, lse)) {}
      return [d]
    }
  }
}

/// The keys and values that later tokens still see: the state of causal attention.
///
/// Rows are `[2 · H_kv · K]`, keys already turned by their position. With a window the oldest rows
/// are forgotten, so memory and time per token stay bounded.
public struct AttentionState: Sendable {
  /// How many tokens have passed.
  public private(set) var position = 0
  private var cache: [Tensor] = []  // one [capacity, 2 · H_kv · K] per batch row
  private var first = 0  // of the rows in use
  private var count = 0

  /// Creates the state before the first token.
  public init() {}

  /// Bytes of the keys and values kept.
  public var byteCount: Int { cache.reduce(0) { $0 + count * $1.shape.last * 4 } }

  /// Bytes of the buffers that hold them: they grow by doubling, so up to twice as much.
  public var allocatedByteCount: Int { cache.reduce(0) { $0 + $1.count * 4 } }

  /// How many tokens are visible.
  public var visible: Int { count }

  /// Attends from new tokens to those kept and to each other, then keeps the new ones.
  ///
  /// - Parameters:
  ///   - fused: `[B, T, (H + 2 · H_kv) · K]` as for ``attention(layout:rotary:)``.
  ///   - layout: Heads, window, scale.
  ///   - rotary: Positions turned into queries and keys.
  /// - Returns: `[B, T, H · K]`. Nothing is recorded for gradients.
  public mutating func attend(
    _ fused: Tensor, layout: AttentionLayout, rotary: RotaryTable? = nil
  ) -> Tensor {
    let (batch, time, width) = (fused.shape[0], fused.shape[1], fused.shape[2])
    precondition(width == layout.fusedSize && layout.isCausal, "attend: rows of \(fused.shape)")
    precondition(cache.isEmpty || cache.count == batch, "attend: the batch changed size")
    let size = layout.headSize
    let (queries, keys) = (layout.heads * size, layout.keyValueHeads * size)
    let turned = fused.copied()
    if let rotary {
      let (table, first) = rotary.rows(position..<position + time)
      let places = Tensor(
        (0..<batch).flatMap { _ in (0..<time).map { Int32(first + $0) } }, [batch * time])
      table.turn(
        turned.floats, positions: places, heads: layout.heads + layout.keyValueHeads,
        headSize: size, stride: width, back: false)
    }
    // Rows that no new token can see are forgotten before room is made.
    if let window = layout.window, count > window - 1 {
      first += count - (window - 1)
      count = window - 1
    }
    makeRoom(for: time, batch: batch, rowSize: 2 * keys)
    let o = Tensor(uninitialized: [batch, time, queries])
    for row in 0..<batch {
      let source = turned.floats + row * time * width
      let kept = cache[row].floats + first * 2 * keys
      apus_copy_rows_f32(
        kept + count * 2 * keys, source + queries, time, 2 * keys, 2 * keys, width, 0)
      var shape = layout.shape(
        batch: 1, queries: time, keys: count + time, qStride: width, kStride: 2 * keys, qBatch: 0,
        kBatch: 0)
      apus_attention_f32(
        o.floats + row * time * queries, nil, source, kept, kept + keys, &shape)
    }
    withExtendedLifetime(turned) {}
    count += time
    position += time
    return o
  }

  /// Makes the cache a buffer of this state's own with room for `time` more rows.
  private mutating func makeRoom(for time: Int, batch: Int, rowSize: Int) {
    let needed = first + count + time
    let isOwn = !cache.isEmpty && isKnownUniquelyReferenced(&cache[0].storage)
    if isOwn, needed <= cache[0].shape[0] { return }
    // With a window the rows in use stay few, and the memory bounded.
    let capacity = max(2 * (count + time), 64)
    var fresh: [Tensor] = []
    for row in 0..<batch {
      let buffer = Tensor(uninitialized: [capacity, rowSize])
      if !cache.isEmpty, count > 0 {
        buffer.floats.update(from: cache[row].floats + first * rowSize, count: count * rowSize)
      }
      fresh.append(buffer)
    }
    cache = fresh
    first = 0
  }
}
