import ApusTensor
import ApusTestSupport
import Testing

@Suite("Random numbers")
struct RandomTests {
  @Test("continue to the bit from a stored generator")
  func continuation() {
    var whole = PhiloxGenerator(RandomKey(seed: 5, stream: 6))
    let numbers = (0..<9).map { _ in whole.next() }
    for cut in 0..<9 {
      var rest = PhiloxGenerator(RandomKey(seed: 5, stream: 6), drawn: UInt64(cut))
      #expect((cut..<9).map { _ in rest.next() } == Array(numbers[cut...]))
    }
    #expect(Set(numbers).count == 9)
  }

  @Test("differ by seed, stream and derived key, and are the same again")
  func keys() {
    let key = RandomKey(seed: 1)
    let draws = [
      key, RandomKey(seed: 2), RandomKey(seed: 1, stream: 1), key.derived(0), key.derived(1),
    ]
    .map { Tensor(uniform: [8], key: $0).values }
    #expect(Set(draws).count == draws.count)
    #expect(Tensor(uniform: [8], key: key).values == draws[0])
  }

  @Test("have the moments asked for, and a prefix does not depend on the length")
  func moments() {
    let normal = Tensor(normal: [100_000], mean: 1, deviation: 2, key: RandomKey(seed: 9)).values
    let mean = normal.reduce(0) { $0 + Double($1) } / 1e5
    let variance = normal.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / 1e5
    #expect(abs(mean - 1) < 0.03 && abs(variance - 4) < 0.08)
    let short = Tensor(normal: [33], mean: 1, deviation: 2, key: RandomKey(seed: 9)).values
    expectSameBits(short, Array(normal.prefix(33)))
    let uniform = Tensor(uniform: [10_000], from: -2, to: 3, key: RandomKey(seed: 9)).values
    #expect(uniform.allSatisfy { $0 >= -2 && $0 < 3 })
  }
}
