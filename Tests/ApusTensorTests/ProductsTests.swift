import ApusTensor
import ApusTestSupport
import Testing

@Suite("Linear map", .tags(.kernel, .gradient))
struct ProductsTests {
  static let sizes: [[Int]] = [[1, 1, 1], [1, 7, 5], [3, 1, 4], [5, 17, 9], [2, 33, 65]]

  @Test("equals the definition, values and gradients", arguments: sizes, [false, true])
  func agrees(size: [Int], inputsFirst: Bool) {
    let (rows, inputs, outputs) = (size[0], size[1], size[2])
    let weight: Shape = inputsFirst ? [inputs, outputs] : [outputs, inputs]
    let tensors = [
      Tensor.random([rows, inputs], seed: 1), .random(weight, seed: 2), .random([outputs], seed: 3),
    ]
    func reference(_ x: [[Double]]) -> [Double] {
      var weight = x[1]
      if inputsFirst {
        for i in 0..<inputs {
          for o in 0..<outputs { weight[o * inputs + i] = x[1][i * outputs + o] }
        }
      }
      let y = productTransposed(x[0], weight, inner: inputs)
      return x.count < 3 ? y : y.enumerated().map { $1 + x[2][$0 % outputs] }
    }
    expectAgreement(
      of: { $0[0].linear(weight: $0[1], bias: $0[2], inputsFirst: inputsFirst) }, with: reference,
      at: tensors, "with bias")
    expectAgreement(
      of: { $0[0].linear(weight: $0[1], inputsFirst: inputsFirst) }, with: reference,
      at: Array(tensors.prefix(2)), "without bias")
  }

  @Test(
    "side by side equals the maps alone, joined; values and gradients",
    arguments: [[1, 1, 1], [1, 7, 5, 3], [3, 1, 4, 2, 9], [5, 17, 9, 1], [2, 33, 65, 31, 31]],
    [false, true])
  func sideBySide(size: [Int], hasBiases: Bool) {
    let (rows, inputs, outputs) = (size[0], size[1], Array(size.dropFirst(2)))
    let count = outputs.count
    let x = Tensor.random([1, rows, inputs], seed: 1)
    let weights = outputs.indices.map {
      Tensor.random([outputs[$0], inputs], seed: 2 + UInt64($0))
    }
    let biases = outputs.indices.map { Tensor.random([outputs[$0]], seed: 20 + UInt64($0)) }
    func reference(_ tensors: [[Double]]) -> [Double] {
      var parts: [[Double]] = []
      for part in 0..<count {
        var y = productTransposed(tensors[0], tensors[1 + part], inner: inputs)
        if hasBiases {
          for at in y.indices { y[at] += tensors[1 + count + part][at % outputs[part]] }
        }
        parts.append(y)
      }
      return (0..<rows).flatMap { row -> [Double] in
        (0..<count).flatMap { part -> [Double] in
          Array(parts[part][row * outputs[part]..<(row + 1) * outputs[part]])
        }
      }
    }
    func operation(_ tensors: [Tensor]) -> Tensor {
      tensors[0].linear(
        sideBySide: Array(tensors[1...count]), biases: Array(tensors.dropFirst(count + 1)))
    }
    expectAgreement(
      of: operation, with: reference, at: [x] + weights + (hasBiases ? biases : []))
  }

  @Test(
    "rows kept alone have the bits that each has by itself, and close to those of all together",
    arguments: [[2, 3, 1], [5, 7, 9], [37, 64, 66], [130, 129, 256], [600, 64, 33]], [false, true])
  func rowsAlone(size: [Int], inputsFirst: Bool) {
    let (rows, inputs, outputs) = (size[0], size[1], size[2])
    let weight = Tensor.random(inputsFirst ? [inputs, outputs] : [outputs, inputs], seed: 2)
    let (x, bias) = (Tensor.random([rows, inputs], seed: 1), Tensor.random([outputs], seed: 3))
    func map(_ x: Tensor) -> [Float] {
      x.linear(weight: weight, bias: bias, inputsFirst: inputsFirst).values
    }
    let found = withSequencesAlone { map(x) }
    for row in 0..<rows {
      let one = Tensor(Array(x.values[row * inputs..<(row + 1) * inputs]), [1, inputs])
      #expect(Array(found[row * outputs..<(row + 1) * outputs]) == map(one), "row \(row)")
    }
    expectClose(found, map(x), absolute: 1e-5 * Double(inputs).squareRoot())
    #expect(withSequencesAlone { Arithmetic.current.keepsRowsAlone })
    #expect(!Arithmetic.current.keepsRowsAlone)
  }

  @Test("side by side sends gradients only to what is tracked")
  func sideBySideOnlyTracked() {
    let x = Tensor.random([3, 4], seed: 1)
    let (first, second) = (
      Tensor.random([2, 4], seed: 2), Tensor.random([3, 4], seed: 3).tracked()
    )
    let bias = Tensor.random([2], seed: 4).tracked()
    let y = x.linear(sideBySide: [first, second], biases: [bias, Tensor(zeros: [3])])
    #expect(y.shape == [3, 5])
    y.mean().backward()
    expectClose(bias.gradient?.values ?? [], [0.2, 0.2], relative: 1e-6)
    let alone = second.detached().tracked()
    (x.linear(weight: alone) * 0.6).mean().backward()
    expectClose(second.gradient?.values ?? [], alone.gradient?.values ?? [0], relative: 1e-5)
    #expect(!x.linear(sideBySide: [first, first]).isTracked)
  }

  @Test("sends gradients only to what is tracked")
  func onlyTracked() {
    let x = Tensor.random([3, 4], seed: 1)
    let (weight, bias) = (Tensor.random([2, 4], seed: 2), Tensor.random([2], seed: 3).tracked())
    x.linear(weight: weight, bias: bias).mean().backward()
    expectClose(bias.gradient?.values ?? [], [0.5, 0.5], relative: 1e-6)
    #expect(!x.linear(weight: weight).isTracked)
  }

  @Test("keeps the leading axes")
  func shape() {
    let y = Tensor(zeros: [2, 3, 4]).linear(weight: Tensor(zeros: [5, 4]))
    #expect(y.shape == [2, 3, 5])
  }

  @Test("in bfloat16 equals float where the CPU cannot multiply it, and is near elsewhere")
  func bfloat16() {
    let (x, weight) = (Tensor.random([9, 65], seed: 1), Tensor.random([33, 65], seed: 2))
    let exact = x.linear(weight: weight).values
    let rounded = withProducts(in: .bfloat16) { x.linear(weight: weight).values }
    if Machine.hasBFloat16Products {
      expectClose(rounded, exact, absolute: 0.3)
    } else {
      expectSameBits(rounded, exact)
    }
  }
}
