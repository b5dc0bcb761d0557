import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("LSTM")
  struct LSTMTests {
    @Test(
      "agrees with the reference, forward and backward",
      arguments: [1, 3, 7, 16, 33, 70], [1, 2, 6, 7, 13])
    func agreesWithReference(features: Int, batch: Int) {
      for time in [1, 2, 5, 17] {
        let lstm = Recurrence(batch: batch, time: time, features: features, seed: 1)
        let expected = lstm.forward(reference: true)
        let past = lstm.forward(reference: true, fromZeros: true)
        let gradients = lstm.backward(past, reference: true)
        onEveryTarget { target in
          let context = "\(target), B \(batch), T \(time), H \(features)"
          let actual = lstm.forward()
          expectClose(actual.hidden, expected.hidden, ofLargest: 1e-5, "hidden, \(context)")
          expectClose(actual.cells, expected.cells, ofLargest: 1e-5, "cells, \(context)")
          expectClose(actual.gates, expected.gates, ofLargest: 1e-5, "gates, \(context)")
          expectClose(actual.state, expected.state, ofLargest: 1e-5, "state, \(context)")
          let g = lstm.backward(past)
          expectClose(g.dgates, gradients.dgates, ofLargest: 1e-5, "dgates, \(context)")
          expectClose(g.drecurrent, gradients.drecurrent, ofLargest: 1e-5, "dU, \(context)")
        }
      }
    }

    @Test("follows a hand-worked example")
    func followsExample() {
      // All gates ½ and the candidate tanh 1; then again, with h = 0 by an output gate of 0.
      var gates: [Float] = [0, 0, 1, -100, 0, 0, 1, 100]
      var (hidden, cells) = ([poison, poison], [poison, poison])
      apus_lstm_f32(&hidden, &cells, &gates, nil, [5, 6, 7, 8], 1, 2, 1)
      let (first, second) = (tanh(1.0) / 2, tanh(1.0) * 0.75)
      expectClose(cells, [Float(first), Float(second)], relative: 1e-6)
      expectClose(hidden, [0, Float(tanh(second))], relative: 1e-6, absolute: 1e-30)
    }

    @Test("continues from a state", arguments: [1, 2, 5], [1, 3, 8])
    func continues(first: Int, second: Int) {
      let lstm = Recurrence(batch: 1, time: first + second, features: 20, seed: 2)
      let expected = lstm.forward()
      let head = lstm.tokens(0..<first, state: lstm.state).forward()
      let tail = lstm.tokens(first..<first + second, state: head.state).forward()
      #expect(head.hidden + tail.hidden == expected.hidden)
      #expect(tail.state == expected.state)
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      let lstm = Recurrence(batch: 25, time: 9, features: 33, seed: 3)
      let past = lstm.forward(fromZeros: true)
      expectSameBitsAtAnyThreadCount("forward") { lstm.forward().hidden }
      expectSameBitsAtAnyThreadCount("backward") {
        let g = lstm.backward(past)
        return g.dgates + g.drecurrent
      }
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      let lstm = Recurrence(batch: 2, time: 4, features: 3, seed: 4)
      let past = lstm.forward(reference: true, fromZeros: true)
      let g = lstm.backward(past, reference: true)
      for (name, path, actual) in [
        ("gates", \Recurrence.gates, g.dgates), ("U", \Recurrence.recurrent, g.drecurrent),
      ] {
        let expected = numericalGradient(
          of: { lstm.lossInDouble(replacing: path, by: $0) }, at: lstm[keyPath: path])
        expectClose(actual, expected, ofLargest: 1e-5, name)
      }
    }
  }
}

/// Inputs of one LSTM; `gates` holds W x + b.
struct Recurrence {
  let batch, time, features: Int
  let gates, recurrent, dhidden, state: [Float]

  struct Past {
    var hidden, cells, gates, state: [Float]
  }

  init(batch: Int, time: Int, features: Int, seed: UInt64) {
    self.init(
      batch: batch, time: time, features: features,
      gates: random(batch * time * 4 * features, seed: seed),
      recurrent: random(4 * features * features, seed: seed + 1, scale: 0.5),
      dhidden: random(batch * time * features, seed: seed + 2),
      state: random(batch * 2 * features, seed: seed + 3))
  }

  init(
    batch: Int, time: Int, features: Int, gates: [Float], recurrent: [Float], dhidden: [Float],
    state: [Float]
  ) {
    (self.batch, self.time, self.features) = (batch, time, features)
    (self.gates, self.recurrent) = (gates, recurrent)
    (self.dhidden, self.state) = (dhidden, state)
  }

  func forward(reference: Bool = false, fromZeros: Bool = false) -> Past {
    let empty = [Float](repeating: poison, count: batch * time * features)
    var past = Past(hidden: empty, cells: empty, gates: gates, state: state)
    let run = reference ? apus_lstm_reference_f32 : apus_lstm_f32
    if fromZeros {
      run(&past.hidden, &past.cells, &past.gates, nil, recurrent, batch, time, features)
    } else {
      run(
        &past.hidden, &past.cells, &past.gates, &past.state, recurrent, batch, time, features)
    }
    return past
  }

  func backward(_ past: Past, reference: Bool = false) -> (dgates: [Float], drecurrent: [Float]) {
    var dgates = [Float](repeating: poison, count: gates.count)
    var drecurrent = [Float](repeating: poison, count: recurrent.count)
    let run = reference ? apus_lstm_backward_reference_f32 : apus_lstm_backward_f32
    run(
      &dgates, &drecurrent, dhidden, past.hidden, past.cells, past.gates, recurrent, batch, time,
      features)
    return (dgates, drecurrent)
  }

  /// Some tokens of a batch of one, from another state.
  func tokens(_ range: Range<Int>, state: [Float]) -> Recurrence {
    let width = 4 * features
    return Recurrence(
      batch: 1, time: range.count, features: features,
      gates: Array(gates[range.lowerBound * width..<range.upperBound * width]),
      recurrent: recurrent, dhidden: dhidden, state: state)
  }

  /// Σ dhidden · hidden from zeros, in double, with one input replaced.
  func lossInDouble(replacing path: KeyPath<Recurrence, [Float]>, by values: [Double]) -> Double {
    func read(_ other: KeyPath<Recurrence, [Float]>) -> [Double] {
      other == path ? values : self[keyPath: other].map(Double.init)
    }
    let (gates, recurrent) = (read(\.gates), read(\.recurrent))
    func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
    var loss = 0.0
    for row in 0..<batch {
      var (h, c) = (
        [Double](repeating: 0, count: features), [Double](repeating: 0, count: features)
      )
      for t in row * time..<(row + 1) * time {
        let sums = (0..<4 * features).map { j in
          gates[t * 4 * features + j]
            + (0..<features).reduce(0) { $0 + recurrent[j * features + $1] * h[$1] }
        }
        for e in 0..<features {
          c[e] =
            sigmoid(sums[features + e]) * c[e] + sigmoid(sums[e]) * tanh(sums[2 * features + e])
          h[e] = sigmoid(sums[3 * features + e]) * tanh(c[e])
          loss += Double(dhidden[t * features + e]) * h[e]
        }
      }
    }
    return loss
  }
}
