import CApusKernels
import Testing

extension Kernels {
  @Suite("Sums")
  struct SumTests {
    @Test("it sums in double", arguments: Kernels.sizes + [70_001])
    func sums(count: Int) {
      let x = random(count, seed: 1, scale: 100)
      let sum = x.reduce(0) { $0 + Double($1) }
      let squares = x.reduce(0) { $0 + Double($1) * Double($1) }
      onEveryTarget { target in
        #expect(abs(apus_sum_f32(x, count) - sum) <= 1e-9 * squares.squareRoot(), "\(target)")
        let error = apus_sum_of_squares_f32(x, count) - squares
        #expect(abs(error) <= 1e-12 * squares, "\(target)")
      }
    }

    @Test("it keeps small terms beside large ones")
    func keepsSmallTerms() {
      let x: [Float] = [1e8, 1, -1e8, 1]
      #expect(apus_sum_f32(x, 4) == 2)
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let x = random(300_001, seed: 2)
      expectSameBitsAtAnyThreadCount("sums") {
        [apus_sum_f32(x, x.count), apus_sum_of_squares_f32(x, x.count)]
          .flatMap { [Float(bitPattern: UInt32(truncatingIfNeeded: $0.bitPattern)), Float($0)] }
      }
    }

    @Test("it hands not-a-number and infinity on")
    func specials() {
      #expect(apus_sum_f32([1, .nan, 2], 3).isNaN)
      #expect(apus_sum_of_squares_f32([1, -.infinity, 2], 3) == .infinity)
    }
  }
}
