import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("sLSTM")
  struct SLSTMTests {
    @Test(
      "agrees with the reference, forward and backward",
      arguments: [1, 3, 4, 7, 16, 33], [1, 2, 6, 7, 13])
    func agreesWithReference(size: Int, batch: Int) {
      for (time, heads) in [(1, 1), (2, 3), (5, 1), (17, 2)] {
        let cell = ScalarMemory(batch: batch, time: time, heads: heads, size: size, seed: 1)
        let expected = cell.forward(reference: true)
        let past = cell.forward(reference: true, fromNothing: true)
        let gradients = cell.backward(past, reference: true)
        onEveryTarget { target in
          let context = "\(target), B \(batch), T \(time), H \(heads), P \(size)"
          for (actual, expected) in [
            (cell.forward(), expected), (cell.forward(fromNothing: true), past),
          ] {
            expectClose(actual.hidden, expected.hidden, ofLargest: 1e-5, "hidden, \(context)")
            expectClose(actual.cells, expected.cells, ofLargest: 1e-5, "cells, \(context)")
            expectClose(actual.norms, expected.norms, ofLargest: 1e-5, "norms, \(context)")
            expectClose(actual.slopes, expected.slopes, ofLargest: 1e-5, "slopes, \(context)")
            expectClose(actual.gates, expected.gates, ofLargest: 1e-5, "gates, \(context)")
            expectClose(actual.state, expected.state, ofLargest: 1e-5, "state, \(context)")
          }
          let g = cell.backward(past)
          expectClose(g.dgates, gradients.dgates, ofLargest: 1e-5, "dgates, \(context)")
          expectClose(g.drecurrent, gradients.drecurrent, ofLargest: 1e-5, "dR, \(context)")
        }
      }
    }

    @Test("follows a hand-worked example: the memory is a mean weighted by the input gates")
    func followsExample() {
      // Forget gates open, input gates e⁰ and e^{ln 3}, candidates tanh 1 and tanh −1, outputs ½:
      // c/n is first tanh 1, then (tanh 1 − 3 tanh 1) / 4.
      var gates: [Float] = [0, 0, 1, 0, Float(log(3.0)), 1000, -1, 0]
      var (hidden, cells, norms) = ([poison, poison], [poison, poison], [poison, poison])
      var slopes = norms
      var shape = apus_slstm_shape(batch: 1, time: 2, heads: 1, head_size: 1)
      apus_slstm_f32(
        &hidden, &cells, &norms, &slopes, &gates, nil, [0, 0, 0, 0], &shape)
      let bent = tanh(1.0)
      expectClose(hidden, [Float(bent / 2), Float(-bent / 4)], relative: 2e-6)
    }

    @Test("stays finite where gates are large, of either sign")
    func staysFinite() {
      let cell = ScalarMemory(batch: 2, time: 40, heads: 1, size: 5, seed: 5, gateScale: 200)
      let past = cell.forward(fromNothing: true)
      let expected = cell.forward(reference: true, fromNothing: true)
      #expect(past.hidden.allSatisfy { abs($0) <= 1 })
      expectClose(past.hidden, expected.hidden, absolute: 1e-4)
      #expect(cell.backward(past).dgates.allSatisfy { $0.isFinite })
    }

    @Test("continues from a state", arguments: [1, 2, 5], [1, 3, 8])
    func continues(first: Int, second: Int) {
      let cell = ScalarMemory(batch: 1, time: first + second, heads: 2, size: 10, seed: 2)
      let expected = cell.forward()
      let head = cell.tokens(0..<first, state: cell.state).forward()
      let tail = cell.tokens(first..<first + second, state: head.state).forward()
      #expect(head.hidden + tail.hidden == expected.hidden)
      #expect(tail.state == expected.state)
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      let cell = ScalarMemory(batch: 25, time: 9, heads: 3, size: 11, seed: 3)
      let past = cell.forward(fromNothing: true)
      expectSameBitsAtAnyThreadCount("forward") { cell.forward().hidden }
      expectSameBitsAtAnyThreadCount("backward") {
        let g = cell.backward(past)
        return g.dgates + g.drecurrent
      }
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      let cell = ScalarMemory(batch: 2, time: 4, heads: 2, size: 3, seed: 4)
      let past = cell.forward(reference: true, fromNothing: true)
      let g = cell.backward(past, reference: true)
      for (name, path, actual) in [
        ("gates", \ScalarMemory.gates, g.dgates), ("R", \ScalarMemory.recurrent, g.drecurrent),
      ] {
        let expected = numericalGradient(
          of: { cell.lossInDouble(replacing: path, by: $0) }, at: cell[keyPath: path])
        expectClose(actual, expected, ofLargest: 1e-5, name)
      }
    }
  }
}

/// Inputs of one sLSTM; `gates` holds what does not depend on earlier tokens, `[B, T, H, 4, P]`.
struct ScalarMemory {
  var shape: apus_slstm_shape
  let gates, recurrent, dhidden, state: [Float]

  struct Past {
    var hidden, cells, norms, slopes, gates, state: [Float]
  }

  init(
    batch: Int, time: Int, heads: Int, size: Int, seed: UInt64, gateScale: Float = 1
  ) {
    shape = apus_slstm_shape(batch: batch, time: time, heads: heads, head_size: size)
    let width = heads * size
    gates = random(batch * time * 4 * width, seed: seed, scale: gateScale)
    recurrent = random(width * 4 * size, seed: seed + 1, scale: 0.5)
    dhidden = random(batch * time * width, seed: seed + 2)
    let values = random(batch * 4 * width, seed: seed + 3)
    // A normalizer is at least one.
    state = values.indices.map { $0 / width % 4 == 2 ? 1 + abs(values[$0]) : values[$0] }
  }

  init(_ other: ScalarMemory, tokens range: Range<Int>, state: [Float]) {
    shape = other.shape
    shape.time = range.count
    let width = 4 * shape.heads * shape.head_size
    gates = Array(other.gates[range.lowerBound * width..<range.upperBound * width])
    (recurrent, dhidden, self.state) = (other.recurrent, other.dhidden, state)
  }

  /// Some tokens of a batch of one, from another state.
  func tokens(_ range: Range<Int>, state: [Float]) -> ScalarMemory {
    ScalarMemory(self, tokens: range, state: state)
  }

  func forward(reference: Bool = false, fromNothing: Bool = false) -> Past {
    let empty = [Float](repeating: poison, count: gates.count / 4)
    var past = Past(
      hidden: empty, cells: empty, norms: empty, slopes: empty, gates: gates, state: state)
    var shape = shape
    let run = reference ? apus_slstm_reference_f32 : apus_slstm_f32
    if fromNothing {
      run(
        &past.hidden, &past.cells, &past.norms, &past.slopes, &past.gates, nil, recurrent, &shape)
    } else {
      run(
        &past.hidden, &past.cells, &past.norms, &past.slopes, &past.gates, &past.state, recurrent,
        &shape)
    }
    return past
  }

  func backward(_ past: Past, reference: Bool = false) -> (dgates: [Float], drecurrent: [Float]) {
    var dgates = [Float](repeating: poison, count: gates.count)
    var drecurrent = [Float](repeating: poison, count: recurrent.count)
    var shape = shape
    let run = reference ? apus_slstm_backward_reference_f32 : apus_slstm_backward_f32
    run(
      &dgates, &drecurrent, dhidden, past.hidden, past.cells, past.norms, past.slopes, past.gates,
      recurrent, &shape)
    return (dgates, drecurrent)
  }

  /// Σ dhidden · hidden from nothing, in double and without a stabilizer, with one input replaced.
  func lossInDouble(
    replacing path: KeyPath<ScalarMemory, [Float]>, by values: [Double]
  ) -> Double {
    func read(_ other: KeyPath<ScalarMemory, [Float]>) -> [Double] {
      other == path ? values : self[keyPath: other].map(Double.init)
    }
    let (gates, recurrent) = (read(\.gates), read(\.recurrent))
    let (heads, size) = (shape.heads, shape.head_size)
    func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
    var loss = 0.0
    for sequence in 0..<shape.batch * heads {
      let (row, head) = (sequence / heads, sequence % heads)
      let none = [Double](repeating: 0, count: size)
      var (h, c, n) = (none, none, none)
      for t in row * shape.time..<(row + 1) * shape.time {
        let place = (t * heads + head) * size
        let sums = (0..<4 * size).map { j in
          gates[4 * place + j]
            + (0..<size).reduce(0) { $0 + h[$1] * recurrent[(head * size + $1) * 4 * size + j] }
        }
        for e in 0..<size {
          let (write, keep) = (exp(sums[e]), sigmoid(sums[size + e]))
          c[e] = keep * c[e] + write * tanh(sums[2 * size + e])
          n[e] = keep * n[e] + write
          h[e] = sigmoid(sums[3 * size + e]) * c[e] / n[e]
          loss += Double(dhidden[place + e]) * h[e]
        }
      }
    }
    return loss
  }
}
