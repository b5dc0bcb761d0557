import ApusTensor
import ApusTestSupport
import Testing

@Suite("States of attention")
struct AttentionStateTests {
  static let layout = AttentionLayout(heads: 2, keyValueHeads: 1, headSize: 4)

  private func rows(_ time: Int, seed: UInt64) -> Tensor {
    .random([1, time, Self.layout.fusedSize], seed: seed)
  }

  /// Where the keys and values lie.
  private func places(_ value: Any) -> [ObjectIdentifier] {
    if let tensor = value as? TensorValue { return [ObjectIdentifier(tensor.storage)] }
    return Mirror(reflecting: value).children.flatMap { places($0.value) }
  }

  @Test("grow in place while snapshots of them are kept")
  func snapshots() {
    var state = AttentionState(batch: 1)
    _ = state.attend(rows(10, seed: 1), layout: Self.layout)
    let start = places(state)
    var kept: [AttentionState] = []
    for t in 0..<50 {
      kept.append(state)
      _ = state.attend(rows(1, seed: 2 + UInt64(t)), layout: Self.layout)
    }
    #expect(places(state) == start, "60 rows fit in the memory that 10 were given")
    #expect(kept.allSatisfy { places($0) == start })
  }

  @Test("share what they have in common, and nothing that came later")
  func branches() {
    var first = AttentionState(batch: 1)
    _ = first.attend(rows(10, seed: 1), layout: Self.layout)
    var second = first
    let snapshot = first
    let (a, b) = (rows(4, seed: 2), rows(4, seed: 3))
    func alone(_ x: Tensor) -> [Float] {
      var state = AttentionState(batch: 1)
      _ = state.attend(rows(10, seed: 1), layout: Self.layout)
      return state.attend(x, layout: Self.layout).values
    }
    expectSameBits(first.attend(a, layout: Self.layout).values, alone(a))
    expectSameBits(second.attend(b, layout: Self.layout).values, alone(b))
    var third = snapshot
    expectSameBits(third.attend(a, layout: Self.layout).values, alone(a))
    #expect(places(first) == places(snapshot), "who came first has the place")
    #expect(places(second) != places(first) && places(third) != places(first))
  }

  @Test("go back without a copy when nobody else holds them")
  func rollback() {
    var state = AttentionState(batch: 1)
    _ = state.attend(rows(10, seed: 1), layout: Self.layout)
    let start = places(state)
    for seed in 2..<9 as Range<UInt64> {
      state = state.prefix([7]) ?? state
      _ = state.attend(rows(3, seed: seed), layout: Self.layout)
    }
    #expect(places(state) == start)
  }

  @Test("forget what no window sees, and then have no prefix")
  func windows() {
    let layout = AttentionLayout(heads: 1, headSize: 4, window: 3)
    var state = AttentionState(batch: 2)
    let x = Tensor.random([2, 9, layout.fusedSize], seed: 1)
    _ = state.attend(x[times: 0..<2], layout: layout)
    #expect(state.prefix([1, 2]) != nil)
    for t in 2..<9 { _ = state.attend(x[times: t..<t + 1], layout: layout) }
    #expect(state.visible == [3, 3] && state.prefix([8, 9]) == nil)
  }
}
