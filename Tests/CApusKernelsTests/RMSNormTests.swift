import CApusKernels
import Testing

extension Kernels {
  @Suite("RMS norm")
  struct RMSNormTests {
    let epsilon: Float = 1e-6

    @Test("it agrees with the scalar reference", arguments: [1, 3, 40], [1, 3, 16, 33, 257, 1025])
    func agrees(rows: Int, features: Int) {
      let (x, gain) = (random(rows * features, seed: 1), random(features, seed: 2))
      onEveryTarget { target in
        for weight in [gain, nil] {
          var (expected, expectedStatistics) = (x, [Float](repeating: 0, count: rows))
          apus_rms_norm_reference_f32(
            &expected, &expectedStatistics, x, weight, rows, features, epsilon)
          var statistics = [Float]()
          let y = output(rows * features) { y in
            statistics = output(rows) {
              apus_rms_norm_f32(y, $0, x, weight, rows, features, epsilon)
            }
          }
          expectClose(statistics, expectedStatistics, relative: 1e-6, target)
          expectClose(y, expected, relative: 2e-6, absolute: 1e-7, target)
        }
      }
    }

    @Test(
      "its gradients agree with the scalar reference", arguments: [1, 3, 40],
      [1, 3, 16, 33, 257, 1025])
    func gradientsAgree(rows: Int, features: Int) {
      let (x, dy) = (random(rows * features, seed: 1), random(rows * features, seed: 2))
      let gain = random(features, seed: 3)
      for weight in [gain, nil] {
        var (y, statistics) = (x, [Float](repeating: 0, count: rows))
        apus_rms_norm_reference_f32(&y, &statistics, x, weight, rows, features, epsilon)
        var (dx, dweight) = (x, gain)
        apus_rms_norm_backward_reference_f32(
          &dx, &dweight, dy, x, weight, statistics, rows, features)
        let scale = statistics.reduce(1) { max($0, $1) }
        onEveryTarget { target in
          var actualWeight = [Float]()
          let actual = output(rows * features) { actual in
            actual.update(from: dy, count: dy.count)  // dx may be dy
            actualWeight = output(features) {
              apus_rms_norm_backward_f32(actual, $0, actual, x, weight, statistics, rows, features)
            }
          }
          expectClose(actual, dx, relative: 1e-5, absolute: 1e-6 * scale, target)
          expectClose(actualWeight, dweight, relative: 1e-5, absolute: 2e-6 * scale, target)
          let alone = output(rows * features) {
            apus_rms_norm_backward_f32($0, nil, dy, x, weight, statistics, rows, features)
          }
          expectClose(alone, actual, "without dweight, \(target)")
        }
      }
    }

    /// Σ dy · y in double, straight from the definition; `values` holds x and the weight.
    func loss(_ values: [Double], _ dy: [Float], rows: Int, features: Int) -> Double {
      let weight = Array(values.suffix(features))
      return (0..<rows).reduce(0) { sum, row in
        let line = Array(values.dropFirst(row * features).prefix(features))
        let square = line.reduce(0) { $0 + $1 * $1 } / Double(features)
        let rms = (square + Double(epsilon)).squareRoot()
        return sum
          + (0..<features).reduce(0) {
            $0 + Double(dy[row * features + $1]) * line[$1] / rms * weight[$1]
          }
      }
    }

    @Test("its reference gradients agree with finite differences in double")
    func gradient() {
      let (rows, features) = (3, 5)
      let (x, dy, weight) = (random(15, seed: 4), random(15, seed: 5), random(5, seed: 6))
      var (y, statistics) = (x, [Float](repeating: 0, count: rows))
      apus_rms_norm_reference_f32(&y, &statistics, x, weight, rows, features, epsilon)
      var (dx, dweight) = (x, weight)
      apus_rms_norm_backward_reference_f32(&dx, &dweight, dy, x, weight, statistics, rows, features)
      let measured = numericalGradient(
        of: { loss($0, dy, rows: rows, features: features) }, at: x + weight)
      expectClose(dx + dweight, measured, relative: 1e-4, absolute: 1e-5)
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let (rows, features) = (700, 129)
      let (x, dy) = (random(rows * features, seed: 8), random(rows * features, seed: 9))
      let weight = random(features, seed: 10)
      expectSameBitsAtAnyThreadCount("RMS norm") {
        var (y, statistics) = (x, [Float](repeating: 0, count: rows))
        apus_rms_norm_f32(&y, &statistics, x, weight, rows, features, epsilon)
        var (dx, dweight) = (x, weight)
        apus_rms_norm_backward_f32(&dx, &dweight, dy, x, weight, statistics, rows, features)
        return y + statistics + dx + dweight
      }
    }

    @Test("it keeps a row of zeros finite")
    func zeros() {
      var statistics: [Float] = [0]
      let y = output(3) { apus_rms_norm_f32($0, &statistics, [0, 0, 0], nil, 1, 3, epsilon) }
      #expect(y == [0, 0, 0])
      expectClose(statistics, [1000], relative: 1e-6)
    }
  }
}
