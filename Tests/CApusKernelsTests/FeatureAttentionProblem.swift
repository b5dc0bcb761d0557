import CApusKernels
import Testing

/// A call of feature attention with its inputs. Tokens lie a little further apart than they are
/// long, so that a kernel that mistakes a stride or writes between tokens is found out.
struct FeatureAttentionProblem {
  var shape = apus_feature_shape()
  var q: [Float]
  var k: [Float]
  var v: [Float]
  var w: [Float]
  var mixing: [Float]
  var dout: [Float]

  init(
    _ kind: apus_features, batch: Int = 1, time: Int, heads: Int = 1, size: Int,
    valueSize: Int? = nil,
    features: Int, groups: Int = 1, spread: Float = 1, seed: Int = 1
  ) {
    (q, k, v, w, mixing, dout) = ([], [], [], [], [], [])
    let values = valueSize ?? size
    (shape.batch, shape.time, shape.heads) = (batch, time, heads)
    (shape.head_size, shape.value_size) = (size, values)
    shape.features = kind == APUS_FEATURES_ELU ? size : features
    (shape.q_stride, shape.k_stride) = (heads * size + 3, heads * size + 1)
    (shape.v_stride, shape.o_stride) = (heads * values + 2, heads * values + 4)
    (shape.groups, shape.kind) = (groups, kind)
    shape.scale = 1 / Float(size).squareRoot().squareRoot()
    shape.epsilon = kind == APUS_FEATURES_ELU ? 1e-6 : 0
    var numbers = TestNumbers(seed: seed)
    q = numbers.normals(batch * time * shape.q_stride).map { $0 * spread }
    k = numbers.normals(batch * time * shape.k_stride).map { $0 * spread }
    v = numbers.normals(batch * time * shape.v_stride)
    w = numbers.normals(groups * shape.features * size)
    let root = Float(shape.features).squareRoot()
    mixing = numbers.normals(groups * shape.features * shape.features).map { $0 / root }
    dout = numbers.normals(batch * time * shape.o_stride)
  }

  var heads: Int { shape.batch * shape.heads }
  var stateSize: Int { withUnsafePointer(to: shape) { apus_feature_state_size($0) } }

  struct Gradients: Equatable {
    var dq: [Float]
    var dk: [Float]
    var dv: [Float]
    var dw: [Float]
    var dmixing: [Float]

    var named: [(String, [Float])] {
      [("dq", dq), ("dk", dk), ("dv", dv), ("dw", dw), ("dmixing", dmixing)]
    }
  }

  func forward(reference: Bool = false) -> [Float] {
    dense(rawForward(reference).o, shape.o_stride)
  }

  private func rawForward(_ reference: Bool) -> (o: [Float], checkpoints: [Float]) {
    var o = [Float](repeating: poison, count: dout.count)
    let count = withUnsafePointer(to: shape) { apus_feature_checkpoints($0) }
    var checkpoints = [Float](repeating: poison, count: heads * count * stateSize)
    withUnsafePointer(to: shape) {
      if reference {
        apus_feature_attention_reference_f32(&o, q, k, v, w, mixing, $0)
      } else {
        apus_feature_attention_f32(&o, nil, &checkpoints, q, k, v, w, mixing, $0)
      }
    }
    return (o, checkpoints)
  }

  func backward(reference: Bool = false) -> Gradients {
    var dq = [Float](repeating: poison, count: q.count)
    var dk = [Float](repeating: poison, count: k.count)
    var dv = [Float](repeating: poison, count: v.count)
    let isGaussian = shape.kind == APUS_FEATURES_GAUSSIAN
    var dw = [Float](repeating: poison, count: isGaussian ? w.count : 0)
    var dmixing = [Float](repeating: poison, count: isGaussian ? mixing.count : 0)
    let (o, checkpoints) = rawForward(false)
    withUnsafePointer(to: shape) { shape in
      dw.withUnsafeMutableBufferPointer { dw in
        dmixing.withUnsafeMutableBufferPointer { dmixing in
          let (dw, dmixing) = (
            isGaussian ? dw.baseAddress : nil, isGaussian ? dmixing.baseAddress : nil
          )
          if reference {
            apus_feature_attention_backward_reference_f32(
              &dq, &dk, &dv, dw, dmixing, dout, q, k, v, w, mixing, shape)
          } else {
            apus_feature_attention_backward_f32(
              &dq, &dk, &dv, dw, dmixing, dout, o, checkpoints, q, k, v, w, mixing, shape)
          }
        }
      }
    }
    return Gradients(
      dq: dense(dq, shape.q_stride), dk: dense(dk, shape.k_stride), dv: dense(dv, shape.v_stride),
      dw: dw, dmixing: dmixing)
  }

  /// The outputs of the same tokens in pieces, each from the state that the last one left.
  func streamed(_ pieces: [Int]) -> [Float] {
    var state = emptyState
    var o = [Float](repeating: poison, count: dout.count)
    var (start, index) = (0, 0)
    while start < shape.time {
      let count = min(pieces[index % pieces.count], shape.time - start)
      var part = shape
      part.time = count
      func cut(_ x: [Float], _ stride: Int) -> [Float] {
        var cut: [Float] = []
        for row in 0..<shape.batch {
          let first = (row * shape.time + start) * stride
          cut += x[first..<first + count * stride]
        }
        return cut
      }
      var piece = [Float](repeating: poison, count: shape.batch * count * shape.o_stride)
      withUnsafePointer(to: part) {
        apus_feature_attention_f32(
          &piece, &state, nil, cut(q, shape.q_stride), cut(k, shape.k_stride),
          cut(v, shape.v_stride), w, mixing, $0)
      }
      for row in 0..<shape.batch {
        let size = count * shape.o_stride
        let to = (row * shape.time + start) * shape.o_stride
        o.replaceSubrange(to..<to + size, with: piece[row * size..<(row + 1) * size])
      }
      (start, index) = (start + count, index + 1)
    }
    return dense(o, shape.o_stride)
  }

  /// Before any token: zeros, and −∞ for the largest logits.
  private var emptyState: [Float] {
    var head = [Float](repeating: 0, count: stateSize)
    if shape.kind == APUS_FEATURES_EXPONENTIAL {
      for i in stateSize - shape.features..<stateSize { head[i] = -.infinity }
    }
    return (0..<heads).flatMap { _ in head }
  }

  /// Drops the gaps, which must still hold the poison.
  private func dense(_ x: [Float], _ stride: Int) -> [Float] {
    let length =
      shape.heads
      * (stride == shape.v_stride || stride == shape.o_stride ? shape.value_size : shape.head_size)
    var result: [Float] = []
    for row in 0..<(shape.batch * shape.time) {
      result += x[row * stride..<row * stride + length]
      let gap = x[row * stride + length..<(row + 1) * stride]
      if gap.contains(where: { $0.bitPattern != poison.bitPattern }) {
        Issue.record("the gap after row \(row) was written to")
      }
    }
    return result
  }
}

extension FeatureAttentionProblem: CustomStringConvertible {
  var description: String {
    "kind \(shape.kind.rawValue) B \(shape.batch) T \(shape.time) heads \(shape.heads) size "
      + "\(shape.head_size)/\(shape.value_size) features \(shape.features) groups \(shape.groups)"
  }
}
