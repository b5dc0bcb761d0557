import CApusKernels
import Testing

extension Kernels {
  @Suite("Stochastic gradient descent")
  struct SGDTests {
    @Test("it takes the step of its formula", arguments: Kernels.sizes + [40_001])
    func agrees(count: Int) {
      let (p, v, g) = (random(count, seed: 1), random(count, seed: 2), random(count, seed: 3))
      let velocity = p.indices.map {
        Float(0.9 * Double(v[$0]) + 0.5 * Double(g[$0]) + 0.01 * Double(p[$0]))
      }
      let parameter = p.indices.map { Float(Double(p[$0]) - 0.1 * Double(velocity[$0])) }
      onEveryTarget { target in
        var actual = v
        let stepped = output(count) { y in
          y.update(from: p, count: count)
          apus_sgd_f32(y, &actual, g, count, 0.1, 0.9, 0.01, 0.5)
        }
        expectClose(actual, velocity, relative: 1e-6, absolute: 1e-6, target)
        expectClose(stepped, parameter, relative: 1e-6, absolute: 1e-6, target)
      }
    }
  }
}
