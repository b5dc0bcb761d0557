import CApusKernels
import Testing

extension Kernels {
  @Suite("Head norm")
  struct HeadNormTests {
    let epsilon: Float = 1e-5

    struct Size: Sendable, CustomTestStringConvertible {
      let rows, heads, headSize, rest: Int
      var stride: Int { heads * headSize + rest }
      var testDescription: String { "\(rows) x \(heads) x \(headSize), \(rest) behind" }
    }

    static let sizes = [
      Size(rows: 1, heads: 1, headSize: 2, rest: 0), Size(rows: 3, heads: 5, headSize: 7, rest: 1),
      Size(rows: 4, heads: 3, headSize: 33, rest: 33),
      Size(rows: 40, heads: 2, headSize: 257, rest: 5),
      Size(rows: 0, heads: 2, headSize: 8, rest: 0),
    ]

    @Test("it agrees with the scalar reference and leaves the rest alone", arguments: sizes)
    func agrees(size: Size) {
      let (x, weight) = (
        random(size.rows * size.stride, seed: 1), random(size.heads * size.headSize, seed: 2)
      )
      onEveryTarget { target in
        var (expected, expectedStatistics) = (x, [Float](repeating: 0, count: statistics(size)))
        apus_head_norm_reference_f32(
          &expected, &expectedStatistics, x, weight, size.rows, size.heads, size.headSize,
          size.stride, epsilon)
        var statistics = [Float]()
        let y = output(x.count) { y in
          y.update(from: x, count: x.count)  // in place
          statistics = output(self.statistics(size)) {
            apus_head_norm_f32(
              y, $0, y, weight, size.rows, size.heads, size.headSize, size.stride, epsilon)
          }
        }
        expectClose(statistics, expectedStatistics, relative: 2e-6, absolute: 2e-6, target)
        expectClose(y, expected, relative: 1e-5, absolute: 1e-5, target)
      }
    }

    @Test("its gradients agree with the scalar reference", arguments: sizes)
    func gradientsAgree(size: Size) {
      let (x, dy) = (
        random(size.rows * size.stride, seed: 1), random(size.rows * size.stride, seed: 2)
      )
      let weight = random(size.heads * size.headSize, seed: 3)
      var (y, statistics) = (x, [Float](repeating: 0, count: statistics(size)))
      apus_head_norm_reference_f32(
        &y, &statistics, x, weight, size.rows, size.heads, size.headSize, size.stride, epsilon)
      var (dx, dweight) = (dy, weight)
      apus_head_norm_backward_reference_f32(
        &dx, &dweight, dy, x, weight, statistics, size.rows, size.heads, size.headSize, size.stride)
      onEveryTarget { target in
        var actualWeight = [Float]()
        let actual = output(x.count) { actual in
          actual.update(from: dy, count: dy.count)  // dx may be dy
          actualWeight = output(weight.count) {
            apus_head_norm_backward_f32(
              actual, $0, actual, x, weight, statistics, size.rows, size.heads, size.headSize,
              size.stride)
          }
        }
        let scale = statistics.reduce(1) { max($0, abs($1)) }
        expectClose(actual, dx, relative: 1e-5, absolute: 2e-6 * scale, target)
        expectClose(actualWeight, dweight, relative: 1e-5, absolute: 2e-6 * scale, target)
      }
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let size = Size(rows: 700, heads: 3, headSize: 43, rest: 17)
      let (x, dy) = (
        random(size.rows * size.stride, seed: 8), random(size.rows * size.stride, seed: 9)
      )
      let weight = random(size.heads * size.headSize, seed: 10)
      expectSameBitsAtAnyThreadCount("head norm") {
        var (y, statistics) = (x, [Float](repeating: 0, count: statistics(size)))
        apus_head_norm_f32(
          &y, &statistics, x, weight, size.rows, size.heads, size.headSize, size.stride, epsilon)
        var (dx, dweight) = (dy, weight)
        apus_head_norm_backward_f32(
          &dx, &dweight, dy, x, weight, statistics, size.rows, size.heads, size.headSize,
          size.stride)
        return y + statistics + dx + dweight
      }
    }

    private func statistics(_ size: Size) -> Int { size.rows * size.heads * 2 }
  }
}
