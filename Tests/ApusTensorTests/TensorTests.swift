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
}
