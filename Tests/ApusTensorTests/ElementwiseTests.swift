import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Elementwise operations", .tags(.kernel, .gradient))
struct ElementwiseTests {
  static let sizes = [1, 3, 7, 16, 33, 257]

  @Test("add, also with the second repeated", arguments: sizes, [1, 3])
  func addition(count: Int, repeats: Int) {
    expectAgreement(
      of: { $0[0] + $0[1] },
      with: { x in x[0].enumerated().map { $1 + x[1][$0 % count] } },
      at: [.random([repeats, count], seed: 1), .random([count], seed: 2)])
  }

  @Test("multiply", arguments: sizes)
  func multiplication(count: Int) {
    expectAgreement(
      of: { $0[0] * $0[1] }, with: { x in zip(x[0], x[1]).map { $0 * $1 } },
      at: [.random([count], seed: 1), .random([count], seed: 2)])
  }

  @Test("scale", arguments: sizes)
  func scaling(count: Int) {
    expectAgreement(
      of: { $0[0] * -1.5 }, with: { $0[0].map { $0 * -1.5 } },
      at: [.random([count], seed: 1)])
  }

  @Test("take the mean", arguments: sizes)
  func average(count: Int) {
    expectAgreement(
      of: { $0[0].mean() }, with: { [$0[0].reduce(0, +) / Double(count)] },
      at: [.random([count], seed: 1)])
  }

  @Test("apply every activation", arguments: Activation.allCases, sizes)
  func activations(activation: Activation, count: Int) {
    func define(_ x: Double) -> Double {
      switch activation {
      case .relu: max(x, 0)
      case .gelu: x * (1 + erf(x / 2.0.squareRoot())) / 2
      case .geluTanh:
        0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
      case .silu: silu(x)
      case .sigmoid: sigmoid(x)
      case .tanh: tanh(x)
      case .softplus: softplus(x)
      }
    }
    expectAgreement(
      of: { activation($0[0]) }, with: { $0[0].map(define) },
      at: [.random([count], seed: UInt64(count), scale: 2)], "\(activation)")
  }

  @Test("keep activations finite far out", arguments: Activation.allCases)
  func farOut(activation: Activation) {
    let x = Tensor([-1e30, -1000, -88, 88, 1000], [5]).tracked()
    let y = activation(x)
    y.backward(gradient: Tensor(repeating: 1, [5]))
    #expect(y.values.allSatisfy { $0.isFinite }, "\(activation): \(y.values)")
    let gradient = x.gradient?.values ?? [.nan]
    #expect(gradient.allSatisfy { $0.isFinite }, "\(activation): \(gradient)")
  }

  @Test("gate by SwiGLU", arguments: [1, 3, 7, 16, 33])
  func gated(features: Int) {
    expectAgreement(
      of: { $0[0].swiGLU() },
      with: { x in
        (0..<3 * features).map { index in
          let (row, feature) = index.quotientAndRemainder(dividingBy: features)
          return silu(x[0][row * 2 * features + feature])
            * x[0][row * 2 * features + features + feature]
        }
      }, at: [.random([3, 2 * features], seed: 1)])
  }

  @Test("drop the same elements forwards and backwards")
  func dropping() {
    let x = Tensor(repeating: 1, [1000]).tracked()
    let key = RandomKey(seed: 3)
    let y = x.dropout(rate: 0.25, key: key)
    y.backward(gradient: Tensor(repeating: 1, [1000]))
    expectSameBits(y.values, x.gradient?.values ?? [])
    expectSameBits(y.values, x.dropout(rate: 0.25, key: key).values)
    let kept = y.values.filter { $0 != 0 }
    #expect((700...800).contains(kept.count))
    expectClose(kept, .init(repeating: 4 / 3, count: kept.count), relative: 1e-6)
  }
}
