import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Gates")
  struct GateTests {
    @Test("it agrees with the scalar reference", arguments: [1, 3, 20], [1, 7, 16, 33, 257, 1025])
    func agrees(rows: Int, features: Int) {
      let (x, dy) = (
        random(rows * 2 * features, seed: 1, scale: 3), random(rows * features, seed: 2)
      )
      var (expected, gradient) = (dy, x)
      apus_swiglu_reference_f32(&expected, x, rows, features)
      apus_swiglu_backward_reference_f32(&gradient, dy, x, rows, features)
      onEveryTarget { target in
        let y = output(rows * features) { apus_swiglu_f32($0, x, rows, features) }
        expectClose(y, expected, relative: 1e-6, absolute: 1e-7, target)
        let dx = output(x.count) { apus_swiglu_backward_f32($0, dy, x, rows, features) }
        expectClose(dx, gradient, relative: 2e-6, absolute: 1e-6, target)
      }
    }

    @Test("its reference gradient agrees with finite differences in double")
    func gradient() {
      let (x, dy) = (random(2 * 6, seed: 3), random(2 * 3, seed: 4))
      func loss(_ x: [Double]) -> Double {
        (0..<6).reduce(0.0) { sum, index in
          let (row, feature) = (index / 3, index % 3)
          let (gate, up) = (x[row * 6 + feature], x[row * 6 + 3 + feature])
          return sum + Double(dy[index]) * up * gate / (1 + exp(-gate))
        }
      }
      var dx = x
      apus_swiglu_backward_reference_f32(&dx, dy, x, 2, 3)
      expectClose(
        dx, numericalGradient(of: loss, at: x), relative: 1e-5, absolute: 1e-6, "swiglu")
    }

    @Test("its separate gate agrees with the fused one", arguments: Kernels.sizes)
    func gate(count: Int) {
      let (a, b) = (random(count, seed: 5), random(count, seed: 6, scale: 3))
      let dy = random(count, seed: 7)
      let fused = b + a
      var (expected, gradient) = (dy, fused)
      apus_swiglu_reference_f32(&expected, fused, 1, count)
      apus_swiglu_backward_reference_f32(&gradient, dy, fused, 1, count)
      onEveryTarget { target in
        let y = output(count) { apus_gate_silu_f32($0, a, b, count) }
        expectClose(y, expected, relative: 1e-6, absolute: 1e-7, target)
        var da = [Float]()
        let db = output(count) { db in
          da = output(count) { apus_gate_silu_backward_f32($0, db, dy, a, b, count) }
        }
        expectClose(db + da, gradient, relative: 2e-6, absolute: 1e-6, target)
      }
    }
  }
}
