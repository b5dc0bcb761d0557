import CApusKernels
import Testing

extension Kernels {
  @Suite("Expert dispatch")
  struct ExpertDispatchTests {
    /// n tokens, X experts, k of them.
    struct Sizes: CustomTestStringConvertible {
      var (tokens, experts, chosen): (Int, Int, Int)
      var testDescription: String { "n \(tokens) X \(experts) k \(chosen)" }

      /// Ascending experts of each token, with a −1 here and there; one expert gets no token.
      func choice(seed: UInt64) -> [Int32] {
        let logits = random(tokens * experts, seed: seed)
        return (0..<tokens).flatMap { token -> [Int32] in
          let order = (0..<experts).filter { $0 != 1 || experts == 1 }
            .sorted { logits[token * experts + $0] > logits[token * experts + $1] }
          let count = min(order.count, token % 5 == 4 ? chosen - 1 : chosen)
          let picks = order.prefix(count).sorted().map(Int32.init)
          return picks + [Int32](repeating: -1, count: chosen - count)
        }
      }
    }

    static let sizes = [
      Sizes(tokens: 1, experts: 1, chosen: 1), Sizes(tokens: 7, experts: 3, chosen: 2),
      Sizes(tokens: 333, experts: 16, chosen: 4), Sizes(tokens: 40, experts: 5, chosen: 5),
      Sizes(tokens: 0, experts: 4, chosen: 2),
    ]

    struct Order: Equatable {
      var (offsets, rowSlots, slotRows): ([Int32], [Int32], [Int32])
      var rows: Int
    }

    func order(
      _ sizes: Sizes, _ chosen: [Int32],
      by kernel: (
        UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<Int32>?,
        UnsafePointer<Int32>?, Int, Int, Int
      ) -> Int
    ) -> Order {
      var order = Order(
        offsets: [Int32](repeating: 99, count: sizes.experts + 1), rowSlots: chosen,
        slotRows: chosen, rows: 0)
      order.rows = kernel(
        &order.offsets, &order.rowSlots, &order.slotRows, chosen, sizes.tokens, sizes.experts,
        sizes.chosen)
      order.rowSlots.removeLast(chosen.count - order.rows)
      return order
    }

    @Test("sorts by expert, then by token", arguments: sizes)
    func sorts(sizes: Sizes) {
      let chosen = sizes.choice(seed: 1)
      let found = order(sizes, chosen, by: apus_expert_dispatch)
      #expect(found == order(sizes, chosen, by: apus_expert_dispatch_reference))
      #expect(found.rows == chosen.count { $0 >= 0 })
      for (row, slot) in found.rowSlots.enumerated() {
        #expect(found.slotRows[Int(slot)] == row)
        let expert = Int(chosen[Int(slot)])
        #expect((found.offsets[expert]..<found.offsets[expert + 1]).contains(Int32(row)))
      }
    }

    @Test("gathers and combines rows", arguments: sizes, [1, 7, 16, 33])
    func moves(sizes: Sizes, features: Int) {
      let chosen = sizes.choice(seed: 2)
      let order = order(sizes, chosen, by: apus_expert_dispatch)
      let stride = features + 5
      let x = random(sizes.tokens * features, seed: 3)
      let weights = random(chosen.count, seed: 4)
      var rows = [Float](repeating: poison, count: order.rows * stride)
      apus_expert_gather_f32(
        &rows, x, order.rowSlots, order.rows, features, sizes.chosen, stride)
      for row in 0..<order.rows {
        let token = Int(order.rowSlots[row]) / sizes.chosen
        #expect(
          Array(rows[row * stride..<row * stride + features])
            == Array(x[token * features..<(token + 1) * features]))
      }
      let values = random(order.rows * stride, seed: 5)
      for weights in [weights, nil] {
        var expected = x
        apus_expert_combine_reference_f32(
          &expected, values, weights, order.slotRows, sizes.tokens, features, sizes.chosen, stride)
        onEveryTarget { target in
          let found = output(x.count) {
            apus_expert_combine_f32(
              $0, values, weights, order.slotRows, sizes.tokens, features, sizes.chosen, stride)
          }
          expectClose(found, expected, relative: 1e-6, absolute: 1e-6, target)
        }
      }
    }

    @Test("the weighted gate agrees with the reference", arguments: [1, 5], [1, 7, 16, 33, 257])
    func swiglu(rows: Int, features: Int) {
      let (aStride, hStride) = (features + 3, 2 * features + 1)
      let slots = (0..<rows).map { Int32(rows - 1 - $0) }
      let (h, weights) = (random(rows * hStride, seed: 6, scale: 3), random(rows, seed: 7))
      let da = random(rows * aStride, seed: 8)
      let blank = [Float](repeating: 0, count: rows * aStride)
      var (a, wa, dh, dweights) = (blank, blank, [Float](repeating: 0, count: h.count), weights)
      apus_expert_swiglu_reference_f32(&a, h, rows, features, aStride, hStride)
      apus_expert_swiglu_backward_reference_f32(
        &dh, &wa, &dweights, da, h, weights, slots, rows, features, aStride, hStride)
      onEveryTarget { target in
        var found = blank
        apus_expert_swiglu_f32(&found, h, rows, features, aStride, hStride)
        expectClose(found, a, relative: 2e-6, absolute: 1e-6, target)
        var (foundWa, foundDh, foundDweights) = (
          da, [Float](repeating: 0, count: h.count), [Float](repeating: poison, count: rows)
        )
        foundWa.withUnsafeMutableBufferPointer { wa in  // which may be da
          apus_expert_swiglu_backward_f32(
            &foundDh, wa.baseAddress, &foundDweights, wa.baseAddress, h, weights, slots, rows,
            features, aStride, hStride)
        }
        for row in 0..<rows {  // what stands between the rows stays
          foundWa.replaceSubrange(row * aStride + features..<(row + 1) * aStride, with: [0, 0, 0])
        }
        expectClose(foundWa, wa, relative: 2e-6, absolute: 1e-6, target)
        expectClose(foundDh, dh, relative: 1e-5, absolute: 2e-6, target)
        expectClose(foundDweights, dweights, relative: 1e-5, absolute: 1e-4, target)
      }
    }

    /// Rows of each group: none, one, few, just below and past the switch to packed products, many.
    static let groups: [[Int]] = [[1], [0, 3, 0], [5, 0, 31, 32, 33], [300, 2, 0, 64], [0, 0]]

    @Test(
      "products of groups agree with the reference", arguments: groups, [(1, 1), (7, 33), (40, 17)])
    func products(counts: [Int], size: (Int, Int)) {
      let (columns, inner) = size
      let offsets = counts.reduce(into: [Int32(0)]) { $0.append($0[$0.count - 1] + Int32($1)) }
      let rows = counts.reduce(0, +)
      let a = random(rows * (inner + 2), seed: 9)
      let start = random(rows * (columns + 1), seed: 10)
      let matrices = random(counts.count * columns * inner, seed: 11)
      for transposed in [0, 1] as [Int32] {
        for accumulate in [0, 1] as [Int32] {
          var shape = apus_grouped_shape(
            groups: counts.count, columns: columns, inner: inner, a_stride: inner + 2,
            b_stride: transposed == 1 ? inner : columns, c_stride: columns + 1,
            transpose_b: transposed, accumulate: accumulate, bf16: 0, rows_alone: 0)
          matrices.withUnsafeBufferPointer { matrices in
            let b = counts.indices.map { g in matrices.baseAddress.map { $0 + g * columns * inner }
            }
            var expected = start
            apus_grouped_product_reference_f32(&expected, a, b, offsets, &shape)
            onEveryTarget { target in
              var found = start
              let status = apus_grouped_product_f32(&found, a, b, offsets, &shape)
              #expect(status == 0)
              expectClose(found, expected, relative: 1e-5, absolute: 1e-5, target)
            }
          }
        }
      }
    }

    @Test(
      "gradients of groups agree with the reference", arguments: groups,
      [(1, 1), (7, 33), (40, 17)])
    func productGradients(counts: [Int], size: (Int, Int)) {
      let (columns, inner) = size
      let offsets = counts.reduce(into: [Int32(0)]) { $0.append($0[$0.count - 1] + Int32($1)) }
      let rows = counts.reduce(0, +)
      let (a, dc) = (random(rows * (inner + 2), seed: 12), random(rows * (columns + 1), seed: 13))
      for transposed in [0, 1] as [Int32] {
        var shape = apus_grouped_shape(
          groups: counts.count, columns: columns, inner: inner, a_stride: inner + 2,
          b_stride: transposed == 1 ? inner : columns, c_stride: columns + 1,
          transpose_b: transposed, accumulate: 0, bf16: 0, rows_alone: 0)
        func gradients(
          _ kernel: (
            UnsafePointer<UnsafeMutablePointer<Float>?>?, UnsafePointer<Float>?,
            UnsafePointer<Float>?, UnsafePointer<Int32>?, UnsafePointer<apus_grouped_shape>?
          ) -> Void
        ) -> [Float] {
          output(counts.count * columns * inner) { db in
            // The first group's gradient is not wanted when there are others.
            let skipped = counts.count > 1 ? 1 : 0
            let pointers = counts.indices.map { index -> UnsafeMutablePointer<Float>? in
              index < skipped ? nil : db + index * columns * inner
            }
            db.update(repeating: 0, count: skipped * columns * inner)
            kernel(pointers, a, dc, offsets, &shape)
          }
        }
        let expected = gradients(apus_grouped_product_backward_reference_f32)
        onEveryTarget { target in
          let found = gradients { _ = apus_grouped_product_backward_f32($0, $1, $2, $3, $4) }
          expectClose(found, expected, relative: 1e-5, absolute: 1e-4, target)
        }
      }
    }

    @Test("gives the same bits at any thread count")
    func threads() {
      let counts = [400, 0, 30, 70, 3]
      let offsets = counts.reduce(into: [Int32(0)]) { $0.append($0[$0.count - 1] + Int32($1)) }
      let (rows, columns, inner) = (503, 96, 72)
      let (a, dc) = (random(rows * inner, seed: 14), random(rows * columns, seed: 15))
      let matrices = random(5 * columns * inner, seed: 16)
      expectSameBitsAtAnyThreadCount("grouped products") {
        var shape = apus_grouped_shape(
          groups: 5, columns: columns, inner: inner, a_stride: inner, b_stride: inner,
          c_stride: columns, transpose_b: 1, accumulate: 0, bf16: 0, rows_alone: 0)
        var (c, db) = (dc, matrices)
        matrices.withUnsafeBufferPointer { matrices in
          let b = (0..<5).map { index in matrices.baseAddress.map { $0 + index * columns * inner } }
          _ = apus_grouped_product_f32(&c, a, b, offsets, &shape)
        }
        db.withUnsafeMutableBufferPointer { db in
          let b = (0..<5).map { index in db.baseAddress.map { $0 + index * columns * inner } }
          _ = apus_grouped_product_backward_f32(b, a, dc, offsets, &shape)
        }
        return c + db
      }
    }
  }
}
