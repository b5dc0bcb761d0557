import ApusTensor
import ApusTestSupport
import Testing

@Suite("Embedding", .tags(.kernel, .gradient))
struct EmbeddingTests {
  @Test("takes rows and adds the gradients of repeated ones", arguments: [1, 7, 17])
  func agrees(features: Int) {
    let ids = Tensor([3, 0, 3, 5, 3, 1] as [Int32], [2, 3])
    expectAgreement(
      of: { ids.embedded(in: $0[0]) },
      with: { x in
        ids.integers.flatMap { id in (0..<features).map { x[0][Int(id) * features + $0] } }
      }, at: [.random([6, features], seed: 1)])
  }

  @Test("appends the features to the shape of the ids")
  func shape() {
    let y = Tensor([0, 1] as [Int32], [2, 1]).embedded(in: Tensor(zeros: [2, 3]))
    #expect(y.shape == [2, 1, 3])
  }
}
