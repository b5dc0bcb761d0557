import CApusKernels
import Testing

extension Kernels {
  @Suite("Attention")
  struct AttentionTests {
    /// Fails unless values agree to 2e-6 and gradients to 1e-5 of the largest, or of 1.
    func expectAgreement(_ problem: AttentionProblem, on target: String) {
      let (values, truth) = (problem.forward(), problem.forward(reference: true))
      let output = largestDifference(values.o, truth.o)
      let lse = largestDifference(values.lse, truth.lse)
      #expect(output <= 2e-6 && lse <= 2e-6, "\(target) \(problem): \(output), lse \(lse)")
      let (found, expected) = (problem.backward(), problem.backward(reference: true))
      for (name, path) in [("dq", \AttentionProblem.Gradients.dq), ("dk", \.dk), ("dv", \.dv)] {
        let difference =
          largestDifference(found[keyPath: path], expected[keyPath: path])
          / magnitude(expected[keyPath: path])
        #expect(difference <= 1e-5, "\(target) \(problem): \(name) \(difference)")
      }
    }

    @Test(
      "agrees with the scalar reference in values and gradients",
      arguments: [1, 8, 32, 40, 64, 80, 96, 128])
    func agreesWithReference(headSize: Int) {
      let lengths = [
        (1, 1), (2, 2), (3, 3), (15, 15), (17, 17), (63, 63), (64, 64), (65, 65), (129, 129),
        (1, 65), (3, 129), (17, 64), (65, 17), (129, 63), (64, 200),
      ]
      onEveryTarget { target in
        for (index, (queries, keys)) in lengths.enumerated() {
          for variant in 0..<2 {
            // Every length meets every group, window and mask over the head sizes.
            let mix = index + variant * 7 + headSize
            expectAgreement(
              AttentionProblem(
                batch: 1 + mix % 2, queries: queries, keys: keys, heads: 4,
                group: [1, 2, 4][mix % 3], headSize: headSize,
                window: [0, 0, 1, 5, 70][mix % 5], causal: variant == 0, seed: mix),
              on: target)
          }
        }
      }
    }

    @Test(
      "agrees where the work is cut in several parts",
      arguments: [
        AttentionProblem(queries: 1100, keys: 1100, heads: 2, headSize: 16),
        AttentionProblem(queries: 300, keys: 1300, heads: 2, group: 2, headSize: 24, causal: false),
        AttentionProblem(queries: 1200, keys: 1100, heads: 1, headSize: 16, window: 100),
        AttentionProblem(queries: 1, keys: 5000, heads: 4, group: 4, headSize: 64),
        AttentionProblem(
          batch: 2, queries: 3, keys: 3001, heads: 4, group: 2, headSize: 20, window: 700),
        AttentionProblem(queries: 33, keys: 40, heads: 2, headSize: 256),
      ])
    func agreesInParts(problem: AttentionProblem) {
      onEveryTarget { expectAgreement(problem, on: $0) }
    }

    @Test("reproduces the example worked by hand")
    func workedExample() {
      var problem = AttentionProblem(queries: 3, keys: 3, headSize: 2)
      // Rows lie 3 apart beyond their length, outputs 6: whatever stands between is not read.
      func spread(_ rows: [[Float]], gap: Int) -> [Float] {
        rows.flatMap { $0 + [Float](repeating: .nan, count: gap) }
      }
      problem.q = spread([[1, 0], [0, 1], [1, 1]], gap: 3)
      problem.k = spread([[1, 2], [0, 1], [-1, 0.5]], gap: 3)
      problem.v = spread([[1, 0], [0, 2], [3, 1]], gap: 3)
      problem.dout = spread([[1, 0], [0, 1], [1, -1]], gap: 6)
      onEveryTarget { target in
        let (values, gradients) = (problem.forward(), problem.backward())
        let expected: [(String, [Float], [Float])] = [
          ("lse", values.lse, [0.707107, 1.815047, 2.404460]),
          ("o", values.o, [1, 0, 0.669762, 0.660477, 0.943668, 0.429753]),
          ("dq", gradients.dq, [0, 0, -0.312797, -0.312797, 0.192319, 0.225639]),
          ("dk", gradients.dk, [0.258959, -0.053838, -0.325600, -0.012803, 0.066641, 0.066641]),
          ("dv", gradients.dv, [1.753415, -0.083653, 0.183168, 0.147071, 0.063418, -0.063418]),
        ]
        for (name, found, truth) in expected {
          #expect(largestDifference(found, truth) < 2e-6, "\(target) \(name): \(found)")
        }
      }
    }

    @Test("has the gradient that finite differences of its value have")
    func finiteDifferences() {
      let problem = AttentionProblem(queries: 7, keys: 7, heads: 2, group: 2, headSize: 4)
      let gradients = problem.backward(reference: true)
      let step: Float = 0.01
      func slope(_ array: WritableKeyPath<AttentionProblem, [Float]>, _ index: Int) -> Float {
        var (up, down) = (problem, problem)
        up[keyPath: array][index] += step
        down[keyPath: array][index] -= step
        let run = up[keyPath: array][index] - down[keyPath: array][index]
        return Float((up.loss() - down.loss()) / Double(run))
      }
      for i in 0..<7 {
        for c in 0..<4 {
          #expect(abs(slope(\.q, problem.queryIndex(i, c)) - gradients.dq[i * 8 + c]) < 1e-3)
          #expect(abs(slope(\.k, problem.keyIndex(i, c)) - gradients.dk[i * 4 + c]) < 1e-3)
          #expect(abs(slope(\.v, problem.keyIndex(i, c)) - gradients.dv[i * 4 + c]) < 1e-3)
        }
      }
    }

    @Test("gives the same bits with one thread and with two", arguments: [1, 5, 200, 1100])
    func sameBitsForAnyThreadCount(queries: Int) {
      let problem = AttentionProblem(
        batch: 2, queries: queries, keys: 1100, heads: 4, group: 2, headSize: 40)
      let one = withThreads(1) { (problem.forward(), problem.backward()) }
      let two = withThreads(2) { (problem.forward(), problem.backward()) }
      #expect(one.0 == two.0)
      #expect(one.1 == two.1)
    }

    @Test("never lets a later key reach an earlier row, to the bit", arguments: [7, 16, 130, 400])
    func causality(length: Int) {
      let problem = AttentionProblem(queries: length, keys: length, heads: 2, headSize: 24)
      let cut = length / 2
      var changed = problem
      var numbers = TestNumbers(seed: 9)
      for j in cut..<length {
        for c in 0..<48 {
          changed.k[changed.keyIndex(j, c)] = 5 * numbers.normal()
          changed.v[changed.keyIndex(j, c)] = 5 * numbers.normal()
        }
      }
      onEveryTarget { target in
        let (before, after) = (problem.forward(), changed.forward())
        #expect(before.o.prefix(cut * 48) == after.o.prefix(cut * 48), "\(target)")
        #expect(before.o != after.o)
        for head in 0..<2 {
          let rows = head * length..<head * length + cut
          #expect(before.lse[rows] == after.lse[rows], "\(target)")
        }
      }
    }

    @Test("gives 0, an infinite log-sum-exp and no gradient to rows without keys")
    func emptyRows() {
      for queries in [9, 40] {
        // Aligned at the end: the first queries − 3 rows stand before the first key.
        let problem = AttentionProblem(queries: queries, keys: 3, headSize: 8)
        let (values, gradients) = (problem.forward(), problem.backward())
        let empty = queries - 3
        #expect(values.o.prefix(empty * 8).allSatisfy { $0 == 0 })
        #expect(values.lse.prefix(empty).allSatisfy { $0 == .infinity })
        #expect(gradients.dq.prefix(empty * 8).allSatisfy { $0 == 0 })
        #expect((values.o + gradients.dq + gradients.dk + gradients.dv).allSatisfy { $0.isFinite })
      }
    }

    @Test("stays finite and right at scores of ten thousand")
    func largeScores() {
      for queries in [5, 65] {
        var problem = AttentionProblem(queries: queries, keys: 65, headSize: 16)
        problem.scale = 1000
        onEveryTarget { target in
          let (values, truth) = (problem.forward(), problem.forward(reference: true))
          #expect((values.o + values.lse).allSatisfy { $0.isFinite }, "\(target)")
          // A score of 10⁴ is known to 10⁻³; the weights follow it.
          #expect(largestDifference(values.lse, truth.lse) < 1e-2, "\(target)")
          #expect(largestDifference(values.o, truth.o) < 1e-2, "\(target)")
          let gradients = problem.backward()
          #expect(
            (gradients.dq + gradients.dk + gradients.dv).allSatisfy { $0.isFinite }, "\(target)")
        }
      }
    }

    @Test("follows scores that rise from tile to tile, one row leaving the others' bits alone")
    func risingScores() {
      var problem = AttentionProblem(queries: 60, keys: 1000, headSize: 16, causal: false)
      for j in 0..<1000 {
        for c in 0..<16 { problem.k[problem.keyIndex(j, c)] *= 1 + Float(j) / 200 }
      }
      var steep = problem
      for c in 0..<16 { steep.q[steep.queryIndex(7, c)] *= 20 }
      onEveryTarget { target in
        let (values, truth) = (problem.forward(), problem.forward(reference: true))
        // Scores of fifty are known to 5e-6; the weights follow them.
        #expect(largestDifference(values.o, truth.o) < 2e-5, "\(target)")
        #expect(largestDifference(values.lse, truth.lse) < 2e-5, "\(target)")
        let other = steep.forward().o
        #expect(other.prefix(7 * 16) == values.o.prefix(7 * 16), "\(target)")
        #expect(other.suffix(52 * 16) == values.o.suffix(52 * 16), "\(target)")
      }
    }

    @Test("adds a constant to the log-sum-exp, and nothing to the output, if all scores rise by it")
    func shift() {
      let problem = AttentionProblem(queries: 33, keys: 33, headSize: 8, causal: false)
      // One more feature, 1 in every key and 3 in every query: each score rises by 3 · scale.
      var raised = AttentionProblem(queries: 33, keys: 33, headSize: 9, causal: false)
      raised.scale = problem.scale
      for i in 0..<33 {
        for c in 0..<8 {
          raised.q[raised.queryIndex(i, c)] = problem.q[problem.queryIndex(i, c)]
          raised.k[raised.keyIndex(i, c)] = problem.k[problem.keyIndex(i, c)]
          raised.v[raised.keyIndex(i, c)] = problem.v[problem.keyIndex(i, c)]
        }
        raised.q[raised.queryIndex(i, 8)] = 3
        raised.k[raised.keyIndex(i, 8)] = 1
      }
      let (low, high) = (problem.forward(), raised.forward())
      for i in 0..<33 {
        #expect(abs(high.lse[i] - low.lse[i] - 3 * problem.scale) < 2e-6)
        for c in 0..<8 { #expect(abs(high.o[i * 9 + c] - low.o[i * 8 + c]) < 2e-6) }
      }
    }

    @Test("gives one query at a time what it gives all at once")
    func stepByStep() {
      let all = AttentionProblem(queries: 70, keys: 70, heads: 2, headSize: 16, window: 20)
      let o = all.forward().o
      for i in [0, 1, 19, 20, 69] {
        var one = AttentionProblem(queries: 1, keys: i + 1, heads: 2, headSize: 16, window: 20)
        for c in 0..<32 {
          one.q[c] = all.q[all.queryIndex(i, c)]
          for j in 0...i {
            one.k[one.keyIndex(j, c)] = all.k[all.keyIndex(j, c)]
            one.v[one.keyIndex(j, c)] = all.v[all.keyIndex(j, c)]
          }
        }
        #expect(largestDifference(one.forward().o, Array(o[i * 32..<(i + 1) * 32])) < 2e-6)
      }
    }

    @Test("lets not-a-number through")
    func notANumber() {
      for queries in [2, 40] {
        var problem = AttentionProblem(queries: queries, keys: 40, headSize: 8)
        problem.q[problem.queryIndex(queries - 1, 0)] = .nan
        let o = problem.forward().o
        #expect(o.suffix(8).allSatisfy { $0.isNaN })
        #expect(o.dropLast(8).allSatisfy { $0.isFinite })
      }
    }
  }
}
