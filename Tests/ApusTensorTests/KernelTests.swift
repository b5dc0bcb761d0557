import ApusTensor
import ApusTestSupport
import Testing

@Suite("Calling kernels", .tags(.kernel))
struct KernelTests {
  @Test("an operation refuses integers and halves by name, type and shape")
  func types() async {
    let integers = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      _ = Tensor([1, 2, 3] as [Int32], [3]) * Tensor(zeros: [3])
    }
    expectMessage(integers, "apus: *(_:_:): a tensor of shape [3] is I32, not F32")
    let halves = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      _ = Tensor(zeros: [2, 4]).linear(weight: Tensor(zeros: [5, 4]).converted(to: .bfloat16))
    }
    expectMessage(halves, "a tensor of shape [5, 4] is BF16, not F32")
    let floats = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      _ = Tensor(zeros: [2]).embedded(in: Tensor(zeros: [5, 4]))
    }
    expectMessage(floats, "apus: embedded(in:): a tensor of shape [2] is F32, not I32")
  }

  @Test("an operation refuses shapes by name")
  func shapes() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      _ = Tensor(zeros: [2, 3]).linear(weight: Tensor(zeros: [5, 4]))
    }
    expectMessage(result, "apus: linear: x is [2, 3], weight is [5, 4]")
  }

  private func expectMessage(_ result: ExitTest.Result?, _ message: String) {
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains(message), "\(text)")
  }
}
