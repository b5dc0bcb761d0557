import CApusKernels
import Testing

extension Kernels {
  @Suite("Memory")
  struct MemoryTests {
    @Test("what is cached has a bound, whatever sizes were asked for, and is trimmed")
    func bounds() {
      apus_buffer_trim()
      #expect(apus_buffer_bytes_cached() == 0)
      let (megabyte, before) = (1 << 20, apus_buffer_bytes_in_use())
      for size in stride(from: megabyte, through: 64 * megabyte, by: megabyte) {
        apus_buffer_release(apus_buffer_acquire(size), size)
        let all = apus_buffer_bytes_in_use() + apus_buffer_bytes_cached()
        #expect(all <= before + size * 5 / 4 + 64 * megabyte)
      }
      #expect(apus_buffer_bytes_cached() >= 64 * megabyte)
      // The sizes in use stay: nothing is allocated anew.
      let first: UnsafeMutableRawPointer? = apus_buffer_acquire(64 * megabyte)
      apus_buffer_release(first, 64 * megabyte)
      #expect(apus_buffer_acquire(64 * megabyte) == first)
      apus_buffer_release(first, 64 * megabyte)
      apus_buffer_trim()
      #expect(apus_buffer_bytes_cached() == 0 && apus_buffer_bytes_in_use() == before)
    }

    @Test("a kernel without memory says so")
    func noMemory() async {
      let result = await #expect(
        processExitsWith: .failure, observing: [\.standardErrorContent]
      ) {
        let x = [Float](repeating: 0, count: 4 * 33 * 8)
        var o = x
        var shape = apus_attention_shape(
          batch: 1, queries: 33, keys: 33, heads: 1, kv_heads: 1, head_size: 8, q_stride: 8,
          k_stride: 8, v_stride: 8, o_stride: 8, q_batch: 0, k_batch: 0, v_batch: 0, o_batch: 0,
          window: 0, causal: 1, scale: 1)
        apus_buffer_fail_after(0)
        apus_attention_f32(&o, nil, x, x, x, &shape)
      }
      let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
      #expect(text.contains("apus: no memory left for"), "\(text)")
    }

    @Test("a product that finds no memory on its way is added to its target once")
    func partialFailure() {
      let (rows, columns, inner) = (520, 256, 40)
      let (a, b) = (random(rows * inner, seed: 1), random(columns * inner, seed: 2))
      let start = random(rows * columns, seed: 3)
      var shape = apus_product_shape(
        rows: rows, columns: columns, inner: inner, a_stride: inner, b_stride: inner,
        c_stride: columns, transpose_a: 0, transpose_b: 1, accumulate: 1, rows_alone: 0)
      var expected = start
      apus_product_reference_f32(&expected, a, b, nil, &shape)
      let threads = apus_set_threads(1)
      defer { apus_set_threads(threads) }
      for count in 0..<40 {
        var c = start
        apus_buffer_fail_after(count)
        let status = apus_product_bf16(&c, a, b, nil, &shape)
        apus_buffer_fail_after(-1)
        #expect(status == 0)
        expectClose(c, expected, relative: 0.02, absolute: 0.1, "after \(count)")
      }
    }

    @Test("a thread keeps a bounded number of primitives")
    func primitives() {
      let threads = apus_set_threads(1)
      defer { apus_set_threads(threads) }
      let (a, b) = (random(300 * 8, seed: 1), random(8 * 4, seed: 2))
      for rows in 1...300 {
        var shape = apus_product_shape(
          rows: rows, columns: 4, inner: 8, a_stride: 8, b_stride: 8, c_stride: 4, transpose_a: 0,
          transpose_b: 1, accumulate: 0, rows_alone: 0)
        var expected = [Float](repeating: 0, count: rows * 4)
        apus_product_reference_f32(&expected, a, b, nil, &shape)
        let c = output(rows * 4) {
          #expect(apus_product_primitive($0, a, b, nil, &shape, 0) == 0)
        }
        expectClose(c, expected, relative: 1e-5, absolute: 1e-5, "\(rows)")
        #expect(apus_product_primitives_kept() <= 256)
      }
    }
  }
}
