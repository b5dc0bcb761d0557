import CApusKernels
import Testing

extension Kernels {
  @Suite("Rotary positions")
  struct RoPETests {
    /// Heads in rows with a gap between tokens, and a table of turns.
    struct Problem {
      let rows = 13, heads = 3, tableRows = 20
      let headSize: Int, pairs: Int
      var stride: Int { heads * headSize + 5 }
      var x: [Float], cosine: [Float], sine: [Float], positions: [Int32]

      init(headSize: Int, pairs: Int) {
        self.headSize = headSize
        self.pairs = pairs
        var numbers = TestNumbers(seed: headSize + pairs)
        x = numbers.normals(13 * (3 * headSize + 5))
        cosine = []
        sine = []
        for _ in 0..<(20 * pairs) {
          // A point of the circle from the half-angle tangent.
          let t = numbers.normal()
          cosine.append((1 - t * t) / (1 + t * t))
          sine.append(2 * t / (1 + t * t))
        }
        positions = (0..<13).map { Int32(($0 * 7 + 3) % 20) }
      }

      func turned(_ x: [Float], interleaved: Bool, inverse: Bool, reference: Bool = false)
        -> [Float]
      {
        var x = x
        let call = reference ? apus_rope_reference_f32 : apus_rope_f32
        call(
          &x, cosine, sine, positions, rows, heads, headSize, pairs, stride, interleaved ? 1 : 0,
          inverse ? 1 : 0)
        return x
      }
    }

    @Test(
      "agrees with the scalar reference, both ways",
      arguments: [(2, 1), (6, 3), (16, 8), (34, 17), (64, 32), (64, 16), (10, 3), (128, 64)])
    func agreesWithReference(headSize: Int, pairs: Int) {
      let problem = Problem(headSize: headSize, pairs: pairs)
      onEveryTarget { target in
        for interleaved in [false, true] {
          for inverse in [false, true] {
            let found = problem.turned(problem.x, interleaved: interleaved, inverse: inverse)
            let truth = problem.turned(
              problem.x, interleaved: interleaved, inverse: inverse, reference: true)
            #expect(largestDifference(found, truth) < 1e-6, "\(target) \(interleaved) \(inverse)")
          }
        }
      }
    }

    @Test("turns back what it turned, and leaves the rest alone", arguments: [false, true])
    func inverse(interleaved: Bool) {
      let problem = Problem(headSize: 24, pairs: 9)
      let there = problem.turned(problem.x, interleaved: interleaved, inverse: false)
      let back = problem.turned(there, interleaved: interleaved, inverse: true)
      #expect(largestDifference(back, problem.x) < 2e-6)
      for row in 0..<problem.rows {
        for head in 0..<problem.heads {
          let start = row * problem.stride + head * 24
          #expect(there[start + 18..<start + 24] == problem.x[start + 18..<start + 24])
        }
        let gap = row * problem.stride + 72..<(row + 1) * problem.stride
        #expect(there[gap] == problem.x[gap])
      }
    }

    @Test("turns a quarter as worked by hand")
    func quarterTurn() {
      // Position 1 turns the first pair by a quarter and the second by a half.
      let (cosine, sine): ([Float], [Float]) = ([1, 1, 0, -1], [0, 0, 1, 0])
      var halves: [Float] = [1, 2, 3, 4]
      apus_rope_f32(&halves, cosine, sine, [1], 1, 1, 4, 2, 4, 0, 0)
      #expect(halves == [-3, -2, 1, -4])
      var pairs: [Float] = [1, 2, 3, 4]
      apus_rope_f32(&pairs, cosine, sine, [1], 1, 1, 4, 2, 4, 1, 0)
      #expect(pairs == [-2, 1, -3, -4])
    }

    @Test("gives the same bits with one thread and with two")
    func sameBitsForAnyThreadCount() {
      let problem = Problem(headSize: 64, pairs: 32)
      let one = withThreads(1) {
        problem.turned(problem.x, interleaved: false, inverse: false)
      }
      let two = withThreads(2) {
        problem.turned(problem.x, interleaved: false, inverse: false)
      }
      #expect(one == two)
    }
  }
}
