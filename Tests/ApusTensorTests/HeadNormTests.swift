import ApusTensor
import ApusTestSupport
import Testing

@Suite("Head norm", .tags(.kernel, .gradient))
struct HeadNormTests {
  @Test(
    "equals the definition, values and gradients, and leaves the rest of the row",
    arguments: [[1, 1, 2, 0], [2, 3, 5, 4], [3, 2, 33, 1], [5, 4, 8, 16]])
  func agrees(size: [Int]) {
    let (rows, heads, width, rest) = (size[0], size[1], size[2], size[3])
    let stride = heads * width + rest
    func reference(_ tensors: [[Double]]) -> [Double] {
      var y = tensors[0]
      for row in 0..<rows {
        for head in 0..<heads {
          let start = row * stride + head * width
          let own = tensors[0][start..<start + width]
          let mean = own.reduce(0, +) / Double(width)
          let variance = own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
          let deviation = (variance + 1e-3).squareRoot()
          for feature in 0..<width {
            y[start + feature] =
              (tensors[0][start + feature] - mean) / deviation * tensors[1][head * width + feature]
          }
        }
      }
      return y
    }
    expectAgreement(
      of: { $0[0].headNorm(weight: $0[1], epsilon: 1e-3) }, with: reference,
      at: [.random([rows, stride], seed: 1), .random([heads, width], seed: 2)])
  }
}
