import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Quantiles")
  struct QuantilesTests {
    func monotone(_ x: [Double], levels: Int) -> [Double] {
      let (median, softplus) = (levels / 2, { (v: Double) in log(1 + exp(v)) })
      var q = x
      for row in stride(from: 0, to: x.count, by: levels) {
        for i in median + 1..<max(levels, median + 1) {
          q[row + i] = q[row + i - 1] + softplus(x[row + i])
        }
        for i in (0..<median).reversed() { q[row + i] = q[row + i + 1] - softplus(x[row + i]) }
      }
      return q
    }

    @Test(
      "it makes rising quantiles, and their gradient", arguments: [1, 3, 40], [1, 2, 3, 9, 16, 33])
    func agrees(rows: Int, levels: Int) {
      let (x, dq) = (random(rows * levels, seed: 1), random(rows * levels, seed: 2))
      let expected = monotone(x.map(Double.init), levels: levels).map { Float($0) }
      let measured = numericalGradient(
        of: { point in
          zip(monotone(point, levels: levels), dq).reduce(0) { $0 + $1.0 * Double($1.1) }
        }, at: x)
      onEveryTarget { target in
        let q = output(x.count) { apus_monotone_quantiles_f32($0, x, rows, levels) }
        expectClose(q, expected, relative: 2e-6, absolute: 4e-6, target)
        let dx = output(x.count) { apus_monotone_quantiles_backward_f32($0, dq, x, rows, levels) }
        expectClose(dx, measured, relative: 1e-4, absolute: 1e-5, target)
      }
    }

    @Test("its pinball loss computes an example worked by hand")
    func pinballByHand() {
      // Target 2: 1 below the upper quantile, 1 above the lower, at the median.
      let (q, levels): ([Float], [Float]) = ([1, 2, 3], [0.1, 0.5, 0.9])
      var dq = [Float](repeating: poison, count: 3)
      let losses = output(1) { apus_pinball_f32($0, &dq, q, [2], [3], levels, 1, 3) }
      expectClose(losses, [0.2], relative: 1e-6)  // 3 · (0.1 + 0 + 0.1) / 3
      expectClose(dq, [-0.1, 0, 0.1], relative: 1e-5)
    }

    @Test("its pinball loss agrees with its definition", arguments: [1, 3, 2000], [1, 2, 9])
    func pinball(rows: Int, count: Int) {
      let (q, targets) = (random(rows * count, seed: 3), random(rows, seed: 4))
      let weights = (0..<rows).map { Float($0 % 3) }
      let levels = (1...count).map { Float($0) / Float(count + 1) }
      for weight in [weights, nil] {
        var (expected, gradient) = ([Float](), [Float]())
        for r in 0..<rows {
          var sum = 0.0
          let w = Double(weight?[r] ?? 1)
          for l in 0..<count {
            let (over, level) = (Double(targets[r] - q[r * count + l]), Double(levels[l]))
            sum += max(level * over, (level - 1) * over)
            gradient.append(Float((over > 0 ? -level : 1 - level) * w / Double(count)))
          }
          expected.append(Float(sum * w / Double(count)))
        }
        var dq = [Float]()
        let losses = output(rows) { losses in
          dq = output(rows * count) {
            apus_pinball_f32(losses, $0, q, targets, weight, levels, rows, count)
          }
        }
        expectClose(losses, expected, relative: 2e-6, absolute: 1e-7)
        expectClose(dq, gradient, relative: 1e-6, absolute: 1e-7)
        let alone = output(rows) {
          apus_pinball_f32($0, nil, q, targets, weight, levels, rows, count)
        }
        expectClose(alone, losses)
      }
    }

    @Test("its pinball loss skips rows of weight 0 and hands not-a-number on elsewhere")
    func specials() {
      var dq = [Float](repeating: poison, count: 2)
      let losses = output(2) {
        apus_pinball_f32($0, &dq, [1, 2], [.nan, .nan], [0, 1], [0.5], 2, 1)
      }
      #expect(losses[0] == 0 && dq[0] == 0)
      #expect(losses[1].isNaN && dq[1].isNaN)
    }
  }
}
