import ApusTensor
import ApusTestSupport
import Testing

@Suite("Judging helpers")
struct TestSupportTests {
  @Test("name the worst element, its values and how many are off")
  func worstElement() throws {
    let found = try #require(disagreement([1, 2.5, 3.1], [1, 2, 3], absolute: 0.01))
    #expect(found.hasPrefix("2 of 3 elements are off, worst at 1: 2.5 instead of 2.0, 0.5 away"))
  }

  @Test("accept what is within the tolerance, at its edge too")
  func edge() {
    #expect(disagreement([1.5], [1], absolute: 0.5) == nil)
    #expect(disagreement([150], [100], relative: 0.5) == nil)
    #expect(disagreement([150.1], [100], relative: 0.5) != nil)
    #expect(disagreement([], []) == nil)
  }

  @Test("refuse other counts, not-a-number on either side, and infinities that differ")
  func unusualNumbers() {
    #expect(disagreement([1], [1, 2], absolute: 9) != nil)
    #expect(disagreement([.nan], [1], absolute: 9) != nil)
    #expect(disagreement([1], [.nan], absolute: 9) != nil)
    #expect(disagreement([.nan], [.nan], absolute: 9) != nil)
    #expect(disagreement([.infinity], [1], absolute: 9) != nil)
    #expect(disagreement([.infinity], [-.infinity], absolute: 9) != nil)
    #expect(disagreement([.infinity], [.infinity]) == nil)
  }

  @Test("tell the bits of the two zeros apart")
  func bits() {
    #expect(bitDisagreement([0, 1], [0, 1]) == nil)
    #expect(bitDisagreement([0, 1], [-0.0, 1]) != nil)
  }

  /// Doubles x but forgets one of its two ways back: the gradient is 1, not 2.
  private static func forgetful(_ x: [Tensor]) -> Tensor { x[0] + x[0].detached() }

  @Test("see a wrong value and a wrong gradient")
  func wrongGradient() throws {
    let x = Tensor.random([3, 5], seed: 1)
    let double: Reference = { $0[0].map { 2 * $0 } }
    let triple: Reference = { $0[0].map { 3 * $0 } }
    #expect(
      disagreement(
        of: { $0[0] * 2 }, with: double, at: [x], values: 1e-6, gradients: 1e-6) == nil)
    let value = disagreement(
      of: { $0[0] * 2 }, with: triple, at: [x], values: 1e-2, gradients: 1e-2)
    #expect(try #require(value).hasPrefix("values"))
    let gradient = disagreement(
      of: Self.forgetful, with: double, at: [x], values: 1e-6, gradients: 1e-2)
    #expect(try #require(gradient).hasPrefix("gradient of input 0"))
  }

  @Test("see a wrong gradient by finite differences, and accept a right one")
  func finiteDifferences() throws {
    let x = Tensor.random([7], seed: 2)
    #expect(gradientDisagreement(of: { ($0[0] * $0[0]).mean() }, at: [x]) == nil)
    let wrong = gradientDisagreement(of: { Self.forgetful($0).mean() }, at: [x])
    #expect(try #require(wrong).hasPrefix("gradient of input 0"))
  }

  @Test("see an error of one part in two hundred")
  func sharpness() {
    let x = Tensor.random([7], seed: 3)
    let off: Operation = {
      ($0[0] * 0.995 + $0[0].detached() * 0.005).mean()
    }
    #expect(gradientDisagreement(of: off, at: [x]) != nil)
  }

  @Test("draw the same numbers again, as the published generator has them")
  func splitMix() {
    var generator = SplitMix(state: 1_234_567)
    #expect(generator.next() == 6_457_827_717_110_365_317)
    #expect(generator.next() == 3_203_168_211_198_807_973)
    #expect(Tensor.random([4], seed: 5).values == Tensor.random([4], seed: 5).values)
  }

  @Test("say which fixture is missing")
  func missingFixture() throws {
    #expect(throws: FixtureError.self) { try fixturePath("no such fixture") }
    #expect(throws: FixtureError.none(in: "/no/such/folder")) {
      try fixtures(in: "/no/such/folder")
    }
    #expect(throws: FixtureError.self) { try goldenFolders("/no such part") }
    let empty = TemporaryFolder()
    #expect(throws: FixtureError.none(in: empty.path)) { try fixtures(in: empty.path) }
    #expect(try goldenFolders().count > 30)
  }
}
