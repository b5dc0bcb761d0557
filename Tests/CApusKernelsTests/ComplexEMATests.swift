import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Complex moving average")
  struct ComplexEMATests {
    static let times = [1, 2, 5, 63, 64, 65, 130]

    @Test(
      "agrees with the reference, forward and backward, with and without a carried state",
      arguments: [1, 3, 7, 16, 33, 70], [1, 3, 4, 8, 16, 17])
    func agreesWithReference(channels: Int, modes: Int) {
      for (time, isCarried) in Self.times.flatMap({ [($0, false), ($0, true)] }) {
        let average = Average(
          time: time, channels: channels, modes: modes, isCarried: isCarried, seed: 1)
        let expected = average.reference()
        let gradients = average.referenceGradients()
        onEveryTarget { target in
          let context = "\(target), T \(time), D \(channels), N \(modes), carried: \(isCarried)"
          let actual = average.forward()
          expectClose(actual.y, expected.y, ofLargest: 1e-5, terms: 0.1, "y, \(context)")
          expectClose(
            actual.state, expected.state, ofLargest: 1e-5, terms: 0.1, "state, \(context)")
          average.backward().expectClose(gradients, ofLargest: 2e-5, context)
        }
      }
    }

    @Test("is the causal convolution with its kernel", arguments: [false, true])
    func isConvolution(isCarried: Bool) {
      let average = Average(
        batch: 2, time: 257, channels: 5, modes: 16, isCarried: isCarried, seed: 2)
      let convolution = average.convolution()
      let scan = average.scan()
      let largest = convolution.map(abs).max() ?? 0
      let worst = zip(scan, convolution).map { abs($0 - $1) }.max() ?? .nan
      #expect(worst <= 1e-11 * largest, "in double the two differ by \(worst)")
      expectClose(average.forward().y, convolution.map { Float($0) }, ofLargest: 2e-4)
    }

    @Test("is a real damped moving average when nothing turns")
    func isReal() {
      var average = Average(batch: 1, time: 40, channels: 3, modes: 4, seed: 3)
      for e in 0..<3 { average.parameters[average.thetaAt + e] = -60 }
      for i in 0..<12 { average.parameters[average.gammaAt + 2 * i + 1] = 0 }
      // h ← ρ h + a x, y = Σ γ h / √N + ω x, all of them real.
      var expected = [Double](repeating: 0, count: 40 * 3)
      for e in 0..<3 {
        var h = [Double](repeating: 0, count: 4)
        for t in 0..<40 {
          let x = Double(average.x[t * 3 + e])
          expected[t * 3 + e] = Double(average.parameters[average.omegaAt + e]) * x
          for n in 0..<4 {
            let mode = average.mode(e, n)
            h[n] = (1 - mode.a * mode.d) * h[n] + mode.a * x
            expected[t * 3 + e] += mode.gRe * h[n]
          }
        }
      }
      let worst = zip(average.scan(), expected).map { abs($0 - $1) }.max() ?? .nan
      #expect(worst <= 1e-12)
      expectClose(average.forward().y, expected.map { Float($0) }, ofLargest: 2e-6)
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      let average = Average(batch: 2, time: 7, channels: 2, modes: 3, isCarried: true, seed: 4)
      let gradients = average.referenceGradients()
      for (name, path, actual) in [
        ("x", \Average.x, gradients.dx), ("parameters", \.parameters, gradients.dparameters),
        ("state", \.start, gradients.dstate),
      ] {
        let expected = numericalGradient(
          of: { average.lossInDouble(replacing: path, by: $0) }, at: average[keyPath: path])
        expectClose(actual, expected, ofLargest: 1e-6, name)
      }
    }

    @Test("gives the same gradients for every chunk length", arguments: [1, 5, 64, 1000])
    func ignoresChunkLength(chunk: Int) {
      var average = Average(time: 130, channels: 33, modes: 16, isCarried: true, seed: 5)
      let expected = average.backward()
      average.chunk = chunk
      average.backward().expectClose(expected, ofLargest: 2e-6, "chunk \(chunk)")
    }

    @Test("continues from a state", arguments: [1, 2, 5, 64], [1, 3, 63, 65])
    func continues(first: Int, second: Int) {
      let whole = Average(
        batch: 1, time: first + second, channels: 19, modes: 16, isCarried: true, seed: 6)
      let expected = whole.forward()
      var (head, tail) = (whole, whole)
      (head.time, head.x) = (first, Array(whole.x.prefix(first * 19)))
      (tail.time, tail.x) = (second, Array(whole.x.suffix(second * 19)))
      let start = head.forward()
      tail.start = start.state
      let end = tail.forward()
      expectClose(end.state, expected.state, ofLargest: 1e-6, "\(first) then \(second)")
      expectClose(start.y + end.y, expected.y, ofLargest: 1e-6, "\(first) then \(second)")
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      let average = Average(time: 70, channels: 200, modes: 16, isCarried: true, seed: 7)
      expectSameBitsAtAnyThreadCount("forward") { average.forward().y + average.forward().state }
      expectSameBitsAtAnyThreadCount("backward") { average.backward().all }
    }

    @Test("remembers over a hundred thousand steps as double precision does")
    func remembersLong() {
      // 1 − ρ = 1e-3: a memory of a thousand steps. Float holds ρ to 6e-8, and so the memory's
      // length to 6e-5 of itself.
      var average = Average(batch: 1, time: 100_000, channels: 2, modes: 4, seed: 8)
      for i in 0..<8 { average.parameters[i] = -3.42 }
      for i in 8..<16 { average.parameters[i] = -3.42 }
      expectClose(average.forward().y, average.reference().y, ofLargest: 2e-4)
    }

    @Test("bears parameters of any size")
    func staysFinite() {
      for value: Float in [-1000, -100, 100, 1000] {
        var average = Average(time: 65, channels: 9, modes: 4, isCarried: true, seed: 9)
        for i in 0..<average.thetaAt { average.parameters[i] = value }
        let finite = (average.forward().y + average.backward().all).allSatisfy { $0.isFinite }
        #expect(finite, "at \(value)")
      }
    }

    @Test("takes no tokens or no sequences: the state stays, gradients of parameters are zero")
    func takesNothing() {
      for (batch, time) in [(2, 0), (0, 3)] {
        let average = Average(
          batch: batch, time: time, channels: 5, modes: 16, isCarried: true, seed: 10)
        expectClose(average.forward().state, average.start, relative: 1e-6)
        #expect(average.backward().dparameters.allSatisfy { $0 == 0 })
      }
    }

    @Test("shows not-a-number instead of hiding it")
    func showsNotANumber() {
      var average = Average(batch: 1, time: 3, channels: 2, modes: 4, seed: 11)
      average.x[2] = .nan
      #expect(average.forward().y.map(\.isNaN) == [false, false, true, false, true, false])
    }
  }
}

/// Inputs of one moving average.
struct Average {
  var batch, time, channels, modes, chunk: Int
  /// alpha, delta, theta, gamma, omega in turn.
  var parameters: [Float]
  var x, dy: [Float]
  /// The state before the first token, and the gradient of that after the last.
  var start, dend: [Float]
  let isCarried: Bool

  init(
    batch: Int = 2, time: Int, channels: Int, modes: Int, isCarried: Bool = false,
    chunk: Int = 17, seed: UInt64
  ) {
    (self.batch, self.time, self.channels) = (batch, time, channels)
    (self.modes, self.isCarried, self.chunk) = (modes, isCarried, chunk)
    parameters =
      random(2 * channels * modes, seed: seed) + random(channels, seed: seed + 1, scale: 2)
      + random(2 * channels * modes + channels, seed: seed + 2)
    x = random(batch * time * channels, seed: seed + 3)
    dy = random(batch * time * channels, seed: seed + 4)
    start = random(batch * 2 * modes * channels, seed: seed + 5)
    dend = random(batch * 2 * modes * channels, seed: seed + 6)
  }

  var thetaAt: Int { 2 * channels * modes }
  var gammaAt: Int { thetaAt + channels }
  var omegaAt: Int { gammaAt + thetaAt }
  var shape: apus_complex_ema_shape {
    apus_complex_ema_shape(
      batch: batch, time: time, channels: channels, modes: modes, chunk: chunk)
  }

  func withParameters(
    _ body: (UnsafePointer<apus_complex_ema_parameters>, UnsafePointer<apus_complex_ema_shape>) ->
      Void
  ) {
    parameters.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      var pointers = apus_complex_ema_parameters(
        alpha: base, delta: base + channels * modes, theta: base + thetaAt, gamma: base + gammaAt,
        omega: base + omegaAt)
      var shape = shape
      body(&pointers, &shape)
    }
  }

  /// Calls `body` with `state` where one is carried, with nil otherwise.
  func withState(_ state: inout [Float], _ body: (UnsafeMutablePointer<Float>?) -> Void) {
    if isCarried {
      state.withUnsafeMutableBufferPointer { body($0.baseAddress) }
    } else {
      body(nil)
    }
  }

  /// Outputs are poisoned first; `state` is what `start` became.
  func forward() -> (y: [Float], state: [Float]) {
    var state = start
    let y = output(x.count) { y in
      withParameters { p, s in withState(&state) { apus_complex_ema_f32(y, $0, nil, x, p, s) } }
    }
    return (y, state)
  }

  func reference() -> (y: [Float], state: [Float]) {
    var (y, state) = (x, start)
    withParameters { p, s in
      withState(&state) { apus_complex_ema_reference_f32(&y, $0, x, p, s) }
    }
    return (y, state)
  }

  func backward() -> Gradients {
    let chunks = (time + chunk - 1) / chunk
    var checkpoints = [Float](repeating: poison, count: batch * chunks * 2 * modes * channels)
    var (y, state) = (x, start)
    return gradients { dx, to, dstate in
      withParameters { p, s in
        withState(&state) { apus_complex_ema_f32(&y, $0, &checkpoints, x, p, s) }
        apus_complex_ema_backward_f32(dx, to, dstate, dy, checkpoints, x, p, s)
      }
    }
  }

  func referenceGradients() -> Gradients {
    gradients { dx, to, dstate in
      withParameters {
        apus_complex_ema_backward_reference_f32(
          dx, to, dstate, dy, isCarried ? start : nil, x, $0, $1)
      }
    }
  }

  private func gradients(
    _ body: (
      UnsafeMutablePointer<Float>, UnsafeMutablePointer<apus_complex_ema_gradients>,
      UnsafeMutablePointer<Float>?
    ) -> Void
  ) -> Gradients {
    var dparameters = [Float](), dstate = isCarried ? dend : []
    let dx = output(x.count) { dx in
      dparameters = output(parameters.count) { base in
        var to = apus_complex_ema_gradients(
          alpha: base, delta: base + channels * modes, theta: base + thetaAt,
          gamma: base + gammaAt, omega: base + omegaAt)
        withState(&dstate) { body(dx, &to, $0) }
      }
    }
    return Gradients(
      dx: dx, dparameters: dparameters, dstate: dstate,
      cuts: [0, channels * modes, thetaAt, gammaAt, omegaAt, parameters.count])
  }

  struct Mode {
    var a, d, gRe, gIm, phi: Double
    /// q^power, for a power that need not be whole.
    func q(_ power: Double) -> (re: Double, im: Double) {
      let size = exp(power * log(1 - a * d))
      return (size * cos(power * phi), size * sin(power * phi))
    }
  }

  func mode(_ e: Int, _ n: Int) -> Mode { mode(e, n, of: parameters.map(Double.init)) }

  func mode(_ e: Int, _ n: Int, of p: [Double]) -> Mode {
    func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
    let (at, root) = (e * modes + n, Double(modes).squareRoot())
    return Mode(
      a: sigmoid(p[at]), d: sigmoid(p[channels * modes + at]), gRe: p[gammaAt + 2 * at] / root,
      gIm: p[gammaAt + 2 * at + 1] / root,
      phi: 2 * .pi * Double(n + 1) / Double(modes) * sigmoid(p[thetaAt + e]))
  }

  /// y by the recurrence, in double.
  func scan() -> [Double] {
    scan(parameters.map(Double.init), x.map(Double.init), start.map(Double.init)).y
  }

  func scan(_ p: [Double], _ x: [Double], _ start: [Double]) -> (y: [Double], state: [Double]) {
    var y = [Double](repeating: 0, count: x.count)
    var state = [Double](repeating: 0, count: start.count)
    for e in 0..<channels {
      for n in 0..<modes {
        let mode = mode(e, n, of: p)
        let q = mode.q(1)
        for b in 0..<batch {
          let re = (b * 2 * modes + n) * channels + e, im = re + modes * channels
          var h = isCarried ? (start[re], start[im]) : (0.0, 0.0)
          for t in b * time..<(b + 1) * time {
            h = (
              q.re * h.0 - q.im * h.1 + mode.a * x[t * channels + e], q.re * h.1 + q.im * h.0
            )
            y[t * channels + e] += mode.gRe * h.0 - mode.gIm * h.1
            if n == 0 { y[t * channels + e] += p[omegaAt + e] * x[t * channels + e] }
          }
          (state[re], state[im]) = h
        }
      }
    }
    return (y, state)
  }

  /// y by the convolution with K[j] = Σ Re(g a q^j) and the share of the carried state, in double.
  func convolution() -> [Double] {
    var y = [Double](repeating: 0, count: x.count)
    for e in 0..<channels {
      let all = (0..<modes).map { mode(e, $0) }
      let kernel = (0..<time).map { j in
        all.reduce(0.0) { sum, mode in
          let q = mode.q(Double(j))
          return sum + mode.a * (mode.gRe * q.re - mode.gIm * q.im)
        }
      }
      for b in 0..<batch {
        for t in 0..<time {
          var sum = Double(parameters[omegaAt + e]) * Double(x[(b * time + t) * channels + e])
          for j in 0...t { sum += kernel[j] * Double(x[(b * time + t - j) * channels + e]) }
          for n in 0..<modes where isCarried {
            let re = (b * 2 * modes + n) * channels + e
            let h = (re: Double(start[re]), im: Double(start[re + modes * channels]))
            let q = all[n].q(Double(t + 1))
            let turned = (re: q.re * h.re - q.im * h.im, im: q.re * h.im + q.im * h.re)
            sum += all[n].gRe * turned.re - all[n].gIm * turned.im
          }
          y[(b * time + t) * channels + e] = sum
        }
      }
    }
    return y
  }

  /// Σ dy · y + Σ dend · state in double, with one input replaced.
  func lossInDouble(replacing path: KeyPath<Average, [Float]>, by values: [Double]) -> Double {
    func read(_ other: KeyPath<Average, [Float]>) -> [Double] {
      other == path ? values : self[keyPath: other].map(Double.init)
    }
    let (y, state) = scan(read(\.parameters), read(\.x), read(\.start))
    return zip(y, dy).reduce(0) { $0 + $1.0 * Double($1.1) }
      + zip(state, dend).reduce(0) { $0 + $1.0 * Double($1.1) }
  }

  struct Gradients {
    var dx, dparameters, dstate: [Float]
    let cuts: [Int]

    var all: [Float] { dx + dparameters + dstate }

    func expectClose(_ expected: Gradients, ofLargest tolerance: Float, _ context: String) {
      CApusKernelsTests.expectClose(
        dx, expected.dx, ofLargest: tolerance, terms: 0.1, "dx, \(context)")
      CApusKernelsTests.expectClose(
        dstate, expected.dstate, ofLargest: tolerance, terms: 0.1, "dstate, \(context)")
      for (index, name) in ["alpha", "delta", "theta", "gamma", "omega"].enumerated() {
        let range = cuts[index]..<cuts[index + 1]
        CApusKernelsTests.expectClose(
          Array(dparameters[range]), Array(expected.dparameters[range]), ofLargest: tolerance,
          terms: 0.5, "d\(name), \(context)")
      }
    }
  }
}
