import CApusKernels
import Testing

extension Kernels {
  @Suite("Likelihoods")
  struct LikelihoodTests {
    static let families = [
      (APUS_STUDENT_T, 3), (APUS_MIXTURE, 3), (APUS_MIXTURE, 12), (APUS_COUNTS, 3),
    ]

    @Test(
      "agree with densities as books have them, values and gradients", arguments: families,
      [1, 3, 700])
    func agrees(family: (code: Int, outputs: Int), rows: Int) {
      let outputs = family.outputs
      let x = random(rows * outputs, seed: 1, scale: 1.5)
      let units = random(rows, seed: 2, scale: 3).map { 1 + $0 * $0 }
      let weights = (0..<rows).map { Float($0 % 3) / 2 + ($0 == 0 ? 1 : 0) }
      var targets = random(rows, seed: 3, scale: 2)
      if family.code == APUS_COUNTS {
        for (row, unit) in units.enumerated() {
          targets[row] = row % 3 == 0 ? 0 : abs(targets[row] * unit).rounded() / unit
        }
      }
      for (weights, units) in [(weights, units), (nil, nil)] as [([Float]?, [Float]?)] {
        var (dx, expected) = ([Float](), [Float]())
        let losses = output(rows) { losses in
          dx = output(x.count) {
            apus_likelihood_f32(
              losses, $0, x, targets, units, weights, rows, outputs, Int32(family.code))
          }
        }
        let twin = output(rows) { losses in
          expected = output(x.count) {
            apus_likelihood_reference_f32(
              losses, $0, x, targets, units, weights, rows, outputs, Int32(family.code))
          }
        }
        expectClose(losses, twin, relative: 1e-6, absolute: 1e-6)
        expectClose(dx, expected, relative: 1e-5, absolute: 1e-6)
        let alone = output(rows) {
          apus_likelihood_f32(
            $0, nil, x, targets, units, weights, rows, outputs, Int32(family.code))
        }
        expectClose(alone, losses)
      }
    }

    @Test("skip rows of weight 0 and hand not-a-number on elsewhere", arguments: families)
    func specials(family: (code: Int, outputs: Int)) {
      let x = [Float](repeating: 0.1, count: 2 * family.outputs)
      var dx = [Float](repeating: poison, count: x.count)
      let losses = output(2) {
        apus_likelihood_f32(
          $0, &dx, x, [.nan, .nan], nil, [0, 1], 2, family.outputs, Int32(family.code))
      }
      #expect(losses[0] == 0 && dx[..<family.outputs].allSatisfy { $0 == 0 })
      #expect(losses[1].isNaN)
    }

    @Test("stay finite at outputs and targets of any size", arguments: families)
    func extremes(family: (code: Int, outputs: Int)) {
      let values: [Float] = [0, 3e38, -3e38, 1e4, -1e4, 90, -90, 1e-30]
      for a in values {
        for b in values {
          for c in values {
            for (target, unit) in [(0, 1), (2, 1e9), (1e-3, 1e3), (3e38, 1), (-3e38, 0)]
              as [(Float, Float)] where family.code != APUS_COUNTS || (0...1e9).contains(target)
            {
              let x = (0..<family.outputs).map { [a, b, c][$0 * 3 / family.outputs] }
              var dx = [Float](repeating: poison, count: x.count)
              let loss = output(1) {
                apus_likelihood_f32(
                  $0, &dx, x, [target], [unit], nil, 1, x.count, Int32(family.code))
              }
              var parameters = [Double](repeating: .nan, count: x.count)
              apus_likelihood_parameters_f64(
                &parameters, x, [unit], 1, x.count, Int32(family.code))
              #expect(
                loss[0].isFinite && dx.allSatisfy { $0.isFinite }
                  && parameters.allSatisfy { $0.isFinite },
                "\(x) \(target) \(unit): \(loss) \(dx) \(parameters)")
            }
          }
        }
      }
    }

    @Test("find the quantiles of mixtures that bisection finds", arguments: [1, 3, 16])
    func mixtures(components: Int) {
      let rows = 40
      let levels = [1e-6, 0.01, 0.3, 0.5, 0.9, 0.9999]
      let scores = [
        -4.753424308822899, -2.3263478740408408, -0.5244005127080407, 0, 1.2815515655446004,
        3.719016485455709,
      ]
      let places = random(rows * components, seed: 5, scale: 5)
      var parameters: [Double] = []
      for row in 0..<rows {
        // Narrow components far apart, which make the distribution flat between them.
        let own = places[row * components..<(row + 1) * components].map(Double.init)
        let shares = own.indices.map { Double($0 % 5 + 1) }
        parameters += shares.map { $0 / shares.reduce(0, +) } + own
        parameters += own.indices.map { $0 % 2 == 0 ? 1e-4 : 0.1 + Double(row) }
      }
      var (found, expected) = (
        [Double](repeating: .nan, count: rows * levels.count), [Double]()
      )
      expected = found
      apus_mixture_quantiles_f64(
        &found, parameters, levels, scores, rows, components, levels.count)
      apus_mixture_quantiles_reference_f64(
        &expected, parameters, levels, scores, rows, components, levels.count)
      for (one, other) in zip(found, expected) {
        #expect(abs(one - other) <= 1e-9 * max(1, abs(other)), "\(one) \(other)")
      }
      for row in 0..<rows {
        let own = found[row * levels.count..<(row + 1) * levels.count]
        #expect(zip(own, own.dropFirst()).allSatisfy(<=))
      }
      parameters[components] = .nan
      apus_mixture_quantiles_f64(&found, parameters, levels, scores, 1, components, levels.count)
      #expect(found.prefix(levels.count).allSatisfy { $0.isNaN })
    }
  }
}
