import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("State space duality")
  struct SSDTests {
    /// Sizes around those of tiles, panels, chunks and vectors.
    static let shapes = [
      SSDCase(batch: 1, time: 1, heads: 1, headSize: 1, groups: 1, states: 1, chunk: 4),
      SSDCase(batch: 2, time: 7, heads: 2, headSize: 3, groups: 1, states: 5, chunk: 4),
      SSDCase(batch: 2, time: 65, heads: 4, headSize: 17, groups: 2, states: 33, chunk: 17),
      SSDCase(batch: 1, time: 70, heads: 3, headSize: 8, groups: 3, states: 16, chunk: 64),
      SSDCase(batch: 1, time: 130, heads: 5, headSize: 40, groups: 1, states: 24, chunk: 64),
      SSDCase(batch: 1, time: 600, heads: 6, headSize: 10, groups: 2, states: 7, chunk: 64),
    ]

    @Test("agrees with the reference, forward and backward", arguments: shapes)
    func agreesWithReference(shape: SSDCase) {
      for limits in [0...Float.infinity, 0.05...0.4 as ClosedRange<Float>] {
        var problem = SSDProblem(shape, seed: 1)
        problem.limits = limits
        let expected = problem.reference()
        let gradients = problem.referenceGradients()
        onEveryTarget { target in
          let context = "\(target), \(shape), Δ in \(limits)"
          for actual in [problem.forward(), problem.steps()] {
            expectClose(actual.y, expected.y, ofLargest: 1e-5, "y, \(context)")
            expectClose(actual.state, expected.state, ofLargest: 1e-5, "state, \(context)")
          }
          problem.backward().expectClose(gradients, ofLargest: 1e-5, context)
        }
      }
    }

    @Test("follows a hand-worked example")
    func followsExample() {
      // Δ = softplus(0) = ln 2 and A = −1, so the decay is ½: h = ln 2, then 1.5 ln 2.
      var problem = SSDProblem(
        SSDCase(batch: 1, time: 2, heads: 1, headSize: 1, groups: 1, states: 1, chunk: 4),
        padding: 0, seed: 1)
      problem.row = [1, 1, 1, 1, 1, 2]  // x, B, C of two tokens
      (problem.dt, problem.dtBias, problem.aLog, problem.d) = ([0.5, 0.5], [-0.5], [0], [10])
      problem.start = [0]
      let ln2 = Float(log(2.0))
      let (y, state) = problem.forward()
      expectClose(y, [ln2 + 10, 3 * ln2 + 10], relative: 1e-6)
      expectClose(state, [1.5 * ln2], relative: 1e-6)
    }

    @Test(
      "gives the same outputs and gradients for every chunk length", arguments: [1, 4, 37, 130])
    func ignoresChunkLength(chunk: Int) {
      var shape = SSDCase(
        batch: 2, time: 130, heads: 4, headSize: 8, groups: 2, states: 16, chunk: 64)
      let expected = SSDProblem(shape, seed: 3)
      shape.chunk = chunk
      let actual = SSDProblem(shape, seed: 3)
      expectClose(actual.forward().y, expected.forward().y, ofLargest: 2e-6, "y, chunk \(chunk)")
      actual.backward().expectClose(expected.backward(), ofLargest: 5e-6, "chunk \(chunk)")
    }

    @Test("continues from a state", arguments: [1, 2, 3, 5, 64], [1, 2, 3, 5, 64])
    func continues(first: Int, second: Int) {
      let whole = SSDProblem(
        SSDCase(
          batch: 2, time: first + second, heads: 2, headSize: 9, groups: 1, states: 5, chunk: 16),
        seed: 4)
      let expected = whole.forward()
      let head = whole.tokens(0..<first)
      let start = head.forward()
      var tail = whole.tokens(first..<first + second)
      tail.start = start.state
      for end in [tail.forward(), tail.steps()] {
        expectClose(end.state, expected.state, ofLargest: 1e-6)
        expectClose(
          whole.joined(start.y, end.y, first: first), expected.y, ofLargest: 1e-6,
          "\(first) then \(second)")
      }
    }

    @Test("leaves the state as it is where Δ is 0", arguments: [1, 64, 70])
    func ignoresPadding(padding: Int) {
      let shape = SSDCase(
        batch: 1, time: padding, heads: 2, headSize: 5, groups: 1, states: 4, chunk: 64)
      var problem = SSDProblem(shape, seed: 5)
      problem.limits = 0...0
      expectClose(problem.forward().state, problem.start, relative: 0)
      expectClose(problem.steps().state, problem.start, relative: 0)
    }

    @Test("with one group equals every head with a copy of B and C of its own")
    func sharesGroups() {
      let shape = SSDCase(
        batch: 2, time: 50, heads: 3, headSize: 6, groups: 1, states: 5, chunk: 16)
      let shared = SSDProblem(shape, padding: 0, seed: 6)
      var (one, copies) = (shape, shared)
      one.groups = 3
      copies.shape = one
      copies.row = (0..<shape.rows).flatMap { row -> [Float] in
        let whole = Array(shared.row[row * 28..<(row + 1) * 28])
        var copied = Array(whole[0..<18])
        for part in [whole[18..<23], whole[23..<28]] {
          for _ in 0..<3 { copied += part }
        }
        return copied
      }
      expectClose(copies.forward().y, shared.forward().y, ofLargest: 1e-6)
      let (a, b) = (shared.backward(), copies.backward())
      expectClose(b.ddt, a.ddt, ofLargest: 2e-6)
      // db of the shared row is the sum over the copies.
      var summed: [Float] = []
      for row in 0..<shape.rows {
        let copied = Array(b.drow[row * 48..<(row + 1) * 48])
        summed += copied[0..<18]
        for part in [18, 33] {
          for n in part..<part + 5 { summed.append(copied[n] + copied[n + 5] + copied[n + 10]) }
        }
      }
      expectClose(summed, a.drow, ofLargest: 2e-6)
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      for batch in [1, 3] {
        let shape = SSDCase(
          batch: batch, time: 600, heads: 8, headSize: 16, groups: 1, states: 16, chunk: 64)
        let problem = SSDProblem(shape, seed: 7)
        expectSameBitsAtAnyThreadCount("forward") {
          problem.forward().y + problem.forward().state + problem.steps().y
        }
        expectSameBitsAtAnyThreadCount("backward") { problem.backward().all }
      }
    }

    @Test("never looks at later tokens, however long their step", arguments: [0, 31, 32, 63])
    func isCausal(token: Int) {
      let shape = SSDCase(
        batch: 1, time: 64, heads: 2, headSize: 9, groups: 1, states: 16, chunk: 32)
      let problem = SSDProblem(shape, seed: 8)
      var changed = problem
      for head in 0..<2 { changed.dt[token * problem.dtStride + head] = 1000 }
      let (before, after) = (problem.forward().y, changed.forward().y)
      let earlier = 0..<token * 18
      #expect(before[earlier].map(\.bitPattern) == after[earlier].map(\.bitPattern))
      let finite = after.allSatisfy { $0.isFinite }
      #expect(finite)
      expectClose(after, changed.reference().y, ofLargest: 1e-5)
      changed.backward().expectClose(changed.referenceGradients(), ofLargest: 1e-5, "long step")
    }

    @Test("stays exact over a long decay")
    func staysFinite() {
      let shape = SSDCase(
        batch: 1, time: 4096, heads: 4, headSize: 4, groups: 1, states: 4, chunk: 64)
      var problem = SSDProblem(shape, seed: 9)
      for index in problem.dt.indices { problem.dt[index] = -2.25 }  // Δ ≈ 0.1
      problem.dtBias = [0, 0, 0, 0]
      problem.aLog = [0, 1, 2, Float(log(16.0))]
      expectClose(problem.forward().y, problem.reference().y, ofLargest: 1e-5)
      problem.backward().expectClose(problem.referenceGradients(), ofLargest: 1e-5, "long decay")
    }

    @Test("takes no tokens or no sequences: the state stays, gradients of parameters are zero")
    func takesNothing() {
      for (batch, time) in [(2, 0), (0, 3)] {
        let problem = SSDProblem(
          SSDCase(
            batch: batch, time: time, heads: 2, headSize: 3, groups: 1, states: 4, chunk: 64),
          seed: 10)
        #expect(problem.forward().state == problem.start)
        #expect(problem.steps().state == problem.start)
        let gradients = problem.backward()
        #expect((gradients.daLog + gradients.dd + gradients.ddtBias).allSatisfy { $0 == 0 })
      }
    }

    @Test("shows not-a-number instead of hiding it")
    func showsNotANumber() {
      var problem = SSDProblem(
        SSDCase(batch: 1, time: 3, heads: 2, headSize: 1, groups: 1, states: 4, chunk: 64), seed: 11
      )
      problem.dt[problem.dtStride] = .nan
      let y = problem.forward().y
      #expect(y[2].isNaN && y[4].isNaN)
      #expect([1, 3, 5].allSatisfy { y[$0].isFinite })
      #expect(problem.steps().y.map(\.isNaN) == [false, false, true, false, true, false])
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      var problem = SSDProblem(
        SSDCase(batch: 2, time: 4, heads: 4, headSize: 2, groups: 2, states: 3, chunk: 64),
        padding: 0, seed: 12)
      problem.limits = 0.05...1.2
      let gradients = problem.referenceGradients()
      for (name, path, actual) in [
        ("x, b, c", \SSDProblem.row, gradients.drow), ("dt", \SSDProblem.dt, gradients.ddt),
        ("dt_bias", \SSDProblem.dtBias, gradients.ddtBias),
        ("a_log", \SSDProblem.aLog, gradients.daLog), ("d", \SSDProblem.d, gradients.dd),
      ] {
        let expected = numericalGradient(
          of: { problem.lossInDouble(replacing: path, by: $0) }, at: problem[keyPath: path])
        expectClose(actual, expected, ofLargest: 1e-5, name)
      }
    }
  }
}
