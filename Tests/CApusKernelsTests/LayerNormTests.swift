import CApusKernels
import Testing

extension Kernels {
  @Suite("Layer norm")
  struct LayerNormTests {
    let epsilon: Float = 1e-5

    @Test("it agrees with the scalar reference", arguments: [1, 3, 40], [1, 3, 16, 33, 257, 1025])
    func agrees(rows: Int, features: Int) {
      let (x, weight) = (random(rows * features, seed: 1), random(features, seed: 2))
      let bias = random(features, seed: 3)
      onEveryTarget { target in
        for shift in [bias, nil] {
          var (expected, expectedStatistics) = (x, [Float](repeating: 0, count: rows * 2))
          apus_layer_norm_reference_f32(
            &expected, &expectedStatistics, x, weight, shift, rows, features, epsilon)
          var statistics = [Float]()
          let y = output(rows * features) { y in
            statistics = output(rows * 2) {
              apus_layer_norm_f32(y, $0, x, weight, shift, rows, features, epsilon)
            }
          }
          expectClose(statistics, expectedStatistics, relative: 2e-6, absolute: 2e-6, target)
          expectClose(y, expected, relative: 1e-5, absolute: 1e-5, target)
        }
      }
    }

    @Test(
      "its gradients agree with the scalar reference", arguments: [1, 3, 40],
      [1, 3, 16, 33, 257, 1025])
    func gradientsAgree(rows: Int, features: Int) {
      let (x, dy) = (random(rows * features, seed: 1), random(rows * features, seed: 2))
      let weight = random(features, seed: 3)
      var (y, statistics) = (x, [Float](repeating: 0, count: rows * 2))
      apus_layer_norm_reference_f32(&y, &statistics, x, weight, nil, rows, features, epsilon)
      var (dx, dweight, dbias) = (x, weight, weight)
      apus_layer_norm_backward_reference_f32(
        &dx, &dweight, &dbias, dy, x, weight, statistics, rows, features)
      onEveryTarget { target in
        var (actualWeight, actualBias) = ([Float](), [Float]())
        let actual = output(rows * features) { actual in
          actual.update(from: dy, count: dy.count)  // dx may be dy
          actualBias = output(features) { bias in
            actualWeight = output(features) {
              apus_layer_norm_backward_f32(
                actual, $0, bias, actual, x, weight, statistics, rows, features)
            }
          }
        }
        // Where rows are short their deviation may be tiny, and 1/deviation scales every error.
        let scale = statistics.reduce(1) { max($0, abs($1)) }
        expectClose(actual, dx, relative: 1e-5, absolute: 2e-6 * scale, target)
        expectClose(actualWeight, dweight, relative: 1e-5, absolute: 2e-6 * scale, target)
        expectClose(actualBias, dbias, relative: 1e-5, absolute: 1e-5, target)
        let alone = output(rows * features) { alone in
          _ = output(features) {
            apus_layer_norm_backward_f32(
              alone, $0, nil, dy, x, weight, statistics, rows, features)
          }
        }
        expectClose(alone, actual, "without a bias, \(target)")
      }
    }

    /// Σ dy · y in double, straight from the definition; `values` holds x, weight and bias.
    func loss(_ values: [Double], _ dy: [Float], rows: Int, features: Int) -> Double {
      let x = values.prefix(rows * features)
      let weight = Array(values.dropFirst(rows * features).prefix(features))
      let bias = Array(values.suffix(features))
      return (0..<rows).reduce(0) { sum, row in
        let line = Array(x.dropFirst(row * features).prefix(features))
        let mean = line.reduce(0, +) / Double(features)
        let variance = line.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(features)
        let deviation = (variance + Double(epsilon)).squareRoot()
        return sum
          + (0..<features).reduce(0) {
            let y = (line[$1] - mean) / deviation * weight[$1] + bias[$1]
            return $0 + Double(dy[row * features + $1]) * y
          }
      }
    }

    @Test("its reference gradients agree with finite differences in double")
    func gradient() {
      let (rows, features) = (3, 5)
      let (x, dy) = (random(15, seed: 4), random(15, seed: 5))
      let (weight, bias) = (random(5, seed: 6), random(5, seed: 7))
      var (y, statistics) = (x, [Float](repeating: 0, count: rows * 2))
      apus_layer_norm_reference_f32(&y, &statistics, x, weight, bias, rows, features, epsilon)
      var (dx, dweight, dbias) = (x, weight, bias)
      apus_layer_norm_backward_reference_f32(
        &dx, &dweight, &dbias, dy, x, weight, statistics, rows, features)
      let measured = numericalGradient(
        of: { loss($0, dy, rows: rows, features: features) }, at: x + weight + bias)
      expectClose(dx + dweight + dbias, measured, relative: 1e-4, absolute: 1e-5)
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let (rows, features) = (700, 129)
      let (x, dy) = (random(rows * features, seed: 8), random(rows * features, seed: 9))
      let weight = random(features, seed: 10)
      expectSameBitsAtAnyThreadCount("layer norm") {
        var (y, statistics) = (x, [Float](repeating: 0, count: rows * 2))
        apus_layer_norm_f32(&y, &statistics, x, weight, weight, rows, features, epsilon)
        var (dx, dweight, dbias) = (x, weight, weight)
        apus_layer_norm_backward_f32(
          &dx, &dweight, &dbias, dy, x, weight, statistics, rows, features)
        return y + statistics + dx + dweight + dbias
      }
    }

    @Test("it normalizes a row far from 0, a constant row and a row with not-a-number")
    func specialRows() {
      let x: [Float] = [10_000, 10_001, 10_002, 10_003, 5, 5, 5, 5, 1, .nan, 2, 3]
      let ones: [Float] = [1, 1, 1, 1]
      onEveryTarget { target in
        var statistics = [Float](repeating: 0, count: 6)
        let y = output(12) { apus_layer_norm_f32($0, &statistics, x, ones, nil, 3, 4, 1e-5) }
        let far: [Float] = [-1.3416, -0.4472, 0.4472, 1.3416, 0, 0, 0, 0]
        expectClose(Array(y.prefix(8)), far, absolute: 1e-3, target)
        #expect(y.suffix(4).allSatisfy { $0.isNaN }, "\(target)")
      }
    }
  }
}
