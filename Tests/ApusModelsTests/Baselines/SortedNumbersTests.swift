import ApusModels
import ApusTensor
import Testing

@Suite("Numbers in order")
struct SortedNumbersTests {
  @Test("are those that comparisons give, to the bit", arguments: [0, 1, 63, 64, 65, 500, 4096])
  func equal(count: Int) {
    let normal = Tensor(normal: [max(1, count)], key: RandomKey(seed: 3)).values.prefix(count)
      .map(Double.init)
    let close = (0..<count).map { 1 + Double(($0 * 7919) % max(1, count)) * .ulpOfOne }
    let wide = normal.enumerated().map { $1 * ($0 % 3 == 0 ? 1e300 : $0 % 3 == 1 ? 1e-300 : 1) }
    let special: [Double] = (0..<count).map {
      [0, -0.0, .infinity, -.infinity, .leastNonzeroMagnitude, -1, 1, .greatestFiniteMagnitude][
        $0 % 8]
    }
    for numbers in [normal, close, wide, Array(normal.reversed()), normal.sorted(), special] {
      let found = sortedNumbers(numbers)
      #expect(found == numbers.sorted())
      #expect(found.map(\.bitPattern).sorted() == numbers.map(\.bitPattern).sorted())
    }
  }
}
