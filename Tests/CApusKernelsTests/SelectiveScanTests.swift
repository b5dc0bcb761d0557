import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Selective scan")
  struct SelectiveScanTests {
    static let times = [1, 2, 5, 63, 64, 65, 130]

    @Test(
      "agrees with the reference, forward and backward",
      arguments: [1, 3, 7, 16, 33], [1, 3, 4, 8, 16, 17])
    func agreesWithReference(channels: Int, states: Int) {
      for time in Self.times {
        let scan = Scan(time: time, channels: channels, states: states, chunk: 17, seed: 1)
        let expected = scan.reference()
        let gradients = scan.referenceGradients()
        onEveryTarget { target in
          let context = "\(target), T \(time), E \(channels), N \(states)"
          let actual = scan.forward()
          expectClose(actual.o, expected.o, ofLargest: 1e-5, "o, \(context)")
          expectClose(actual.state, expected.state, ofLargest: 1e-5, "state, \(context)")
          scan.backward().expectClose(gradients, ofLargest: 1e-5, context)
        }
      }
    }

    @Test("follows a hand-worked example")
    func followsExample() {
      // Δ = softplus(0) = ln 2 and A = −1, so the decay is ½: h = ln 2, then 1.5 ln 2.
      var scan = Scan(batch: 1, time: 2, channels: 1, states: 1, chunk: 32, padding: 0, seed: 1)
      (scan.s, scan.delta, scan.aLog) = ([1, 1], [0, 0], [0])
      (scan.b, scan.c, scan.d, scan.z) = ([1, 1], [1, 2], [10], [1, 1])
      scan.start = [0]
      let silu = Float(1 / (1 + exp(-1.0)))
      let ln2 = Float(log(2.0))
      let (o, state) = scan.forward()
      expectClose(o, [(ln2 + 10) * silu, (3 * ln2 + 10) * silu], relative: 1e-6)
      expectClose(state, [1.5 * ln2], relative: 1e-6)
    }

    @Test("gives the same gradients for every chunk length", arguments: [1, 5, 64, 1000])
    func ignoresChunkLength(chunk: Int) {
      let expected = Scan(time: 130, channels: 33, states: 16, chunk: 32, seed: 3).backward()
      let actual = Scan(time: 130, channels: 33, states: 16, chunk: chunk, seed: 3).backward()
      actual.expectClose(expected, ofLargest: 2e-6, "chunk \(chunk)")
    }

    @Test("continues from a state", arguments: [1, 2, 3, 5, 64], [1, 2, 3, 5, 64])
    func continues(first: Int, second: Int) {
      let whole = Scan(time: first + second, channels: 19, states: 16, chunk: 32, seed: 4)
      let expected = whole.forward()
      var (head, tail) = (whole.tokens(0..<first), whole.tokens(first..<first + second))
      head.start = whole.start
      let start = head.forward()
      tail.start = start.state
      let end = tail.forward()
      expectClose(end.state, expected.state, ofLargest: 1e-6)
      expectClose(
        whole.joined(start.o, end.o, first: first), expected.o, ofLargest: 1e-6,
        "\(first) then \(second)")
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      let scan = Scan(time: 70, channels: 200, states: 16, chunk: 32, seed: 5)
      expectSameBitsAtAnyThreadCount("forward") { scan.forward().o + scan.forward().state }
      expectSameBitsAtAnyThreadCount("backward") { scan.backward().all }
    }

    @Test("never looks at later tokens, however long their step", arguments: [0, 31, 32, 63])
    func isCausal(token: Int) {
      let scan = Scan(time: 64, channels: 9, states: 16, chunk: 32, seed: 6)
      var changed = scan
      for row in [token, 64 + token] {
        for channel in 0..<9 { changed.delta[row * 9 + channel] = 1000 }
      }
      let (before, after) = (scan.forward().o, changed.forward().o)
      for batch in 0..<2 {
        let rows = batch * 64 * 9..<(batch * 64 + token) * 9
        #expect(before[rows].map(\.bitPattern) == after[rows].map(\.bitPattern))
      }
      let finite = after.allSatisfy { $0.isFinite }
      #expect(finite)
    }

    @Test("stays finite over a long decay")
    func staysFinite() {
      var scan = Scan(batch: 1, time: 4096, channels: 5, states: 16, chunk: 32, seed: 7)
      for index in scan.delta.indices { scan.delta[index] = -2.25 }  // Δ ≈ 0.1
      for index in scan.aLog.indices { scan.aLog[index] = Float(log(Double(1 + index % 16))) }
      let finite = scan.forward().o.allSatisfy { $0.isFinite }
      #expect(finite)
      scan.backward().expectClose(scan.referenceGradients(), ofLargest: 1e-5, "long decay")
      for index in scan.s.indices where index > 50 { scan.s[index] = 0 }
      expectClose(scan.forward().o, scan.reference().o, ofLargest: 1e-5)
    }

    @Test("agrees with the reference when steps are enormous")
    func agreesForEnormousSteps() {
      var scan = Scan(time: 65, channels: 17, states: 5, chunk: 32, seed: 8)
      for index in scan.delta.indices where index % 3 == 0 { scan.delta[index] *= 30 }
      onEveryTarget { target in
        expectClose(scan.forward().o, scan.reference().o, ofLargest: 1e-5, target)
        scan.backward().expectClose(scan.referenceGradients(), ofLargest: 1e-5, target)
      }
    }

    @Test("takes no tokens or no sequences: the state stays, gradients of parameters are zero")
    func takesNothing() {
      for (batch, time) in [(2, 0), (0, 3)] {
        let scan = Scan(batch: batch, time: time, channels: 5, states: 16, seed: 11)
        #expect(scan.forward().state == scan.start)
        let gradients = scan.backward()
        #expect(gradients.daLog.allSatisfy { $0 == 0 })
        #expect(gradients.dd.allSatisfy { $0 == 0 })
      }
    }

    @Test("shows not-a-number instead of hiding it")
    func showsNotANumber() {
      var scan = Scan(batch: 1, time: 3, channels: 2, states: 4, chunk: 32, seed: 9)
      scan.delta[2] = .nan
      let o = scan.forward().o
      #expect(o.map(\.isNaN) == [false, false, true, false, true, false])
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      let scan = Scan(batch: 2, time: 4, channels: 2, states: 3, padding: 0, seed: 10)
      let gradients = scan.referenceGradients()
      for (name, path, actual) in [
        ("s", \Scan.s, gradients.ds), ("delta", \Scan.delta, gradients.ddelta),
        ("a_log", \Scan.aLog, gradients.daLog), ("b", \Scan.b, gradients.db),
        ("c", \Scan.c, gradients.dc), ("d", \Scan.d, gradients.dd), ("z", \Scan.z, gradients.dz),
      ] {
        let expected = numericalGradient(
          of: { scan.lossInDouble(replacing: path, by: $0) }, at: scan[keyPath: path])
        expectClose(actual, expected, ofLargest: 1e-5, name)
      }
    }
  }
}

/// Inputs of one scan. Arrays with strides have `padding` floats after each row.
struct Scan {
  var batch, time, channels, states, padding: Int
  var s, delta, aLog, b, c, d, z, dout: [Float]
  /// The state before the first token; gradients are those of a start from zeros.
  var start: [Float]
  var shape: apus_scan_shape

  init(
    batch: Int = 2, time: Int, channels: Int, states: Int, chunk: Int = 32, padding: Int = 3,
    seed: UInt64
  ) {
    (self.batch, self.time, self.channels) = (batch, time, channels)
    (self.states, self.padding) = (states, padding)
    let rows = batch * time
    s = random(rows * channels, seed: seed)
    delta = random(rows * channels, seed: seed + 1, scale: 2)
    aLog = random(channels * states, seed: seed + 2)
    b = random(rows * (states + padding), seed: seed + 3)
    c = random(rows * (states + padding), seed: seed + 4)
    d = random(channels, seed: seed + 5)
    z = random(rows * (channels + padding), seed: seed + 6)
    dout = random(rows * channels, seed: seed + 7)
    start = random(batch * channels * states, seed: seed + 8)
    shape = apus_scan_shape(
      batch: batch, time: time, channels: channels, states: states,
      z_stride: channels + padding, bc_stride: states + padding, chunk: chunk)
  }

  /// Outputs are poisoned first; `state` is what `start` became.
  func forward() -> (o: [Float], state: [Float]) {
    var shape = shape
    var (o, state) = ([Float](repeating: poison, count: s.count), start)
    apus_selective_scan_f32(&o, &state, nil, s, delta, aLog, b, c, d, z, &shape)
    return (o, state)
  }

  func reference() -> (o: [Float], state: [Float]) {
    var shape = shape
    var (o, state) = ([Float](repeating: poison, count: s.count), start)
    apus_selective_scan_reference_f32(&o, &state, s, delta, aLog, b, c, d, z, &shape)
    return (o, state)
  }

  func backward() -> Gradients {
    var shape = shape
    let chunks = (time + shape.chunk - 1) / shape.chunk
    var checkpoints = [Float](repeating: poison, count: batch * chunks * channels * states)
    var o = [Float](repeating: poison, count: s.count)
    apus_selective_scan_f32(&o, nil, &checkpoints, s, delta, aLog, b, c, d, z, &shape)
    var g = Gradients(self)
    apus_selective_scan_backward_f32(
      &g.ds, &g.ddelta, &g.daLog, &g.db, &g.dc, &g.dd, &g.dz, dout, checkpoints, s, delta, aLog, b,
      c, d, z, &shape)
    return g
  }

  func referenceGradients() -> Gradients {
    var shape = shape
    var g = Gradients(self)
    apus_selective_scan_backward_reference_f32(
      &g.ds, &g.ddelta, &g.daLog, &g.db, &g.dc, &g.dd, &g.dz, dout, s, delta, aLog, b, c, d, z,
      &shape)
    return g
  }

  /// The scan of some tokens only.
  func tokens(_ range: Range<Int>) -> Scan {
    var part = self
    part.time = range.count
    part.shape.time = range.count
    func rows(_ x: [Float], _ width: Int) -> [Float] {
      (0..<batch).flatMap {
        x[($0 * time + range.lowerBound) * width..<($0 * time + range.upperBound) * width]
      }
    }
    (part.s, part.delta, part.dout) = (
      rows(s, channels), rows(delta, channels), rows(dout, channels)
    )
    (part.b, part.c) = (rows(b, states + padding), rows(c, states + padding))
    part.z = rows(z, channels + padding)
    return part
  }

  /// Outputs of the first `first` tokens and of the others, as one array.
  func joined(_ head: [Float], _ tail: [Float], first: Int) -> [Float] {
    let (left, right) = (first * channels, (time - first) * channels)
    var whole: [Float] = []
    for row in 0..<batch {
      whole += head[row * left..<(row + 1) * left]
      whole += tail[row * right..<(row + 1) * right]
    }
    return whole
  }

  /// Σ dout · o from zeros, in double, with one input replaced.
  func lossInDouble(replacing path: KeyPath<Scan, [Float]>, by values: [Double]) -> Double {
    func read(_ other: KeyPath<Scan, [Float]>) -> [Double] {
      other == path ? values : self[keyPath: other].map(Double.init)
    }
    let (s, delta, aLog, b) = (read(\.s), read(\.delta), read(\.aLog), read(\.b))
    let (c, d, z) = (read(\.c), read(\.d), read(\.z))
    var loss = 0.0
    for row in 0..<batch {
      for e in 0..<channels {
        var h = [Double](repeating: 0, count: states)
        for t in row * time..<(row + 1) * time {
          let at = t * channels + e
          let step = log1p(exp(delta[at]))
          var y = d[e] * s[at]
          for n in 0..<states {
            let decay = exp(-step * exp(aLog[e * states + n]))
            h[n] = decay * h[n] + step * b[t * (states + padding) + n] * s[at]
            y += c[t * (states + padding) + n] * h[n]
          }
          let gate = z[t * (channels + padding) + e]
          loss += Double(dout[at]) * y * gate / (1 + exp(-gate))
        }
      }
    }
    return loss
  }

  /// All gradients; the padding between rows must keep its poison.
  struct Gradients {
    var ds, ddelta, daLog, db, dc, dd, dz: [Float]

    init(_ scan: Scan) {
      func poisoned(_ x: [Float]) -> [Float] { [Float](repeating: poison, count: x.count) }
      (ds, ddelta, daLog) = (poisoned(scan.s), poisoned(scan.delta), poisoned(scan.aLog))
      (db, dc, dd, dz) = (poisoned(scan.b), poisoned(scan.c), poisoned(scan.d), poisoned(scan.z))
    }

    var all: [Float] { ds + ddelta + daLog + db + dc + dd + dz }

    func expectClose(_ expected: Gradients, ofLargest tolerance: Float, _ context: String) {
      for (name, path) in [
        ("ds", \Gradients.ds), ("ddelta", \.ddelta), ("da_log", \.daLog), ("db", \.db),
        ("dc", \.dc), ("dd", \.dd), ("dz", \.dz),
      ] {
        // dd is one sum over batch and time for each channel: of a single channel it may cancel.
        CApusKernelsTests.expectClose(
          self[keyPath: path], expected[keyPath: path], ofLargest: tolerance,
          terms: name == "dd" ? 0.1 : 0, "\(name), \(context)")
      }
    }
  }
}

/// Expects every element within `tolerance` times the largest expected magnitude, or times `terms`,
/// the size of what was summed, where sums may cancel. Elements that both left poisoned, the padding
/// between rows, agree.
func expectClose(
  _ actual: [Float], _ expected: [Float], ofLargest tolerance: Float, terms: Float = 0,
  _ context: @autoclosure () -> String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
  let untouched = zip(actual, expected).map {
    $0.bitPattern == poison.bitPattern && $1.bitPattern == poison.bitPattern
  }
  func cleared(_ x: [Float]) -> [Float] { zip(x, untouched).map { $1 ? 0 : $0 } }
  let largest = cleared(expected).map(abs).max() ?? 0
  expectClose(
    cleared(actual), cleared(expected), absolute: tolerance * max(largest, terms), context(),
    sourceLocation: sourceLocation)
}
