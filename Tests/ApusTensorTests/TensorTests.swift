import ApusTensor
import ApusTestSupport
import Testing

@Suite("Tensor")
struct TensorTests {
  @Test("shapes count, index from both ends and change their last axis")
  func shapes() {
    let shape: Shape = [2, 3, 5]
    #expect(shape.count == 30 && shape.rows == 6 && shape.last == 5 && shape[-1] == 5)
    #expect(shape.replacingLast(with: 7) == [2, 3, 7])
    #expect(Shape([]).count == 1 && Shape([]).last == 1 && Shape([]).rows == 1)
    #expect(Shape([0, 4]).count == 0)
    #expect("\(shape)" == "[2, 3, 5]")
  }

  @Test("half-width floats widen exactly and narrow by rounding to even")
  func conversions() {
    let x = Tensor([1, -0.5, 3.140625, 0], [4])
    for type in [DType.bfloat16, .float16] {
      #expect(x.converted(to: type).values == x.values, "\(type)")
    }
    let odd = Tensor([1.00390625, 1.01171875], [2])  // half way between two bfloat16s
    #expect(odd.converted(to: .bfloat16).values == [1, 1.015625])
  }

  @Test("a parameter keeps its place in histories when set, and freezes and thaws")
  func parameters() {
    let parameter = Parameter("w", Tensor([1.0, 2], [2]))
    parameter.set(Tensor([3.0, 4], [2]))
    (parameter.value * parameter.value).mean().backward()
    #expect(parameter.gradient?.values == [3, 4])
    parameter.setTrainable(false)
    #expect(!parameter.isTrainable && !(parameter.value * 1).isTracked)
    parameter.setTrainable(true)
    #expect(parameter.isTrainable && parameter.gradient == nil)
    #expect(!parameter.isDecayed && Parameter("m", Tensor(zeros: [2, 2])).isDecayed)
  }

  @Test("a value that was read does not change when the optimizer steps")
  func snapshots() {
    let parameter = Parameter("w", Tensor([1.0, 2], [2]))
    var (first, second) = (Tensor(zeros: [2]), Tensor(zeros: [2]))
    func step() {
      parameter.clearGradient()
      (parameter.value * parameter.value).mean().backward()
      parameter.applyAdamW(
        firstMoment: &first, secondMoment: &second, learningRate: 0.1, beta1: 0.9, beta2: 0.999,
        epsilon: 1e-8, weightDecay: 0, gradientScale: 1, step: 1)
    }
    let (held, moments) = (parameter.value, [first, second])
    step()
    #expect(held.values == [1, 2])
    #expect(moments.allSatisfy { $0.values == [0, 0] })
    let after = parameter.value.values
    #expect(after[0] < 0.95 && after[1] < 1.95)
    let kept = parameter.value
    var velocity = Tensor(zeros: [2])
    parameter.applySGD(
      velocity: &velocity, learningRate: 1, momentum: 0, weightDecay: 0, gradientScale: 1)
    #expect(kept.values == after && parameter.value.values != after)
  }

  @Test("rows of a mapped tensor are a view, in the type they have")
  func blocks() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/w.safetensors"
      let x = Tensor(normal: [4, 3, 2], key: RandomKey(seed: 1)).converted(to: .bfloat16)
      try Safetensors.save(["x": x], to: path)
      let file = try SafetensorsFile(path: path).tensor("x")
      Machine.resetPeakBytes()
      let before = Machine.bytesInUse
      let block = file.block(rows: 3..<6)
      #expect(block.dtype == .bfloat16 && block.shape == [3, 2])
      #expect(Machine.peakBytes == before)
      #expect(block.values == Array(x.values[6..<12]))
      #expect(x.block(rows: 3..<6).values == block.values)
    }
  }
}
