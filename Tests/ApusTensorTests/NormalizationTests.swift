import ApusTensor
import ApusTestSupport
import Testing

@Suite("Normalization", .tags(.kernel, .gradient))
struct NormalizationTests {
  static let widths = [2, 3, 7, 16, 33, 65]

  private static func rows(
    _ x: [Double], _ features: Int, _ body: ([Double]) -> [Double]
  ) -> [Double] {
    stride(from: 0, to: x.count, by: features).flatMap { body(Array(x[$0..<$0 + features])) }
  }

  @Test("by mean and variance", arguments: widths, [true, false])
  func layer(features: Int, hasBias: Bool) {
    let inputs = [
      Tensor.random([3, features], seed: 1), .random([features], seed: 2),
      .random([features], seed: 3),
    ]
    expectAgreement(
      of: { $0[0].layerNorm(weight: $0[1], bias: hasBias ? $0[2] : nil, epsilon: 1e-3) },
      with: { x in
        Self.rows(x[0], features) { row in
          let mean = row.reduce(0, +) / Double(features)
          let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(features)
          return row.enumerated().map {
            ($1 - mean) / (variance + 1e-3).squareRoot() * x[1][$0] + (hasBias ? x[2][$0] : 0)
          }
        }
      }, at: Array(inputs.prefix(hasBias ? 3 : 2)))
  }

  @Test("by root mean square", arguments: [1] + widths)
  func rootMeanSquare(features: Int) {
    expectAgreement(
      of: { $0[0].rmsNorm(weight: $0[1], epsilon: 1e-3) },
      with: { x in
        Self.rows(x[0], features) { row in
          let scale = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(features) + 1e-3).squareRoot()
          return row.enumerated().map { $1 * scale * x[1][$0] }
        }
      }, at: [.random([3, features], seed: 1), .random([features], seed: 2)])
  }

  @Test("sends a gradient to the bias when nothing else is tracked")
  func biasAlone() {
    let bias = Tensor.random([4], seed: 3).tracked()
    let y = Tensor.random([2, 4], seed: 1).layerNorm(
      weight: .random([4], seed: 2), bias: bias, epsilon: 1e-5)
    y.mean().backward()
    expectClose(bias.gradient?.values ?? [], [0.25, 0.25, 0.25, 0.25], relative: 1e-6)
  }

  @Test("stays finite on constant rows")
  func constantRows() {
    let x = Tensor(repeating: 3, [2, 5]).tracked()
    let one = Tensor(repeating: 1, [5])
    x.layerNorm(weight: one, bias: nil, epsilon: 1e-5).mean().backward()
    Tensor(zeros: [2, 5]).tracked().rmsNorm(weight: one, epsilon: 1e-6).mean().backward()
    #expect(x.gradient?.values.allSatisfy { $0.isFinite } == true)
  }
}
