import ApusTensor
import ApusTestSupport
import Testing

@Suite("Rows", .tags(.kernel, .gradient))
struct RowsTests {
  @Test("are taken by number, and gradients of repeated ones add up", arguments: [1, 7, 33])
  func gathers(features: Int) {
    let rows: [Int32] = [5, 0, 3, 5, 1]
    expectAgreement(
      of: { $0[0].gathered(rows: Tensor(rows, [5])) },
      with: { x in rows.flatMap { row in (0..<features).map { x[0][Int(row) * features + $0] } } },
      at: [.random([2, 3, features], seed: 1)])
  }

  @Test("gradients of a gathered product reach the rows that were taken, and no other")
  func leavesOthers() throws {
    let x = Tensor.random([4, 3], seed: 1).tracked()
    x.gathered(rows: Tensor([2] as [Int32], [1])).backward(
      gradient: Tensor([1, 2, 3] as [Float], [1, 3]))
    #expect(try #require(x.gradient).values == [0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0])
  }

  @Test(
    "average over the times that count", arguments: [[1, 1], [5, 5], [2, 4], [5, 1]], [1, 7, 33])
  func averages(lengths: [Int], features: Int) {
    expectAgreement(
      of: { $0[0].timeMean(lengths: lengths) },
      with: { x in
        lengths.enumerated().flatMap { row, length in
          (0..<features).map { feature in
            (0..<length).reduce(0) { $0 + x[0][(row * 5 + $1) * features + feature] }
              / Double(length)
          }
        }
      }, at: [.random([2, 5, features], seed: 2)])
  }

  @Test("an average does not see what stands behind an end, be it no number")
  func padding() {
    let x = Tensor([1, 2, .nan, 4, 5, 6] as [Float], [2, 3, 1])
    #expect(x.timeMean(lengths: [2, 3]).values == [1.5, 5])
  }
}
