import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("mLSTM")
  struct MLSTMTests {
    @Test(
      "agrees with the reference, forward and backward, in chunks and by steps",
      arguments: [1, 3, 8, 16, 33], [1, 4, 16, 31, 40])
    func agreesWithReference(keys: Int, values: Int) {
      for (time, chunk) in [(2, 64), (17, 5), (64, 64), (65, 64), (130, 64)] {
        let memory = MatrixMemory(
          batch: 2, time: time, heads: 2, keys: keys, values: values, chunk: chunk, seed: 1)
        let expected = memory.forward(.reference)
        let fromNothing = memory.forward(.reference, fromNothing: true)
        let gradients = memory.backward(reference: true)
        onEveryTarget { target in
          let context = "\(target), T \(time), K \(keys), V \(values), chunk \(chunk)"
          for way in [MatrixMemory.Way.chunks, .steps] {
            let actual = memory.forward(way)
            expectClose(actual.h, expected.h, ofLargest: 2e-5, "h, \(way), \(context)")
            expectClose(actual.state, expected.state, ofLargest: 2e-5, "state, \(way), \(context)")
          }
          expectClose(
            memory.forward(.chunks, fromNothing: true).h, fromNothing.h, ofLargest: 2e-5, context)
          let actual = memory.backward()
          for (name, path) in MatrixMemory.Gradients.parts {
            expectClose(
              actual[keyPath: path], gradients[keyPath: path], ofLargest: 5e-5,
              "\(name), \(context)")
          }
        }
      }
    }

    @Test("follows a hand-worked example")
    func followsExample() {
      // K = V = 1, q = k = 1, open forget gates, input gates e⁰ and e^{ln 3}: C is v₁, then
      // v₁ + 3 v₂; n is 1, then 4.
      var memory = MatrixMemory(
        batch: 1, time: 2, heads: 1, keys: 1, values: 1, chunk: 64, seed: 1)
      (memory.x, memory.gates) = ([1, 1, 2, 1, 1, 6], [0, 1000, Float(log(3.0)), 1000])
      for way in MatrixMemory.Way.allCases {
        expectClose(memory.forward(way, fromNothing: true).h, [2, 5], relative: 4e-6, "\(way)")
      }
      // A query against what was seen, n · q = −4, and a small one: h = y / max(|n · q|, 1).
      memory.x = [-1, 1, 2, -1, 1, 6]
      expectClose(memory.forward(.chunks, fromNothing: true).h, [-2, -5], relative: 4e-6)
      memory.x = [0.5, 1, 2, 0.125, 1, 6]
      expectClose(memory.forward(.chunks, fromNothing: true).h, [1, 2.5], relative: 4e-6)
    }

    @Test("stays finite where gates are large, of either sign")
    func staysFinite() {
      let memory = MatrixMemory(
        batch: 2, time: 100, heads: 2, keys: 8, values: 8, chunk: 64, seed: 5, gateScale: 300)
      for way in MatrixMemory.Way.allCases {
        #expect(memory.forward(way, fromNothing: true).h.allSatisfy { $0.isFinite }, "\(way)")
      }
      let gradients = memory.backward()
      for (name, path) in MatrixMemory.Gradients.parts {
        #expect(gradients[keyPath: path].allSatisfy { $0.isFinite }, "\(name)")
      }
    }

    @Test("does not hide what is not a number")
    func keepsNotANumber() {
      var memory = MatrixMemory(
        batch: 1, time: 70, heads: 1, keys: 4, values: 4, chunk: 64, seed: 6)
      memory.gates[2 * 20] = .nan
      for way in MatrixMemory.Way.allCases {
        let h = memory.forward(way, fromNothing: true).h
        #expect(h[0..<80].allSatisfy { $0.isFinite }, "\(way)")
        #expect(h[80...].allSatisfy { $0.isNaN }, "\(way)")
      }
    }

    @Test("continues from a state", arguments: [1, 2, 64], [1, 3, 70])
    func continues(first: Int, second: Int) {
      let memory = MatrixMemory(
        batch: 1, time: first + second, heads: 2, keys: 6, values: 10, chunk: 64, seed: 2)
      let expected = memory.forward(.chunks)
      let head = memory.tokens(0..<first, state: memory.state).forward(.chunks)
      let tail = memory.tokens(first..<first + second, state: head.state).forward(.chunks)
      expectClose(head.h + tail.h, expected.h, ofLargest: 1e-5)
      expectClose(tail.state, expected.state, ofLargest: 1e-5)
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      let memory = MatrixMemory(
        batch: 3, time: 90, heads: 3, keys: 9, values: 11, chunk: 64, seed: 3)
      expectSameBitsAtAnyThreadCount("forward") { memory.forward(.chunks).h }
      expectSameBitsAtAnyThreadCount("backward") {
        let g = memory.backward()
        return g.dq + g.dk + g.dv + g.dgates
      }
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      let memory = MatrixMemory(
        batch: 2, time: 5, heads: 2, keys: 3, values: 2, chunk: 64, seed: 4)
      let g = memory.backward(reference: true)
      let dx = numericalGradient(of: { memory.lossInDouble(x: $0) }, at: memory.x)
      let dgates = numericalGradient(of: { memory.lossInDouble(gates: $0) }, at: memory.gates)
      expectClose(memory.joined(g), dx, ofLargest: 1e-5, "q, k, v")
      expectClose(g.dgates, dgates, ofLargest: 1e-5, "gates")
    }
  }
}

/// Inputs of one mLSTM; rows of x are queries, keys and values.
struct MatrixMemory {
  enum Way: CaseIterable { case chunks, steps, reference }

  struct Gradients {
    var dq, dk, dv, dgates: [Float]
    static var parts: [(String, KeyPath<Gradients, [Float]>)] {
      [("dq", \.dq), ("dk", \.dk), ("dv", \.dv), ("dgates", \.dgates)]
    }
  }

  var shape: apus_mlstm_shape
  var x, gates, dh, state: [Float]

  init(
    batch: Int, time: Int, heads: Int, keys: Int, values: Int, chunk: Int, seed: UInt64,
    gateScale: Float = 1
  ) {
    shape = apus_mlstm_shape(
      batch: batch, time: time, heads: heads, key_size: keys, value_size: values,
      x_stride: heads * (2 * keys + values), chunk: chunk, epsilon: 1e-6)
    x = random(batch * time * shape.x_stride, seed: seed)
    gates = random(batch * time * 2 * heads, seed: seed + 1, scale: gateScale)
    dh = random(batch * time * heads * values, seed: seed + 2)
    state = random(batch * heads * (keys * values + keys + 1), seed: seed + 3)
  }

  private var keys: Int { shape.heads * shape.key_size }

  /// Some tokens of a batch of one, from another state.
  func tokens(_ range: Range<Int>, state: [Float]) -> MatrixMemory {
    var part = self
    part.shape.time = range.count
    let (width, pair) = (shape.x_stride, 2 * shape.heads)
    part.x = Array(x[range.lowerBound * width..<range.upperBound * width])
    part.gates = Array(gates[range.lowerBound * pair..<range.upperBound * pair])
    part.dh = Array(dh[0..<range.count * shape.heads * shape.value_size])
    part.state = state
    return part
  }

  func forward(_ way: Way, fromNothing: Bool = false) -> (h: [Float], state: [Float]) {
    var (h, state) = ([Float](repeating: poison, count: dh.count), state)
    // A step needs a state.
    if fromNothing { state = state.map { _ in 0 } }
    let hasNone = fromNothing && way != .steps
    var shape = shape
    x.withUnsafeBufferPointer { x in
      state.withUnsafeMutableBufferPointer { state in
        guard let q = x.baseAddress, let first = state.baseAddress else { return }
        let (k, v, own) = (q + keys, q + 2 * keys, hasNone ? nil : first)
        switch way {
        case .chunks: apus_mlstm_f32(&h, nil, own, nil, q, k, v, gates, &shape)
        case .steps: apus_mlstm_step_f32(&h, first, q, k, v, gates, &shape)
        case .reference: apus_mlstm_reference_f32(&h, own, q, k, v, gates, &shape)
        }
      }
    }
    return (h, state)
  }

  func backward(reference: Bool = false) -> Gradients {
    var dx = [Float](repeating: poison, count: x.count)
    var dgates = [Float](repeating: poison, count: gates.count)
    var shape = shape
    let chunks = (shape.time + shape.chunk - 1) / shape.chunk
    var h = [Float](repeating: poison, count: dh.count)
    var norms = [Float](repeating: poison, count: gates.count)
    var points = [Float](repeating: poison, count: state.count * chunks)
    x.withUnsafeBufferPointer { x in
      dx.withUnsafeMutableBufferPointer { dx in
        guard let q = x.baseAddress, let dq = dx.baseAddress else { return }
        let (k, v, dk, dv) = (q + keys, q + 2 * keys, dq + keys, dq + 2 * keys)
        if reference {
          apus_mlstm_backward_reference_f32(dq, dk, dv, &dgates, dh, q, k, v, gates, &shape)
        } else {
          apus_mlstm_f32(&h, &norms, nil, &points, q, k, v, gates, &shape)
          apus_mlstm_backward_f32(
            dq, dk, dv, &dgates, dh, h, norms, points, q, k, v, gates, &shape)
        }
      }
    }
    func columns(_ range: Range<Int>) -> [Float] {
      (0..<shape.batch * shape.time).flatMap { (row: Int) -> ArraySlice<Float> in
        let start = row * shape.x_stride
        return dx[start + range.lowerBound..<start + range.upperBound]
      }
    }
    return Gradients(
      dq: columns(0..<keys), dk: columns(keys..<2 * keys),
      dv: columns(2 * keys..<shape.x_stride), dgates: dgates)
  }

  /// Gradients of q, k and v as rows of x.
  func joined(_ g: Gradients) -> [Float] {
    let values = shape.heads * shape.value_size
    return (0..<shape.batch * shape.time).flatMap { (row: Int) -> [Float] in
      let (q, k) = (g.dq[row * keys..<(row + 1) * keys], g.dk[row * keys..<(row + 1) * keys])
      return Array(q) + Array(k) + Array(g.dv[row * values..<(row + 1) * values])
    }
  }

  /// Σ dh · h from nothing, in double and without a stabilizer.
  func lossInDouble(x: [Double]? = nil, gates: [Double]? = nil) -> Double {
    let (x, gates) = (x ?? self.x.map(Double.init), gates ?? self.gates.map(Double.init))
    let (heads, size, values) = (shape.heads, shape.key_size, shape.value_size)
    var loss = 0.0
    for sequence in 0..<shape.batch * heads {
      let (row, head) = (sequence / heads, sequence % heads)
      var cells = [Double](repeating: 0, count: size * (values + 1))
      for t in row * shape.time..<(row + 1) * shape.time {
        let write = exp(gates[t * 2 * heads + head])
        let keep = 1 / (1 + exp(-gates[t * 2 * heads + heads + head]))
        var sums = [Double](repeating: 0, count: values + 1)
        for a in 0..<size {
          let key = t * shape.x_stride + head * size + a
          for b in 0...values {
            let value = b < values ? x[t * shape.x_stride + 2 * keys + head * values + b] : 1
            let place = a * (values + 1) + b
            cells[place] = keep * cells[place] + write * x[key + keys] * value
            sums[b] += x[key] / Double(size).squareRoot() * cells[place]
          }
        }
        for b in 0..<values {
          loss += Double(dh[(t * heads + head) * values + b]) * sums[b] / max(abs(sums[values]), 1)
        }
      }
    }
    return loss
  }
}
