import CApusKernels
import Testing

extension Kernels {
  @Suite("Element-wise operations")
  struct ElementwiseTests {
    @Test("it computes what its name says", arguments: Kernels.sizes)
    func agrees(count: Int) {
      let (a, b) = (random(count, seed: 1), random(count, seed: 2))
      onEveryTarget { target in
        let filled = output(count) { apus_fill_f32($0, 1.5, count) }
        expectClose(filled, Array(repeating: 1.5, count: count), "fill \(target)")
        let sum = output(count) { apus_add_f32($0, a, b, count) }
        expectClose(sum, zip(a, b).map(+), "add \(target)")
        let product = output(count) { apus_multiply_f32($0, a, b, count) }
        expectClose(product, zip(a, b).map(*), "multiply \(target)")
        let scaled = output(count) { apus_scale_f32($0, a, 0.3, count) }
        expectClose(scaled, a.map { $0 * 0.3 }, "scale \(target)")
        var y = b
        apus_axpy_f32(&y, a, 0.3, count)
        let moved = zip(a, b).map { $1 + 0.3 * $0 }
        expectClose(y, moved, relative: 1e-6, absolute: 1e-6, "axpy \(target)")
      }
    }

    @Test("it may write over its input", arguments: Kernels.sizes)
    func worksInPlace(count: Int) {
      let (a, b) = (random(count, seed: 1), random(count, seed: 2))
      onEveryTarget { target in
        let overA = output(count) { y in
          y.update(from: a, count: count)
          apus_add_f32(y, y, b, count)
        }
        expectClose(overA, zip(a, b).map(+), target)
        let overB = output(count) { y in
          y.update(from: b, count: count)
          apus_multiply_f32(y, a, y, count)
        }
        expectClose(overB, zip(a, b).map(*), target)
      }
    }

    @Test("it stores past the caches when the output is long")
    func streams() {
      let count = (1 << 22) + 5
      let (a, b) = (random(count, seed: 3), random(count, seed: 4))
      onEveryTarget { target in
        let sum = output(count) { apus_add_f32($0, a, b, count) }
        expectClose(sum, zip(a, b).map(+), target)
      }
    }

    @Test("it does nothing to no elements")
    func empty() {
      _ = output(0) { apus_fill_f32($0, 1, 0) }
      _ = output(0) { apus_add_f32($0, $0, $0, 0) }
      #expect(apus_sum_f32([], 0) == 0)
    }
  }
}
