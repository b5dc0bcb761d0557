import CApusKernels
import Testing

extension Kernels {
  @Suite("Random numbers")
  struct RandomTests {
    /// The known answers that Salmon et al. publish with Philox4x32-10. Our counter is (counter,
    /// stream) and our key the seed, low words first.
    @Test("it gives the published words of Philox")
    func knownAnswers() {
      let cases: [(seed: UInt64, stream: UInt64, counter: UInt64, words: [UInt32])] = [
        (0, 0, 0, [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
        (.max, .max, .max, [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
        (
          0x299F_31D0_A409_3822, 0x0370_7344_1319_8A2E, 0x85A3_08D3_243F_6A88,
          [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]
        ),
      ]
      for (seed, stream, counter, expected) in cases {
        #expect(words(seed, stream, counter) == expected)
      }
    }

    func words(_ seed: UInt64, _ stream: UInt64, _ counter: UInt64) -> [UInt32] {
      var words: [UInt32] = [0, 0, 0, 0]
      apus_philox4x32(&words, seed, stream, counter)
      return words
    }

    func uniform(_ count: Int, low: Float = 0, high: Float = 1, offset: UInt64 = 0) -> [Float] {
      output(count) { apus_random_uniform_f32($0, count, low, high, 77, 5, offset) }
    }

    func normal(_ count: Int, offset: UInt64 = 0) -> [Float] {
      output(count) { apus_random_normal_f32($0, count, 1, 2, 77, 5, offset) }
    }

    @Test(
      "it draws element i from word i % 4 of counter i / 4", arguments: Kernels.sizes,
      [0, 1, 6, 4 * 4_294_967_290 + 3])
    func elements(count: Int, offset: UInt64) {
      let expected = (0..<UInt64(count)).map { index in
        let element = offset + index
        return Float(words(77, 5, element / 4)[Int(element % 4)] >> 8) / 16_777_216
      }
      onEveryTarget { target in expectClose(uniform(count, offset: offset), expected, target) }
    }

    @Test("it continues where an earlier call ended")
    func splitting() {
      onEveryTarget { target in
        for cut in [1, 2, 5, 64, 333] {
          let parts = normal(cut) + normal(1000 - cut, offset: UInt64(cut))
          expectClose(parts, normal(1000), "\(target), cut at \(cut)")
        }
      }
    }

    @Test("it has the moments of its distribution")
    func moments() {
      let count = 400_000
      onEveryTarget { target in
        let u = uniform(count, low: -1, high: 3)
        let uMean = apus_sum_f32(u, count) / Double(count)
        let uVariance = apus_sum_of_squares_f32(u, count) / Double(count) - uMean * uMean
        #expect(abs(uMean - 1) < 0.01 && abs(uVariance - 16.0 / 12) < 0.01, "\(target)")
        let z = normal(count).map { ($0 - 1) / 2 }
        let powers = (1...4).map { power in
          z.reduce(0.0) { sum, v in
            sum + (1...power).reduce(1.0) { product, _ in product * Double(v) }
          } / Double(count)
        }
        for (moment, expected) in zip(powers, [0, 1, 0, 3.0]) {
          #expect(abs(moment - expected) < 0.03, "\(target)")
        }
        let neighbors = zip(z, z.dropFirst()).reduce(0.0) { $0 + Double($1.0 * $1.1) }
        #expect(abs(neighbors / Double(count)) < 0.01, "\(target)")
        #expect((z.max() ?? 0) > 4 && (z.min() ?? 0) < -4, "\(target)")
      }
    }

    @Test("it stays below the upper end of the interval")
    func interval() {
      onEveryTarget { target in
        let u = uniform(200_000, low: 1, high: 1.000_001)
        #expect(u.allSatisfy { $0 >= 1 && $0 < 1.000_001 }, "\(target)")
        expectClose(uniform(3, low: 2, high: 2), [2, 2, 2], target)
      }
    }

    @Test("it gives other numbers for another seed and stream")
    func streams() {
      let base = uniform(100)
      let others =
        [(78, 5), (77, 6), (77, 5 + (1 << 40)), (77 + (1 << 40), 5)] as [(UInt64, UInt64)]
      for (seed, stream) in others {
        let other = output(100) { apus_random_uniform_f32($0, 100, 0, 1, seed, stream, 0) }
        #expect(zip(base, other).filter { $0 == $1 }.count < 3)
      }
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let x = random(100_003, seed: 1)
      expectSameBitsAtAnyThreadCount("uniform") { uniform(100_003) }
      expectSameBitsAtAnyThreadCount("normal") { normal(100_003) }
      expectSameBitsAtAnyThreadCount("dropout") {
        output(x.count) { apus_dropout_f32($0, x, x.count, 0.7, 1, 2) }
      }
    }

    @Test("it drops by the uniform numbers of the same seed and stream", arguments: Kernels.sizes)
    func dropout(count: Int) {
      let x = random(count, seed: 1)
      onEveryTarget { target in
        let u = uniform(count)
        let expected = zip(x, u).map { $1 < 0.7 ? $0 * (1 / Float(0.7)) : 0 }
        let dropped = output(count) { apus_dropout_f32($0, x, count, 0.7, 77, 5) }
        expectClose(dropped, expected, target)
        let kept = output(count) { apus_dropout_f32($0, x, count, 1, 77, 5) }
        expectClose(kept, x, target)
        let inPlace = output(count) { y in
          y.update(from: x, count: count)
          apus_dropout_f32(y, y, count, 0.7, 77, 5)
        }
        expectClose(inPlace, expected, target)
      }
    }
  }
}
