import CApusKernels
import Testing

extension Kernels {
  @Suite("Activations")
  struct ActivationTests {
    static let kinds: [(name: String, kind: apus_activation)] = [
      ("relu", APUS_RELU), ("gelu", APUS_GELU), ("gelu by tanh", APUS_GELU_TANH),
      ("silu", APUS_SILU), ("sigmoid", APUS_SIGMOID), ("tanh", APUS_TANH),
      ("softplus", APUS_SOFTPLUS), ("exp", APUS_EXP), ("log", APUS_LOG), ("erf", APUS_ERF),
    ]

    /// Values as the kernel and the reference compute them.
    func values(_ x: [Float], _ kind: apus_activation) -> (kernel: [Float], reference: [Float]) {
      var reference = x
      apus_activation_reference_f32(&reference, x, x.count, kind)
      return (output(x.count) { apus_activation_f32($0, x, x.count, kind) }, reference)
    }

    func slopes(_ dy: [Float], _ x: [Float], _ kind: apus_activation)
      -> (kernel: [Float], reference: [Float])
    {
      var reference = x
      apus_activation_backward_reference_f32(&reference, dy, x, x.count, kind)
      let kernel = output(x.count) { apus_activation_backward_f32($0, dy, x, x.count, kind) }
      return (kernel, reference)
    }

    @Test("it agrees with the scalar reference", arguments: Kernels.sizes)
    func agrees(count: Int) {
      let (x, dy) = (random(count, seed: 1, scale: 3), random(count, seed: 2))
      onEveryTarget { target in
        for (name, kind) in Self.kinds {
          let (y, expected) = values(x, kind)
          expectClose(y, expected, relative: 1e-6, absolute: 1e-7, "\(name) \(target)")
          let (dx, slope) = slopes(dy, x, kind)
          expectClose(dx, slope, relative: 2e-6, absolute: 5e-7, "gradient of \(name) \(target)")
        }
      }
    }

    @Test("it may write over its input")
    func inPlace() {
      let (x, dy) = (random(33, seed: 1), random(33, seed: 2))
      for (name, kind) in Self.kinds {
        var y = x
        y.withUnsafeMutableBufferPointer { y in
          if let y = y.baseAddress { apus_activation_f32(y, y, 33, kind) }
        }
        expectClose(y, values(x, kind).kernel, name)
        var dx = dy
        dx.withUnsafeMutableBufferPointer { dx in
          if let dx = dx.baseAddress { apus_activation_backward_f32(dx, dx, x, 33, kind) }
        }
        expectClose(dx, slopes(dy, x, kind).kernel, name)
      }
    }

    /// Floats from −∞ to ∞, evenly spread over their bit patterns.
    static let everywhere: [Float] = stride(from: UInt32(0), to: .max - 65_521, by: 65_521)
      .map { Float(bitPattern: $0) }

    @Test("it stays within a few units in the last place over all floats")
    func accuracy() {
      let bounds: [(apus_activation, Float)] = [
        (APUS_EXP, 1.5), (APUS_LOG, 1.5), (APUS_TANH, 3), (APUS_SIGMOID, 3), (APUS_SOFTPLUS, 2.5),
        (APUS_ERF, 3),
      ]
      let x = Self.everywhere
      onEveryTarget { target in
        for (kind, bound) in bounds {
          let (y, expected) = values(x, kind)
          for index in x.indices where abs(expected[index]) > 2e-38 && expected[index].isFinite {
            let distance = abs(y[index] - expected[index])
            if distance > bound * expected[index].ulp {
              Issue.record(
                "kind \(kind.rawValue) \(target): \(x[index]) gives \(y[index]), not \(expected[index])"
              )
              break
            }
          }
        }
      }
    }

    @Test("it has its limits at the infinities and hands not-a-number on")
    func limits() {
      let x: [Float] = [-.infinity, -1e30, -200, 200, 1e30, .infinity, .nan, 0, -0.0]
      onEveryTarget { target in
        for (name, kind) in Self.kinds {
          let (y, expected) = values(x, kind)
          expectClose(y, expected, relative: 1e-6, absolute: 1e-36, "\(name) \(target)")
          #expect(y[6].isNaN, "\(name) \(target)")
        }
        for (name, kind) in Self.kinds where kind != APUS_LOG {
          let (dx, slope) = slopes(Array(repeating: 2, count: x.count), x, kind)
          expectClose(dx, slope, relative: 1e-6, absolute: 1e-34, "slope of \(name) \(target)")
        }
      }
    }

    @Test("its reference gradient is that of its reference value")
    func gradient() {
      let x = random(40, seed: 5, scale: 2).map { $0 + 0.01 }
      for (name, kind) in Self.kinds {
        let points = kind == APUS_LOG ? x.map { abs($0) + 0.5 } : x
        let step: Float = 0.01
        let right = values(points.map { $0 + step }, kind).reference
        let left = values(points.map { $0 - step }, kind).reference
        let slope = slopes(Array(repeating: 1, count: points.count), points, kind).reference
        // A step across the kink of relu measures something else.
        for index in points.indices where abs(points[index]) > 2 * step {
          let measured = (right[index] - left[index]) / (2 * step)
          #expect(
            abs(measured - slope[index]) < 2e-3 + 1e-3 * abs(slope[index]),
            "\(name) at \(points[index])")
        }
      }
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let x = random(50_001, seed: 6)
      for (name, kind) in Self.kinds {
        expectSameBitsAtAnyThreadCount(name) { values(x, kind).kernel }
      }
    }
  }
}
