import CApusKernels
import Testing

extension Kernels {
  @Suite("Clamp")
  struct ClampTests {
    @Test("it and its gradient agree with the scalar reference", arguments: Kernels.sizes)
    func agrees(count: Int) {
      var x = random(count, seed: 1)
      x[0] = 0.5
      let dy = random(count, seed: 2)
      var (expected, gradient) = (x, x)
      apus_clamp_reference_f32(&expected, x, 0.5, count)
      apus_clamp_backward_reference_f32(&gradient, dy, x, 0.5, count)
      #expect(gradient[0] == 0)
      onEveryTarget { target in
        #expect(output(count) { apus_clamp_f32($0, x, 0.5, count) } == expected, "\(target)")
        #expect(
          output(count) { apus_clamp_backward_f32($0, dy, x, 0.5, count) } == gradient, "\(target)")
      }
    }

    @Test("not-a-number stays one")
    func notANumber() {
      let y = output(3) { apus_clamp_f32($0, [.nan, .infinity, -.infinity], 2, 3) }
      #expect(y[0].isNaN && y[1] == 2 && y[2] == -2)
    }
  }
}
