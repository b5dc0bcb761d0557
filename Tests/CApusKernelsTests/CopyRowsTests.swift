import CApusKernels
import Testing

extension Kernels {
  @Suite("Copies of rows")
  struct CopyRowsTests {
    @Test("it copies and adds between strides", arguments: [1, 3, 50], [1, 7, 16, 33, 1025])
    func copies(rows: Int, columns: Int) {
      for (yStride, xStride) in [(columns, columns), (columns + 5, columns + 2)] {
        let (x, old) = (random(rows * xStride, seed: 1), random(rows * yStride, seed: 2))
        for accumulate in [Int32(0), 1] {
          var expected = old
          for r in 0..<rows {
            for c in 0..<columns {
              let before = accumulate == 1 ? old[r * yStride + c] : 0
              expected[r * yStride + c] = before + x[r * xStride + c]
            }
          }
          onEveryTarget { target in
            let actual = output(rows * yStride) { y in
              y.update(from: old, count: old.count)
              apus_copy_rows_f32(y, x, rows, columns, yStride, xStride, accumulate)
            }
            expectClose(actual, expected, "\(target) strides \(yStride), \(xStride)")
          }
        }
      }
    }
  }
}
