import CApusKernels
import Testing

extension Kernels {
  @Suite("Feature attention")
  struct FeatureAttentionTests {
    static let kinds: [apus_features] = [
      APUS_FEATURES_EXPONENTIAL, APUS_FEATURES_RELU, APUS_FEATURES_ELU, APUS_FEATURES_GAUSSIAN,
    ]

    /// Fails unless values agree to 5e-6 and gradients to 2e-5 of the largest (or of 1).
    func expectAgreement(_ problem: FeatureAttentionProblem, on target: String) {
      let truth = problem.forward(reference: true)
      let difference = largestDifference(problem.forward(), truth) / magnitude(truth)
      #expect(difference <= 5e-6, "\(target) \(problem): \(difference)")
      let (found, expected) = (problem.backward(), problem.backward(reference: true))
      for ((name, one), (_, other)) in zip(found.named, expected.named) {
        let difference = largestDifference(one, other) / magnitude(other)
        #expect(difference <= 2e-5, "\(target) \(problem): \(name) \(difference)")
      }
    }

    @Test("agrees with the scalar reference in values and gradients", arguments: kinds)
    func agreesWithReference(kind: apus_features) {
      onEveryTarget { target in
        for (index, time) in [1, 2, 5, 33, 95, 96, 97, 200].enumerated() {
          for mix in [index, index + 1] {
            let (batch, heads) = (1 + mix % 2, 1 + mix % 3)
            expectAgreement(
              FeatureAttentionProblem(
                kind, batch: batch, time: time, heads: heads, size: [1, 3, 8, 20, 33][mix % 5],
                valueSize: [1, 4, 17, 8][mix % 4], features: [1, 7, 16, 50][mix % 4],
                groups: [1, heads, batch * heads][mix % 3], seed: mix),
              on: target)
          }
        }
      }
    }

    @Test("streams in pieces what it computes at once", arguments: kinds)
    func streams(kind: apus_features) {
      let problem = FeatureAttentionProblem(
        kind, batch: 2, time: 230, heads: 2, size: 9, valueSize: 6, features: 21)
      onEveryTarget { target in
        let whole = problem.forward()
        for pieces in [[1], [230], [96], [1, 1, 3, 7, 1, 50, 100]] {
          let difference = largestDifference(problem.streamed(pieces), whole) / magnitude(whole)
          #expect(difference <= 5e-6, "\(target) \(problem) in \(pieces): \(difference)")
        }
      }
    }

    @Test("never lets a later token reach an earlier row, to the bit", arguments: kinds)
    func causality(kind: apus_features) {
      for (time, cut) in [(7, 3), (130, 50), (230, 96), (230, 101)] {
        let problem = FeatureAttentionProblem(kind, time: time, heads: 2, size: 8, features: 24)
        var changed = problem
        var numbers = TestNumbers(seed: 9)
        for t in cut..<time {
          for c in 0..<16 {
            // Large enough to open a segment: references must not see it either.
            changed.k[t * changed.shape.k_stride + c] = 30 * numbers.normal()
            changed.q[t * changed.shape.q_stride + c] = 5 * numbers.normal()
            changed.v[t * changed.shape.v_stride + c] = 5 * numbers.normal()
          }
        }
        onEveryTarget { target in
          let (before, after) = (problem.forward(), changed.forward())
          #expect(before.prefix(cut * 16) == after.prefix(cut * 16), "\(target) \(problem)")
          #expect(before != after)
        }
      }
    }

    /// Keys whose norms fall, so that logits rise by hundreds of powers of two inside a tile.
    @Test("follows logits that rise without end")
    func risingLogits() {
      var problem = FeatureAttentionProblem(
        APUS_FEATURES_EXPONENTIAL, time: 150, heads: 2, size: 8, features: 16)
      for t in 0..<150 {
        for c in 0..<16 { problem.k[t * problem.shape.k_stride + c] *= 16 * (1 - Float(t) / 150) }
      }
      onEveryTarget { target in
        let (values, truth) = (problem.forward(), problem.forward(reference: true))
        // Logits of several hundred are known to 5e-5; the weights follow them.
        #expect(largestDifference(values, truth) < 1e-3, "\(target)")
        let (found, expected) = (problem.backward(), problem.backward(reference: true))
        for ((name, one), (_, other)) in zip(found.named, expected.named) {
          #expect(largestDifference(one, other) / magnitude(other) < 1e-3, "\(target) \(name)")
        }
        #expect(largestDifference(problem.streamed([1, 40, 7]), truth) < 1e-3, "\(target)")
      }
    }

    @Test("stays finite at logits of fifty and more", arguments: [1, 2, 4])
    func largeLogits(factor: Int) {
      let problem = FeatureAttentionProblem(
        APUS_FEATURES_EXPONENTIAL, time: 120, size: 16, features: 44, spread: 7 * Float(factor))
      onEveryTarget { target in
        #expect(problem.forward().allSatisfy { $0.isFinite }, "\(target)")
        for (name, gradient) in problem.backward().named {
          #expect(gradient.allSatisfy { $0.isFinite }, "\(target) \(name)")
        }
      }
    }

    @Test("gives the same bits with one thread and with two", arguments: kinds)
    func sameBitsForAnyThreadCount(kind: apus_features) {
      let problem = FeatureAttentionProblem(
        kind, batch: 2, time: 150, heads: 3, size: 12, features: 30)
      let one = withThreads(1) { (problem.forward(), problem.backward()) }
      let two = withThreads(2) { (problem.forward(), problem.backward()) }
      #expect(one.0 == two.0)
      #expect(one.1 == two.1)
    }

    @Test("keeps a state of the size that it says")
    func stateSize() {
      for (kind, expected) in zip(Self.kinds, [24 * 6 + 48, 24 * 6 + 24, 8 * 6 + 8, 24 * 6]) {
        let problem = FeatureAttentionProblem(kind, time: 1, size: 8, valueSize: 6, features: 24)
        #expect(problem.stateSize == expected)
      }
    }

    @Test("lets not-a-number through to its row and those after", arguments: kinds)
    func notANumber(kind: apus_features) {
      var problem = FeatureAttentionProblem(kind, time: 40, size: 8, features: 16)
      problem.k[20 * problem.shape.k_stride] = .nan
      let o = problem.forward()
      #expect(o.prefix(20 * 8).allSatisfy { $0.isFinite })
      #expect((20..<40).allSatisfy { t in o[t * 8..<(t + 1) * 8].contains { $0.isNaN } })
    }
  }
}
