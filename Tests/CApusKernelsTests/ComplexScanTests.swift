import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Scan of complex numbers")
  struct ComplexScanTests {
    @Test(
      "agrees with the reference, forward and backward",
      arguments: [1, 3, 16, 33, 70, 130], [1, 2, 5])
    func agreesWithReference(states: Int, batch: Int) {
      for time in [1, 2, 65, 200] {
        let scan = Turning(batch: batch, time: time, states: states, seed: 1)
        let (expected, fromZeros) = (
          scan.forward(reference: true), scan.forward(reference: true, fromZeros: true)
        )
        let gradients = scan.backward(fromZeros.y, reference: true)
        onEveryTarget { target in
          let context = "\(target), B \(batch), T \(time), N \(states)"
          let actual = scan.forward()
          expectClose(actual.y, expected.y, ofLargest: 1e-5, "y, \(context)")
          expectClose(actual.state, expected.state, ofLargest: 1e-5, "state, \(context)")
          let y = scan.forward(fromZeros: true).y
          expectClose(y, fromZeros.y, ofLargest: 1e-5, "y from zeros, \(context)")
          let g = scan.backward(fromZeros.y)
          expectClose(g.dx, gradients.dx, ofLargest: 1e-5, "dx, \(context)")
          expectClose(g.ddecay, gradients.ddecay, ofLargest: 1e-5, "ddecay, \(context)")
          expectClose(g.dgain, gradients.dgain, ofLargest: 1e-5, "dgain, \(context)")
        }
      }
    }

    @Test("follows a hand-worked example")
    func followsExample() {
      // decay i, gain 2: h is 2 (1 + i), then i (2 + 2i) + 2 · 3 = 4 + 2i; y is its conjugate.
      var shape = apus_complex_scan_shape(batch: 1, time: 2, states: 1)
      var y = [Float](repeating: poison, count: 4)
      apus_complex_scan_f32(&y, nil, [1, 1, 3, 0], [0, 1], [2, 0], &shape)
      #expect(y == [2, -2, 4, -2])
    }

    @Test("continues from a state", arguments: [1, 2, 5], [1, 3, 8])
    func continues(first: Int, second: Int) {
      let scan = Turning(batch: 1, time: first + second, states: 10, seed: 2)
      let expected = scan.forward()
      let head = scan.tokens(0..<first, state: scan.state).forward()
      let tail = scan.tokens(first..<first + second, state: head.state).forward()
      #expect(head.y + tail.y == expected.y)
      #expect(tail.state == expected.state)
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      let scan = Turning(batch: 7, time: 90, states: 100, seed: 3)
      let past = scan.forward(fromZeros: true)
      expectSameBitsAtAnyThreadCount("forward") { scan.forward().y }
      expectSameBitsAtAnyThreadCount("backward") {
        let g = scan.backward(past.y)
        return g.dx + g.ddecay + g.dgain
      }
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      let scan = Turning(batch: 2, time: 4, states: 3, seed: 4)
      let g = scan.backward(scan.forward(reference: true, fromZeros: true).y, reference: true)
      for (name, path, actual) in [
        ("x", \Turning.x, g.dx), ("decay", \Turning.decay, g.ddecay),
        ("gain", \Turning.gain, g.dgain),
      ] {
        let expected = numericalGradient(
          of: { scan.lossInDouble(replacing: path, by: $0) }, at: scan[keyPath: path])
        expectClose(actual, expected, ofLargest: 1e-5, name)
      }
    }
  }
}

/// Inputs of one scan: real parts, then imaginary ones, `[..., 2, N]`.
struct Turning {
  var shape: apus_complex_scan_shape
  var x, decay, gain, dy, state: [Float]

  init(batch: Int, time: Int, states: Int, seed: UInt64) {
    shape = apus_complex_scan_shape(batch: batch, time: time, states: states)
    x = random(batch * time * 2 * states, seed: seed)
    decay = random(2 * states, seed: seed + 1, scale: 0.34)
    gain = random(2 * states, seed: seed + 2)
    dy = random(x.count, seed: seed + 3)
    state = random(batch * 2 * states, seed: seed + 4)
  }

  /// Some tokens of a batch of one, from another state.
  func tokens(_ range: Range<Int>, state: [Float]) -> Turning {
    var part = self
    part.shape.time = range.count
    let width = 2 * shape.states
    part.x = Array(x[range.lowerBound * width..<range.upperBound * width])
    part.state = state
    return part
  }

  func forward(reference: Bool = false, fromZeros: Bool = false) -> (y: [Float], state: [Float]) {
    var (y, state, shape) = ([Float](repeating: poison, count: x.count), state, shape)
    let run = reference ? apus_complex_scan_reference_f32 : apus_complex_scan_f32
    if fromZeros {
      run(&y, nil, x, decay, gain, &shape)
    } else {
      run(&y, &state, x, decay, gain, &shape)
    }
    return (y, state)
  }

  func backward(
    _ y: [Float], reference: Bool = false
  ) -> (dx: [Float], ddecay: [Float], dgain: [Float]) {
    var dx = [Float](repeating: poison, count: x.count)
    var (ddecay, dgain, shape) = (
      [Float](repeating: poison, count: decay.count),
      [Float](repeating: poison, count: gain.count), shape
    )
    let run =
      reference ? apus_complex_scan_backward_reference_f32 : apus_complex_scan_backward_f32
    run(&dx, &ddecay, &dgain, dy, y, x, decay, gain, &shape)
    return (dx, ddecay, dgain)
  }

  /// Σ dy · y from zeros, in double, with one input replaced.
  func lossInDouble(replacing path: KeyPath<Turning, [Float]>, by values: [Double]) -> Double {
    func read(_ other: KeyPath<Turning, [Float]>) -> [Double] {
      other == path ? values : self[keyPath: other].map(Double.init)
    }
    let (x, decay, gain, states) = (read(\.x), read(\.decay), read(\.gain), shape.states)
    var loss = 0.0
    for sequence in 0..<shape.batch * states {
      let (row, n) = (sequence / states, sequence % states)
      var (re, im) = (0.0, 0.0)
      for t in row * shape.time..<(row + 1) * shape.time {
        let at = t * 2 * states + n
        let (old, u, v) = ((re, im), x[at], x[at + states])
        re = decay[n] * old.0 - decay[states + n] * old.1 + gain[n] * u - gain[states + n] * v
        im = decay[n] * old.1 + decay[states + n] * old.0 + gain[n] * v + gain[states + n] * u
        loss += Double(dy[at]) * re - Double(dy[at + states]) * im
      }
    }
    return loss
  }
}
