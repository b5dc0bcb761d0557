import ApusTensor
import ApusTestSupport
import Testing

@Suite("Slices", .tags(.kernel, .gradient))
struct SlicesTests {
  @Test("take features", arguments: [0..<1, 0..<7, 2..<5, 6..<7])
  func features(range: Range<Int>) {
    expectAgreement(
      of: { $0[0][features: range] },
      with: { x in (0..<6).flatMap { row in range.map { x[0][row * 7 + $0] } } },
      at: [.random([2, 3, 7], seed: 1)])
  }

  @Test("take times", arguments: [0..<1, 0..<5, 1..<4, 4..<5])
  func times(range: Range<Int>) {
    expectAgreement(
      of: { $0[0][times: range] },
      with: { x in
        (0..<3).flatMap { row in
          range.flatMap { t in (0..<2).map { x[0][(row * 5 + t) * 2 + $0] } }
        }
      }, at: [.random([3, 5, 2], seed: 1)])
  }

  @Test("join along the last axis")
  func joined() {
    func reference(_ x: [[Double]]) -> [Double] {
      var joined: [Double] = []
      for row in 0..<4 {
        for (part, width) in [3, 1, 2].enumerated() {
          joined += x[part][row * width..<(row + 1) * width]
        }
      }
      return joined
    }
    expectAgreement(
      of: { Tensor(concatenating: $0) }, with: reference,
      at: [
        .random([2, 2, 3], seed: 1), .random([2, 2, 1], seed: 2), .random([2, 2, 2], seed: 3),
      ])
  }

  @Test("joined parts get their gradients when the result is used under another shape")
  func reshaped() {
    let (a, b) = (
      Tensor.random([1, 6], seed: 1).tracked(), Tensor.random([1, 6], seed: 2).tracked()
    )
    Tensor(concatenating: [a, b]).reshaped([2, 6]).mean().backward()
    expectClose(b.gradient?.values ?? [], [Float](repeating: 1 / 12, count: 6), relative: 1e-6)
  }

  @Test("give back what was joined")
  func inverse() {
    let x = Tensor.random([3, 8], seed: 1)
    let parts = [0..<3, 3..<4, 4..<8].map { x[features: $0] }
    expectSameBits(Tensor(concatenating: parts).values, x.values)
  }
}
