import CApusKernels
import Testing

extension Kernels {
  @Suite("Scalar twins of small operations")
  struct ScalarTwinTests {
    @Test("sums agree", arguments: Kernels.sizes + [70_001])
    func sums(count: Int) {
      let x = random(count, seed: 1, scale: 100)
      let squares = apus_sum_of_squares_reference_f32(x, count)
      onEveryTarget { target in
        let error = apus_sum_f32(x, count) - apus_sum_reference_f32(x, count)
        #expect(abs(error) <= 1e-9 * squares.squareRoot(), "\(target)")
        #expect(abs(apus_sum_of_squares_f32(x, count) - squares) <= 1e-12 * squares, "\(target)")
      }
    }

    @Test("conversions agree to the bit, not-a-number aside")
    func conversions() {
      let halves = Array(0...UInt16.max)
      let floats = ConversionTests.floats
      let wide = [apus_f16_to_f32, apus_bf16_to_f32]
      let wideReference = [apus_f16_to_f32_reference, apus_bf16_to_f32_reference]
      let narrow = [apus_f32_to_f16, apus_f32_to_bf16]
      let narrowReference = [apus_f32_to_f16_reference, apus_f32_to_bf16_reference]
      onEveryTarget { target in
        for kind in 0..<2 {
          let y = output(halves.count) { wide[kind]($0, halves, halves.count) }
          let expected = output(halves.count) { wideReference[kind]($0, halves, halves.count) }
          #expect(
            zip(y, expected).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN },
            "\(target)")
          var (rounded, twin) = (halves, halves)
          narrow[kind](&rounded, floats, floats.count)
          narrowReference[kind](&twin, floats, floats.count)
          let wrong = floats.indices.first { !floats[$0].isNaN && rounded[$0] != twin[$0] }
          #expect(wrong == nil, "\(target): \(wrong.map { "\(floats[$0])" } ?? "")")
        }
      }
    }

    @Test("the gate agrees", arguments: Kernels.sizes)
    func gate(count: Int) {
      let (a, b) = (random(count, seed: 5), random(count, seed: 6, scale: 3))
      let dy = random(count, seed: 7)
      let expected = output(count) { apus_gate_silu_reference_f32($0, a, b, count) }
      let gradients = output(2 * count) {
        apus_gate_silu_backward_reference_f32($0, $0 + count, dy, a, b, count)
      }
      onEveryTarget { target in
        let y = output(count) { apus_gate_silu_f32($0, a, b, count) }
        expectClose(y, expected, relative: 1e-6, absolute: 1e-7, target)
        let d = output(2 * count) {
          apus_gate_silu_backward_f32($0, $0 + count, dy, a, b, count)
        }
        expectClose(d, gradients, relative: 2e-6, absolute: 1e-6, target)
      }
    }

    @Test("random numbers agree", arguments: Kernels.sizes, [0, 3, 4 * 4_294_967_290 + 3])
    func randomNumbers(count: Int, offset: UInt64) {
      let x = random(count, seed: 2)
      let uniform = output(count) {
        apus_random_uniform_reference_f32($0, count, -2, 3, 7, 5, offset)
      }
      let normal = output(count) {
        apus_random_normal_reference_f32($0, count, 1, 2, 7, 5, offset)
      }
      let dropped = output(count) { apus_dropout_reference_f32($0, x, count, 0.7, 7, 5) }
      onEveryTarget { target in
        let u = output(count) { apus_random_uniform_f32($0, count, -2, 3, 7, 5, offset) }
        expectClose(u, uniform, relative: 1e-6, absolute: 1e-6, target)
        let z = output(count) { apus_random_normal_f32($0, count, 1, 2, 7, 5, offset) }
        expectClose(z, normal, relative: 2e-6, absolute: 4e-6, target)
        let kept = output(count) { apus_dropout_f32($0, x, count, 0.7, 7, 5) }
        expectClose(kept, dropped, relative: 1e-6, target)
      }
    }

    @Test("the gradient of a table agrees", arguments: [1, 3, 50], [1, 7, 33, 257])
    func embedding(rows: Int, features: Int) {
      let ids: [Int32] = (0..<rows).map { (row: Int) -> Int32 in Int32((row * 7 + row / 3) % 11) }
      let (table, dy) = (random(11 * features, seed: 1), random(rows * features, seed: 2))
      var expected = table
      apus_embedding_backward_reference_f32(&expected, dy, ids, rows, features, 11)
      onEveryTarget { target in
        var dtable = table
        apus_embedding_backward_f32(&dtable, dy, ids, rows, features, 11)
        expectClose(dtable, expected, relative: 1e-6, absolute: 1e-6, target)
      }
    }

    @Test("quantiles and their loss agree", arguments: [1, 3, 40], [1, 2, 3, 9, 16, 33])
    func quantiles(rows: Int, levels: Int) {
      let count = rows * levels
      let (x, dq) = (random(count, seed: 1), random(count, seed: 2))
      let targets = random(rows, seed: 3)
      let weights: [Float] = (0..<rows).map { Float($0 % 3) }
      let taus: [Float] = (1...levels).map { Float($0) / Float(levels + 1) }
      let expected = output(count) { apus_monotone_quantiles_reference_f32($0, x, rows, levels) }
      let gradient = output(count) {
        apus_monotone_quantiles_backward_reference_f32($0, dq, x, rows, levels)
      }
      let pinball = output(rows + count) {
        apus_pinball_reference_f32($0, $0 + rows, x, targets, weights, taus, rows, levels)
      }
      onEveryTarget { target in
        let q = output(count) { apus_monotone_quantiles_f32($0, x, rows, levels) }
        expectClose(q, expected, relative: 2e-6, absolute: 4e-6, target)
        let dx = output(count) { apus_monotone_quantiles_backward_f32($0, dq, x, rows, levels) }
        expectClose(dx, gradient, relative: 4e-6, absolute: 4e-6, target)
        let loss = output(rows + count) {
          apus_pinball_f32($0, $0 + rows, x, targets, weights, taus, rows, levels)
        }
        expectClose(loss, pinball, relative: 2e-6, absolute: 1e-6, target)
      }
    }

    @Test("gradient descent agrees", arguments: Kernels.sizes + [40_001])
    func descent(count: Int) {
      let (p, v, g) = (random(count, seed: 1), random(count, seed: 2), random(count, seed: 3))
      var (expected, velocity) = (p, v)
      apus_sgd_reference_f32(&expected, &velocity, g, count, 0.1, 0.9, 0.01, 0.5)
      onEveryTarget { target in
        var (parameter, speed) = (p, v)
        apus_sgd_f32(&parameter, &speed, g, count, 0.1, 0.9, 0.01, 0.5)
        expectClose(speed, velocity, relative: 1e-6, absolute: 1e-6, target)
        expectClose(parameter, expected, relative: 1e-6, absolute: 1e-6, target)
      }
    }
  }
}
