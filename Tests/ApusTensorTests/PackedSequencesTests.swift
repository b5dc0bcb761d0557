import ApusTensor
import ApusTestSupport
import Testing

@Suite("Packed sequences", .tags(.kernel))
struct PackedSequencesTests {
  static let lengths = [3, 3, 1, 19, 2, 64, 64, 7]
  static let layout = AttentionLayout(heads: 3, headSize: 5, isCausal: false)

  @Test("attention equals that of each sequence alone, values and gradients")
  func attends() {
    let rows = Self.lengths.reduce(0, +)
    let fused = Tensor.random([rows, Self.layout.fusedSize], seed: 1).tracked()
    let seed = Tensor.random([rows, 15], seed: 2)
    let packed = fused.attention(lengths: Self.lengths, layout: Self.layout)
    packed.backward(gradient: seed)
    var start = 0
    for length in Self.lengths {
      func part(_ x: Tensor) -> Tensor {
        x.detached().reshaped([1, rows, x.shape.last])[times: start..<start + length]
      }
      let alone = part(fused).tracked()
      let output = alone.attention(layout: Self.layout)
      output.backward(gradient: part(seed))
      expectClose(part(packed), output.detached(), absolute: 1e-6, "\(length) tokens")
      if let gradient = fused.gradient, let expected = alone.gradient {
        expectClose(part(gradient), expected, absolute: 1e-6, "gradient of \(length) tokens")
      } else {
        Issue.record("no gradient")
      }
      start += length
    }
  }

  @Test("means equal their definition, and gradients finite differences")
  func means() {
    let lengths = [1, 5, 2, 33]
    let x = Tensor.random([41, 17], seed: 3).tracked()
    let y = x.rowMean(lengths: lengths)
    let seed = Tensor.random([4, 17], seed: 4)
    y.backward(gradient: seed)
    var (start, expected, gradient) = (0, [Float](), [Float]())
    for (index, length) in lengths.enumerated() {
      let rows = (start..<start + length).map { Array(x.values[$0 * 17..<($0 + 1) * 17]) }
      expected += (0..<17).map { c in
        Float(rows.reduce(0.0) { $0 + Double($1[c]) } / Double(length))
      }
      for _ in 0..<length {
        gradient += seed.values[index * 17..<(index + 1) * 17].map { $0 / Float(length) }
      }
      start += length
    }
    expectClose(y.values, expected, absolute: 1e-6)
    expectClose(x.gradient?.values ?? [], gradient, absolute: 1e-7)
  }
}
