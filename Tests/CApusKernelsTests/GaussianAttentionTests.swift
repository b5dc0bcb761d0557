import CApusKernels
import Testing

extension Kernels {
  @Suite("Gaussian attention and its landmarks")
  struct GaussianAttentionTests {
    func forward(_ p: AttentionProblem, reference: Bool = false) -> [Float] {
      let call = reference ? apus_gaussian_attention_reference_f32 : apus_gaussian_attention_f32
      var o = [Float](repeating: poison, count: p.dout.count)
      withUnsafePointer(to: p.shape) { call(&o, p.q, p.k, p.v, $0) }
      return o
    }

    func backward(_ p: AttentionProblem, reference: Bool = false) -> [[Float]] {
      let call =
        reference
        ? apus_gaussian_attention_backward_reference_f32 : apus_gaussian_attention_backward_f32
      var dq = [Float](repeating: poison, count: p.q.count)
      var dk = [Float](repeating: poison, count: p.k.count)
      var dv = [Float](repeating: poison, count: p.v.count)
      withUnsafePointer(to: p.shape) { call(&dq, &dk, &dv, p.dout, p.q, p.k, p.v, $0) }
      return [dq, dk, dv]
    }

    /// Gaps between tokens keep their poison in both, and count as agreement only there.
    func expectAgreement(_ problem: AttentionProblem, on target: String) {
      let found = [forward(problem)] + backward(problem)
      let expected = [forward(problem, reference: true)] + backward(problem, reference: true)
      for (name, (one, other)) in zip(["o", "dq", "dk", "dv"], zip(found, expected)) {
        let gaps = zip(one, other).allSatisfy {
          ($0.bitPattern == poison.bitPattern) == ($1.bitPattern == poison.bitPattern)
        }
        #expect(gaps, "\(target) \(problem): \(name) is not written where it should be")
        func filled(_ x: [Float]) -> [Float] { x.filter { $0.bitPattern != poison.bitPattern } }
        let difference = largestDifference(filled(one), filled(other)) / magnitude(filled(other))
        #expect(difference <= 2e-6, "\(target) \(problem): \(name) \(difference)")
      }
    }

    @Test(
      "agrees with the scalar reference in values and gradients", arguments: [1, 5, 32, 64, 80])
    func agreesWithReference(headSize: Int) {
      onEveryTarget { target in
        for (index, (queries, keys)) in [
          (1, 1), (2, 2), (17, 17), (95, 95), (97, 97), (200, 200), (3, 129), (65, 17),
        ].enumerated() {
          let mix = index + headSize
          expectAgreement(
            AttentionProblem(
              batch: 1 + mix % 2, queries: queries, keys: keys, heads: 4,
              group: [1, 2, 4][mix % 3],
              headSize: headSize, window: [0, 0, 5, 70][mix % 4], causal: mix % 3 > 0, seed: mix),
            on: target)
        }
      }
    }

    @Test("never lets a later key reach an earlier row, to the bit")
    func causality() {
      let problem = AttentionProblem(queries: 150, keys: 150, heads: 2, headSize: 24)
      var changed = problem
      var numbers = TestNumbers(seed: 9)
      for j in 70..<150 {
        for c in 0..<48 {
          changed.k[changed.keyIndex(j, c)] = numbers.normal()
          changed.v[changed.keyIndex(j, c)] = 5 * numbers.normal()
        }
      }
      onEveryTarget { target in
        let (before, after) = (forward(problem), forward(changed))
        let count = before.count / 150 * 70
        let same = zip(before.prefix(count), after.prefix(count)).allSatisfy {
          $0.bitPattern == $1.bitPattern
        }
        #expect(same, "\(target)")
      }
    }

    @Test("gives the same bits with one thread and with two")
    func sameBitsForAnyThreadCount() {
      let problem = AttentionProblem(batch: 2, queries: 210, keys: 210, heads: 2, headSize: 16)
      func bits() -> [UInt32] {
        ([forward(problem)] + backward(problem)).flatMap { $0.map(\.bitPattern) }
      }
      #expect(withThreads(1, bits) == withThreads(2, bits))
    }

    @Test("inverts the landmarks' matrix as the reference does", arguments: [1, 3, 20, 64])
    func landmarks(count: Int) {
      let size = 8
      let x = random(2 * count * size, seed: 3, scale: 0.7)
      let dg = random(2 * count * count, seed: 4)
      let kept = apus_landmarks_saved(count, 6)
      var (g, saved) = (
        [Float](repeating: poison, count: dg.count), [Float](repeating: poison, count: 2 * kept)
      )
      var (truth, dx) = (g, [Float](repeating: poison, count: x.count))
      var expected = dx
      #expect(apus_landmarks_f32(&g, &saved, x, 2, count, size, 0.1, 6) == 0)
      apus_landmarks_reference_f32(&truth, x, 2, count, size, 0.1, 6)
      expectClose(g, truth, relative: 1e-5, absolute: 1e-5 * magnitude(truth))
      #expect(apus_landmarks_backward_f32(&dx, dg, saved, x, 2, count, size, 0.1, 6) == 0)
      apus_landmarks_backward_reference_f32(&expected, dg, x, 2, count, size, 0.1, 6)
      expectClose(dx, expected, relative: 1e-5, absolute: 2e-5 * magnitude(expected))
    }

    @Test("scales every matrix of landmarks by itself")
    func matricesApart() {
      let (one, other) = (random(5 * 4, seed: 1), random(5 * 4, seed: 2, scale: 3))
      var (alone, both) = ([Float](repeating: 0, count: 25), [Float](repeating: 0, count: 50))
      #expect(apus_landmarks_f32(&alone, nil, one, 1, 5, 4, 0.1, 6) == 0)
      #expect(apus_landmarks_f32(&both, nil, one + other, 2, 5, 4, 0.1, 6) == 0)
      #expect(alone == Array(both.prefix(25)))
    }
  }
}
