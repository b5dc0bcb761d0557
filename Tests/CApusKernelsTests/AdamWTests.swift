import CApusKernels
import Testing

extension Kernels {
  @Suite("AdamW")
  struct AdamWTests {
    var options = apus_adamw_options(
      learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1,
      gradient_scale: 0.5, step: 1)

    /// Made by torch 2.13.0: `AdamW([p], lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)`,
    /// p = [1, −2, 0.5, 3, 0], each gradient below halved before its step.
    static let gradients: [[Float]] = [
      [0.1, -0.2, 0.3, 0.0, 1e-4], [0.5, 0.4, -0.3, 0.2, -1e-4], [-1.0, 2.0, 0.25, 0.125, 1e-6],
    ]
    static let parameters: [[Float]] = [
      [
        0.9890000224113464, -1.9880000352859497, 0.4895000159740448, 2.996999979019165,
        -0.009997999295592308,
      ],
      [
        0.9794005751609802, -1.989673137664795, 0.4895368218421936, 2.9865617752075195,
        -0.009461791254580021,
      ],
      [
        0.9810906052589417, -1.9945350885391235, 0.48615285754203796, 2.975311279296875,
        -0.009090788662433624,
      ],
    ]
    static let moments: ([Float], [Float]) = (
      [
        -0.02345000021159649, 0.10990000516176224, 0.011149999685585499, 0.015250000171363354,
        -3.9999989098760125e-07,
      ],
      [
        0.00031493252026848495, 0.0010499400086700916, 6.055752601241693e-05, 1.389625140291173e-05,
        4.992752305338355e-12,
      ]
    )

    @Test("it takes the steps that torch takes")
    func torch() {
      onEveryTarget { target in
        for run in [apus_adamw_f32, apus_adamw_reference_f32] {
          var parameter: [Float] = [1, -2, 0.5, 3, 0]
          var first = [Float](repeating: 0, count: 5)
          var second = first
          var options = options
          for (step, gradient) in Self.gradients.enumerated() {
            options.step = Int64(step + 1)
            run(&parameter, &first, &second, gradient, 5, &options)
            expectClose(
              parameter, Self.parameters[step], relative: 3e-7, absolute: 1e-8, "\(target) \(step)")
          }
          // torch keeps β₂ in double: 1 − 0.999 differs from the float's by 13 parts in a million.
          expectClose(first, Self.moments.0, relative: 1e-6, absolute: 1e-9, target)
          expectClose(second, Self.moments.1, relative: 2e-5, target)
        }
      }
    }

    @Test("it agrees with the scalar reference", arguments: Kernels.sizes)
    func agrees(count: Int) {
      let (p, m, g) = (
        random(count, seed: 1), random(count, seed: 2), random(count, seed: 3)
      )
      let v = random(count, seed: 4).map { $0 * $0 }
      var options = options
      options.step = 7
      var (parameter, first, second) = (p, m, v)
      apus_adamw_reference_f32(&parameter, &first, &second, g, count, &options)
      onEveryTarget { target in
        var (m, v) = (m, v)
        let stepped = output(count) { y in
          y.update(from: p, count: count)
          apus_adamw_f32(y, &m, &v, g, count, &options)
        }
        expectClose(stepped, parameter, relative: 1e-6, absolute: 1e-6, target)
        expectClose(m, first, relative: 1e-6, absolute: 1e-7, target)
        expectClose(v, second, relative: 1e-6, absolute: 1e-9, target)
      }
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let gradient = random(40_001, seed: 5)
      expectSameBitsAtAnyThreadCount("AdamW") {
        var (p, m, v) = (gradient, gradient, gradient.map { $0 * $0 })
        var options = options
        apus_adamw_f32(&p, &m, &v, gradient, p.count, &options)
        return p + m + v
      }
    }

    @Test("it only decays a parameter without gradient")
    func noGradient() {
      var (p, m, v): ([Float], [Float], [Float]) = ([2], [0], [0])
      var options = options
      apus_adamw_f32(&p, &m, &v, [0], 1, &options)
      expectClose(p, [2 * (1 - 0.001)], relative: 1e-7)
    }
  }
}
