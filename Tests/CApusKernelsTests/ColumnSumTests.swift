import CApusKernels
import Testing

extension Kernels {
  @Suite("Column sums")
  struct ColumnSumTests {
    @Test(
      "it agrees with the scalar reference", arguments: [1, 3, 4, 6, 300], [1, 7, 16, 33, 257])
    func agrees(rows: Int, columns: Int) {
      let stride = columns + 3
      let (x, start) = (random(rows * stride, seed: 1), random(columns, seed: 2))
      onEveryTarget { target in
        for accumulate in [Int32(0), 1] {
          var expected = start
          apus_column_sum_reference_f32(&expected, x, rows, columns, stride, accumulate)
          let actual = output(columns) { y in
            if accumulate == 1 { y.update(from: start, count: columns) }
            apus_column_sum_f32(y, x, rows, columns, stride, accumulate)
          }
          expectClose(actual, expected, relative: 1e-6, absolute: 2e-5, "\(target) \(accumulate)")
        }
      }
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let x = random(2000 * 65, seed: 3)
      expectSameBitsAtAnyThreadCount("column sum") {
        output(65) { apus_column_sum_f32($0, x, 2000, 65, 65, 0) }
      }
    }
  }
}
