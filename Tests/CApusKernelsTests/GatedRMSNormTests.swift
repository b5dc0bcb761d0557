import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Gated RMS norm")
  struct GatedRMSNormTests {
    /// One call; rows of z have `padding` floats behind them.
    struct Problem {
      var rows: Int, groups: Int, size: Int
      var padding = 5
      var x, z, weight, dy: [Float]

      init(rows: Int, groups: Int, size: Int) {
        (self.rows, self.groups, self.size) = (rows, groups, size)
        let features = groups * size
        x = random(rows * features, seed: 1)
        z = random(rows * (features + 5), seed: 2, scale: 3)
        weight = random(features, seed: 3)
        dy = random(rows * features, seed: 4)
      }

      var features: Int { groups * size }
      var stride: Int { features + padding }
      let epsilon: Float = 1e-5

      func forward() -> [Float] {
        output(x.count) {
          apus_gated_rms_norm_f32($0, x, z, weight, rows, features, groups, stride, epsilon)
        }
      }

      func reference() -> [Float] {
        output(x.count) {
          apus_gated_rms_norm_reference_f32(
            $0, x, z, weight, rows, features, groups, stride, epsilon)
        }
      }

      /// dx, dz with its padding, and dweight.
      func gradients(_ isReference: Bool) -> [[Float]] {
        var (dz, dweight) = ([Float](), [Float]())
        let kernel =
          isReference
          ? apus_gated_rms_norm_backward_reference_f32 : apus_gated_rms_norm_backward_f32
        let dx = output(x.count) { dx in
          dz = output(z.count) { dz in
            dweight = output(features) {
              kernel(dx, dz, $0, dy, x, z, weight, rows, features, groups, stride, epsilon)
            }
          }
        }
        let padded = dz.indices.filter { $0 % stride >= features }
        #expect(padded.allSatisfy { dz[$0].bitPattern == poison.bitPattern })
        return [dx, dz.indices.filter { $0 % stride < features }.map { dz[$0] }, dweight]
      }

      /// Σ dy · y in double, straight from the definition; `values` holds x, z and the weight.
      func loss(_ values: [Double]) -> Double {
        let weight = Array(values.suffix(features))
        var loss = 0.0
        for row in 0..<rows {
          for group in 0..<groups {
            let v = (0..<size).map { i -> Double in
              let gate = values[x.count + row * stride + group * size + i]
              return values[row * features + group * size + i] * gate / (1 + exp(-gate))
            }
            let rms = (v.reduce(0) { $0 + $1 * $1 } / Double(size) + Double(epsilon)).squareRoot()
            for i in 0..<size {
              let at = group * size + i
              loss += Double(dy[row * features + at]) * v[i] / rms * weight[at]
            }
          }
        }
        return loss
      }
    }

    @Test(
      "agrees with the scalar reference, values and gradients", arguments: [1, 3, 40],
      [(1, 1), (3, 1), (1, 7), (2, 16), (3, 33), (1, 257), (4, 100)])
    func agrees(rows: Int, sizes: (groups: Int, size: Int)) {
      let problem = Problem(rows: rows, groups: sizes.groups, size: sizes.size)
      let (expected, gradients) = (problem.reference(), problem.gradients(true))
      onEveryTarget { target in
        expectClose(problem.forward(), expected, ofLargest: 2e-6, target)
        for (actual, expected) in zip(problem.gradients(false), gradients) {
          // The norm of a single feature is its sign: its gradient is what cancels, all but epsilon.
          expectClose(
            actual, expected, ofLargest: 1e-5, terms: sizes.size == 1 ? 0.1 : 0, target)
        }
      }
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      var problem = Problem(rows: 3, groups: 2, size: 4)
      problem.padding = 0
      problem.z = random(24, seed: 5)
      let expected = numericalGradient(
        of: { problem.loss($0) }, at: problem.x + problem.z + problem.weight)
      expectClose(problem.gradients(true).flatMap(\.self), expected, ofLargest: 1e-5)
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      let problem = Problem(rows: 700, groups: 3, size: 43)
      expectSameBitsAtAnyThreadCount("gated RMS norm") {
        problem.forward() + problem.gradients(false).flatMap(\.self)
      }
    }

    @Test("keeps a closed gate finite")
    func zeros() {
      var problem = Problem(rows: 1, groups: 1, size: 3)
      problem.z = [Float](repeating: -1e4, count: 8)
      #expect(problem.forward() == [0, 0, 0])
      #expect(problem.gradients(false).allSatisfy { $0.allSatisfy(\.isFinite) })
    }
  }
}
