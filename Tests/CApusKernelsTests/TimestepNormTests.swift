import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Timestep norm")
  struct TimestepNormTests {
    @Test(
      "agrees with the reference, forward and backward, from the start and later",
      arguments: [1, 2, 5, 65], [(1, 7), (3, 2), (4, 16), (2, 33), (1, 257)])
    func agreesWithReference(time: Int, sizes: (groups: Int, size: Int)) {
      for count in [0, 1, 1000] {
        let norm = Norm(
          time: time, groups: sizes.groups, size: sizes.size, count: Int64(count), seed: 1)
        let expected = norm.reference()
        let gradients = norm.referenceGradients()
        onEveryTarget { target in
          let context = "\(target), T \(time), \(sizes), count \(count)"
          let actual = norm.forward()
          expectClose(actual.y, expected.y, ofLargest: 1e-5, "y, \(context)")
          expectDoubles(actual.state, expected.state, 1e-6, "state, \(context)")
          norm.backward().expectClose(gradients, context)
        }
      }
    }

    @Test("is the double sum of the paper's equation 4")
    func isTheSum() {
      let norm = Norm(batch: 1, time: 50, groups: 2, size: 3, count: 0, seed: 2)
      var expected: [Double] = []
      for t in 0..<50 {
        for g in 0..<2 {
          let seen = (0...t).flatMap { s in (0..<3).map { Double(norm.x[s * 6 + g * 3 + $0]) } }
          let mean = seen.reduce(0, +) / Double(seen.count)
          let variance = seen.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(seen.count)
          for i in g * 3..<g * 3 + 3 {
            let normal =
              (Double(norm.x[t * 6 + i]) - mean) / (variance + Double(Float(1e-5))).squareRoot()
            expected.append(normal * (1 + Double(norm.weight[i])) + Double(norm.bias[i]))
          }
        }
      }
      let doubles = norm.inDouble(\.x, norm.x.map(Double.init))
      let worst = zip(doubles.y, expected).map { abs($0 - $1) }.max() ?? .nan
      #expect(worst <= 1e-12, "in double the two differ by \(worst)")
      expectClose(norm.forward().y, expected.map { Float($0) }, ofLargest: 2e-6)
      // After the last token the statistics are those of the whole sequence: group normalization.
      let whole = norm.x.indices.filter { $0 % 6 < 3 }.map { Double(norm.x[$0]) }
      let mean = whole.reduce(0, +) / 150
      let variance = whole.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 150
      let state = norm.forward().state
      expectDoubles([state[0], state[2]], [mean, variance], 1e-6, "statistics")
    }

    @Test("keeps the variance of a hundred thousand tokens at an offset of 10,000")
    func bearsOffset() {
      var norm = Norm(batch: 1, time: 100_000, groups: 1, size: 4, count: 0, seed: 3)
      for index in norm.x.indices { norm.x[index] += 10_000 }
      let values = norm.x.map(Double.init)
      let mean = values.reduce(0, +) / Double(values.count)
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
      let state = norm.forward().state
      #expect(abs(state[0] - mean) < 1e-4, "mean \(state[0]), expected \(mean)")
      #expect(abs(state[1] / variance - 1) < 1e-3, "variance \(state[1]), expected \(variance)")
      // One token at a time ends at the same numbers: nothing is lost on the way.
      var running = [0.0, 0.0]
      for t in 0..<100_000 {
        var one = norm
        (one.time, one.count, one.start) = (1, Int64(t), running)
        one.x = Array(norm.x[t * 4..<t * 4 + 4])
        running = one.forward().state
      }
      expectDoubles(running, state, 1e-9, "one by one")
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      for count: Int64 in [0, 3] {
        let norm = Norm(batch: 2, time: 6, groups: 2, size: 3, count: count, seed: 4)
        let gradients = norm.referenceGradients()
        for (name, path, actual) in [
          ("x", \Norm.x, gradients.dx), ("weight", \.weight, gradients.dweight),
          ("bias", \.bias, gradients.dbias),
        ] {
          let expected = numericalGradient(
            of: { norm.loss(norm.inDouble(path, $0)) }, at: norm[keyPath: path])
          expectClose(actual, expected, ofLargest: 1e-5, "\(name), count \(count)")
        }
        let expected = norm.start.indices.map { index in
          func at(_ offset: Double) -> Double {
            var moved = norm
            moved.start[index] += offset
            return norm.loss(moved.inDouble(\.x, norm.x.map(Double.init)))
          }
          return (at(1e-5) - at(-1e-5)) / 2e-5
        }
        expectDoubles(gradients.dstate, expected, 1e-8, "statistics, count \(count)")
      }
    }

    @Test("continues from its state", arguments: [1, 2, 7, 64], [1, 5, 63])
    func continues(first: Int, second: Int) {
      let whole = Norm(
        batch: 1, time: first + second, groups: 3, size: 5, count: 0, seed: 5)
      let expected = whole.forward()
      var (head, tail) = (whole, whole)
      (head.time, head.x) = (first, Array(whole.x.prefix(first * 15)))
      (tail.time, tail.x) = (second, Array(whole.x.suffix(second * 15)))
      let start = head.forward()
      (tail.start, tail.count) = (start.state, Int64(first))
      let end = tail.forward()
      expectClose(start.y + end.y, expected.y, ofLargest: 1e-6)
      expectDoubles(end.state, expected.state, 1e-12, "state")
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      let norm = Norm(batch: 3, time: 300, groups: 4, size: 33, count: 0, seed: 6)
      expectSameBitsAtAnyThreadCount("forward") { norm.forward().y }
      expectSameBitsAtAnyThreadCount("backward") {
        let g = norm.backward()
        return g.dx + g.dweight + g.dbias
      }
    }

    @Test("takes no tokens")
    func takesNothing() {
      let norm = Norm(batch: 2, time: 0, groups: 2, size: 3, count: 5, seed: 7)
      #expect(norm.forward().state == norm.start)
      #expect(norm.backward().dweight.allSatisfy { $0 == 0 })
    }
  }
}

/// Compares relative to the largest expected number, 1 at least.
private func expectDoubles(
  _ actual: [Double], _ expected: [Double], _ tolerance: Double, _ context: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let largest = expected.reduce(1) { max($0, abs($1)) }
  let worst = zip(actual, expected).map { abs($0 - $1) }.max() ?? 0
  #expect(
    actual.count == expected.count && worst <= tolerance * largest, "\(context): off by \(worst)",
    sourceLocation: sourceLocation)
}

/// Inputs of one timestep normalization.
struct Norm {
  var batch, time, groups, size: Int
  var count: Int64
  var x, dy, weight, bias: [Float]
  /// Statistics before the first token, and the gradients of those after the last.
  var start, dend: [Double]

  init(batch: Int = 2, time: Int, groups: Int, size: Int, count: Int64, seed: UInt64) {
    (self.batch, self.time, self.groups, self.size) = (batch, time, groups, size)
    self.count = count
    let features = groups * size
    x = random(batch * time * features, seed: seed)
    dy = random(batch * time * features, seed: seed + 1)
    weight = random(features, seed: seed + 2, scale: 0.5)
    bias = random(features, seed: seed + 3)
    start = random(batch * 2 * groups, seed: seed + 4).map(Double.init)
    for b in 0..<batch {
      // Variances are positive; before the first token there are no statistics.
      for g in 0..<groups {
        start[(2 * b + 1) * groups + g] = 0.5 + abs(start[(2 * b + 1) * groups + g])
      }
    }
    if count == 0 { start = start.map { _ in 0 } }
    dend = random(batch * 2 * groups, seed: seed + 5).map(Double.init)
  }

  var shape: apus_timestep_norm_shape {
    apus_timestep_norm_shape(
      batch: batch, time: time, groups: groups, group_size: size, count: count, epsilon: 1e-5)
  }

  func forward() -> (y: [Float], state: [Double], statistics: [Float]) {
    var (state, statistics, shape) = (start, [Float](), shape)
    let y = output(x.count) { y in
      statistics = output(batch * time * 2 * groups) {
        apus_timestep_norm_f32(y, $0, &state, x, weight, bias, &shape)
      }
    }
    return (y, state, statistics)
  }

  func reference() -> (y: [Float], state: [Double]) {
    var (y, state, shape) = (x, start, shape)
    apus_timestep_norm_reference_f32(&y, &state, x, weight, bias, &shape)
    return (y, state)
  }

  func backward() -> Gradients {
    let statistics = forward().statistics
    var (dweight, dbias, dstate, shape) = (weight, bias, dend, shape)
    let dx = output(x.count) {
      apus_timestep_norm_backward_f32(
        $0, &dweight, &dbias, &dstate, dy, x, weight, statistics, start, &shape)
    }
    return Gradients(dx: dx, dweight: dweight, dbias: dbias, dstate: dstate)
  }

  func referenceGradients() -> Gradients {
    var g = Gradients(dx: x, dweight: weight, dbias: bias, dstate: dend)
    var shape = shape
    apus_timestep_norm_backward_reference_f32(
      &g.dx, &g.dweight, &g.dbias, &g.dstate, dy, x, weight, start, &shape)
    return g
  }

  /// The recurrence in double, with one input replaced.
  func inDouble(
    _ path: KeyPath<Norm, [Float]>, _ values: [Double]
  ) -> (y: [Double], state: [Double]) {
    func read(_ other: KeyPath<Norm, [Float]>) -> [Double] {
      other == path ? values : self[keyPath: other].map(Double.init)
    }
    let (x, weight, bias) = (read(\.x), read(\.weight), read(\.bias))
    var (y, state) = (x, start)
    for b in 0..<batch {
      for t in 0..<time {
        let n = Double(count) + Double(t + 1)
        for g in 0..<groups {
          let row = ((b * time + t) * groups + g) * size
          let own = x[row..<row + size].reduce(0, +) / Double(size)
          let spread =
            x[row..<row + size].reduce(0) { $0 + ($1 - own) * ($1 - own) } / Double(size)
          let (u, v) = (2 * b * groups + g, (2 * b + 1) * groups + g)
          let away = own - state[u]
          state[v] = (n - 1) / n * state[v] + spread / n + (n - 1) / n / n * away * away
          state[u] += away / n
          for i in 0..<size {
            let normal = (x[row + i] - state[u]) / (state[v] + Double(Float(1e-5))).squareRoot()
            y[row + i] = normal * (1 + weight[g * size + i]) + bias[g * size + i]
          }
        }
      }
    }
    return (y, state)
  }

  /// Σ dy · y + Σ dend · statistics.
  func loss(_ result: (y: [Double], state: [Double])) -> Double {
    zip(result.y, dy).reduce(0) { $0 + $1.0 * Double($1.1) }
      + zip(result.state, dend).reduce(0) { $0 + $1.0 * $1.1 }
  }

  struct Gradients {
    var dx, dweight, dbias: [Float]
    var dstate: [Double]

    func expectClose(_ expected: Gradients, _ context: String) {
      CApusKernelsTests.expectClose(
        dx, expected.dx, ofLargest: 2e-5, terms: 0.1, "dx, \(context)")
      CApusKernelsTests.expectClose(
        dweight, expected.dweight, ofLargest: 2e-5, terms: 0.1, "dweight, \(context)")
      CApusKernelsTests.expectClose(
        dbias, expected.dbias, ofLargest: 2e-5, terms: 0.1, "dbias, \(context)")
      let actual = dstate.map { Float($0) }
      CApusKernelsTests.expectClose(
        actual, expected.dstate.map { Float($0) }, ofLargest: 2e-5, terms: 0.1,
        "dstate, \(context)")
    }
  }
}
