import CApusKernels
import Testing

/// Normal numbers by adding twelve uniform ones (splitmix64); good enough to test with.
struct TestNumbers {
  private var state: UInt64

  init(seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 }

  mutating func uniform() -> Float {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Float((z ^ (z >> 31)) >> 40) / 16_777_216
  }

  mutating func normal() -> Float { (0..<12).reduce(-6) { sum, _ in sum + uniform() } }

  mutating func normals(_ count: Int) -> [Float] { (0..<count).map { _ in normal() } }
}

/// An attention call with its inputs. Tokens lie a little further apart than they are long, so that a
/// kernel that mistakes the stride or writes between tokens is found out.
struct AttentionProblem {
  var batch = 1
  var queries: Int
  var keys: Int
  var heads = 1
  var kvHeads = 1
  var headSize: Int
  var window = 0
  var causal = true
  var scale: Float
  var q: [Float]
  var k: [Float]
  var v: [Float]
  var dout: [Float]

  private static let gap = 3
  private var queryStride: Int { heads * headSize + Self.gap }
  private var keyStride: Int { kvHeads * headSize + Self.gap }
  private var outputStride: Int { heads * headSize + 2 * Self.gap }

  init(
    batch: Int = 1, queries: Int, keys: Int, heads: Int = 1, group: Int = 1, headSize: Int,
    window: Int = 0, causal: Bool = true, seed: Int = 1
  ) {
    self.batch = batch
    self.queries = queries
    self.keys = keys
    self.heads = heads
    self.kvHeads = heads / group
    self.headSize = headSize
    self.window = window
    self.causal = causal
    scale = 1 / Float(headSize).squareRoot()
    (q, k, v, dout) = ([], [], [], [])
    var numbers = TestNumbers(seed: seed)
    q = numbers.normals(batch * queries * queryStride)
    k = numbers.normals(batch * keys * keyStride)
    v = numbers.normals(batch * keys * keyStride)
    dout = numbers.normals(batch * queries * outputStride)
  }

  var shape: apus_attention_shape {
    var shape = apus_attention_shape()
    (shape.batch, shape.queries, shape.keys) = (batch, queries, keys)
    (shape.heads, shape.kv_heads, shape.head_size) = (heads, kvHeads, headSize)
    (shape.q_stride, shape.k_stride, shape.v_stride) = (queryStride, keyStride, keyStride)
    (shape.q_batch, shape.k_batch) = (queries * queryStride, keys * keyStride)
    (shape.v_batch, shape.o_batch) = (keys * keyStride, queries * outputStride)
    shape.o_stride = outputStride
    (shape.window, shape.causal, shape.scale) = (window, causal ? 1 : 0, scale)
    return shape
  }

  /// Output `[B, T_q, heads · size]` and log-sum-exp `[B, heads, T_q]`, without the gaps.
  struct Values: Equatable {
    var o: [Float]
    var lse: [Float]
  }

  /// Gradients without the gaps.
  struct Gradients: Equatable {
    var dq: [Float]
    var dk: [Float]
    var dv: [Float]
  }

  func forward(reference: Bool = false) -> Values {
    let (o, lse) = rawForward(reference: reference)
    return Values(o: dense(o, queryStride: outputStride), lse: lse)
  }

  func backward(reference: Bool = false) -> Gradients {
    let (o, lse) = rawForward(reference: reference)
    var dq = [Float](repeating: .nan, count: q.count)
    var dk = [Float](repeating: .nan, count: k.count)
    var dv = [Float](repeating: .nan, count: v.count)
    let call = reference ? apus_attention_backward_reference_f32 : apus_attention_backward_f32
    withUnsafePointer(to: shape) { call(&dq, &dk, &dv, dout, q, k, v, o, lse, $0) }
    return Gradients(
      dq: dense(dq, queryStride: queryStride),
      dk: dense(dk, rows: keys, length: kvHeads * headSize, stride: keyStride),
      dv: dense(dv, rows: keys, length: kvHeads * headSize, stride: keyStride))
  }

  private func rawForward(reference: Bool) -> (o: [Float], lse: [Float]) {
    var o = [Float](repeating: .nan, count: dout.count)
    var lse = [Float](repeating: .nan, count: batch * heads * queries)
    let call = reference ? apus_attention_reference_f32 : apus_attention_f32
    withUnsafePointer(to: shape) { call(&o, &lse, q, k, v, $0) }
    return (o, lse)
  }

  private func dense(_ x: [Float], queryStride: Int) -> [Float] {
    dense(x, rows: queries, length: heads * headSize, stride: queryStride)
  }

  /// Drops the gaps, which must still hold the poison.
  private func dense(_ x: [Float], rows: Int, length: Int, stride: Int) -> [Float] {
    var result: [Float] = []
    result.reserveCapacity(batch * rows * length)
    for row in 0..<(batch * rows) {
      result += x[row * stride..<row * stride + length]
      let gap = x[row * stride + length..<(row + 1) * stride]
      if gap.contains(where: { !$0.isNaN }) {
        Issue.record("the gap after row \(row) was written to")
      }
    }
    return result
  }

  /// Index of feature `c` of `head` at key `j` of batch row 0 in `k` and `v`.
  func keyIndex(_ j: Int, head: Int = 0, _ c: Int) -> Int { j * keyStride + head * headSize + c }
  /// The same for `q`.
  func queryIndex(_ i: Int, head: Int = 0, _ c: Int) -> Int {
    i * queryStride + head * headSize + c
  }

  /// Σ o · dout by the reference, for finite differences.
  func loss() -> Double {
    let (o, _) = rawForward(reference: true)
    var sum = 0.0
    for row in 0..<(batch * queries) {
      for c in 0..<(heads * headSize) {
        sum += Double(o[row * outputStride + c]) * Double(dout[row * outputStride + c])
      }
    }
    return sum
  }
}

extension AttentionProblem: CustomStringConvertible {
  var description: String {
    "B \(batch) Tq \(queries) Tk \(keys) heads \(heads)/\(kvHeads) size \(headSize) "
      + "window \(window) causal \(causal)"
  }
}

/// The largest |a − b|; +∞ where only one is a number. Equal infinities agree.
func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).reduce(0) { largest, pair in
    if pair.0 == pair.1 { return largest }
    let difference = abs(pair.0 - pair.1)
    return difference.isNaN ? .infinity : max(largest, difference)
  }
}

/// The largest finite |x|, at least 1.
func magnitude(_ x: [Float]) -> Float { x.reduce(1) { $1.isFinite ? max($0, abs($1)) : $0 } }

/// Runs `body` with `count` threads, then returns to all.
func withThreads<Result>(_ count: Int32, _ body: () -> Result) -> Result {
  defer { apus_set_threads(0) }
  apus_set_threads(count)
  return body()
}
