import CApusKernels
import Testing

extension Kernels {
  @Suite("Matrix products")
  struct ProductTests {
    /// Rows, columns and inner of odd sizes, of one block and of several.
    static let sizes = [
      (1, 1, 1), (3, 5, 7), (8, 70, 33), (17, 33, 65), (130, 70, 33), (513, 65, 48),
      (600, 300, 130),
      (2, 3, 0),
    ]

    struct Variant: CustomTestStringConvertible {
      let transposeA, transposeB, accumulates, hasBias: Bool

      static let all = (0..<16).map {
        Variant(
          transposeA: $0 & 1 != 0, transposeB: $0 & 2 != 0, accumulates: $0 & 4 != 0,
          hasBias: $0 & 8 != 0)
      }

      var testDescription: String {
        "\(transposeA ? "aT" : "a") \(transposeB ? "bT" : "b")\(accumulates ? ", added" : "")"
          + (hasBias ? ", bias" : "")
      }
    }

    enum Path: String, CaseIterable { case float, primitives, rounded }

    @Test("equal the reference, in rows further apart than they are long", arguments: Variant.all)
    func equalsReference(variant: Variant) {
      for size in Self.sizes {
        for path in Path.allCases { check(size, variant, path) }
      }
    }

    private func check(_ size: (Int, Int, Int), _ variant: Variant, _ path: Path) {
      let (rows, columns, inner) = size
      var shape = apus_product_shape()
      (shape.rows, shape.columns, shape.inner) = (rows, columns, inner)
      shape.a_stride = (variant.transposeA ? rows : inner) + 3
      shape.b_stride = (variant.transposeB ? inner : columns) + 5
      shape.c_stride = columns + 2
      (shape.transpose_a, shape.transpose_b) = (
        variant.transposeA ? 1 : 0, variant.transposeB ? 1 : 0
      )
      shape.accumulate = variant.accumulates ? 1 : 0
      var a = random((variant.transposeA ? inner : rows) * shape.a_stride, seed: 1)
      var b = random((variant.transposeB ? columns : inner) * shape.b_stride, seed: 2)
      let bias = variant.hasBias ? random(columns, seed: 3) : nil
      let start = random(rows * shape.c_stride, seed: 4)
      func product(
        _ multiply: (UnsafeMutablePointer<Float>, UnsafePointer<Float>?) -> Int32
      ) -> (status: Int32, c: [Float]) {
        var c = start
        let status = c.withUnsafeMutableBufferPointer { c -> Int32 in
          guard let base = c.baseAddress else { return -1 }
          return bias.map { $0.withUnsafeBufferPointer { multiply(base, $0.baseAddress) } }
            ?? multiply(base, nil)
        }
        return (status, c)
      }
      let found = product { c, bias in
        switch path {
        case .float: apus_product_f32(c, a, b, bias, &shape)
        case .primitives: apus_product_primitive(c, a, b, bias, &shape, 0)
        case .rounded: apus_product_primitive(c, a, b, bias, &shape, 1)
        }
      }
      if path == .rounded {
        let isa = String(cString: apus_product_isa_name())
        guard isa.hasPrefix("AVX-512") || isa == "AMX" else { return }
        (a, b) = (rounded(a), rounded(b))
      }
      let expected = product { c, bias in
        apus_product_reference_f32(c, a, b, bias, &shape)
        return 0
      }
      let context = "\(path), \(size), \(variant.testDescription)"
      #expect(found.status == 0, "\(context)")
      expectClose(
        found.c, expected.c, relative: 1e-6, absolute: 2e-6 * Float(max(inner, 1)).squareRoot(),
        context)
      // What lies between the rows of c is not touched.
      for row in 0..<rows {
        let gap = row * shape.c_stride + columns..<(row + 1) * shape.c_stride
        #expect(found.c[gap] == start[gap], "\(context)")
      }
    }

    /// The nearest bfloat16 numbers.
    private func rounded(_ x: [Float]) -> [Float] {
      var (bits, y) = ([UInt16](repeating: 0, count: x.count), x)
      apus_f32_to_bf16(&bits, x, x.count)
      apus_bf16_to_f32(&y, bits, x.count)
      return y
    }
  }
}
