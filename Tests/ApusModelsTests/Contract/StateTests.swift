import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// What the state of every registered architecture can do.
@Suite("States", .tags(.property))
struct StateTests {
  /// A model and the state after the first `count` of its tokens, `[B, T]`.
  private func begun(
    _ specimen: Specimen, _ tokens: Tensor, _ count: Int
  ) throws -> (model: LanguageModel, state: BackboneState) {
    let model = try specimen.shakenModel()
    var state = model.initialState(batch: tokens.shape[0])
    if count > 0 { _ = model.logits(idSlice(tokens, times: 0..<count), state: &state) }
    return (model, state)
  }

  @Test("a snapshot keeps its bits, whatever its origin goes on to read", arguments: Specimen.all)
  func snapshots(specimen: Specimen) throws {
    let (tokens, other) = (specimen.tokens(2, 24, seed: 1), specimen.tokens(2, 24, seed: 2))
    var (model, state) = try begun(specimen, tokens, 9)
    let expected = try begun(specimen, tokens, 9).state.continued(model, tokens, 9..<24)
    let snapshot = state
    for t in 0..<24 { _ = model.logits(idSlice(other, times: t..<t + 1), state: &state) }
    #expect(state.positions == [33, 33] && snapshot.positions == [9, 9])
    for _ in 0..<2 { expectSameBits(snapshot.continued(model, tokens, 9..<24), expected) }
  }

  @Test("after a rollback it is as if later tokens had never been", arguments: Specimen.all)
  func rollback(specimen: Specimen) throws {
    let (tokens, other) = (specimen.tokens(1, 30, seed: 3), specimen.tokens(1, 30, seed: 4))
    var (model, state) = try begun(specimen, tokens, 0)
    let (_, start) = try begun(specimen, tokens, 0)
    let expected = start.continued(model, tokens, 0..<30)
    var (found, position) = ([Float](), 0)
    for (accepted, rejected) in [(3, 2), (1, 7), (12, 1), (5, 20), (9, 4)] {
      for t in position..<position + accepted {
        found += model.logits(idSlice(tokens, times: t..<t + 1), state: &state).values
      }
      position += accepted
      let snapshot = state
      _ = model.logits(idSlice(other, times: 0..<rejected), state: &state)
      state.rollBack(to: snapshot)
    }
    expectSameBits(found, expected)
  }

  @Test("forks that take turns do not see each other", arguments: Specimen.all)
  func forks(specimen: Specimen) throws {
    let tokens = (0..<3).map { specimen.tokens(1, 20, seed: 5 + UInt64($0)) }
    let (model, state) = try begun(specimen, tokens[0], 7)
    let alone = try tokens.map {
      try begun(specimen, tokens[0], 7).state.continued(model, $0, 7..<20)
    }
    var (forks, found) = ([state, state, state], [[Float]](repeating: [], count: 3))
    for t in 7..<20 {
      for fork in 0..<3 {
        let now = idSlice(tokens[fork], times: t..<t + 1)
        found[fork] += model.logits(now, state: &forks[fork]).values
      }
    }
    for fork in 0..<3 { expectSameBits(found[fork], alone[fork], "fork \(fork)") }
  }

  @Test("sequences of different lengths go on together as each does alone", arguments: Specimen.all)
  func ragged(specimen: Specimen) throws {
    let lengths = [1, 26, 9, 0]
    let tokens = lengths.indices.map { specimen.tokens(1, 48, seed: 20 + UInt64($0)) }
    let model = try specimen.shakenModel()
    let states = try lengths.indices.map { try begun(specimen, tokens[$0], lengths[$0]).state }
    var joined = BackboneState(joining: states)
    #expect(joined.positions == lengths && joined.batch == 4)
    #expect(joined.byteCount == states.reduce(0) { $0 + $1.byteCount })
    var alone = states
    var row = lengths  // the sequence of each row of the batch
    var order = [0, 1, 2, 3]
    for (step, count) in [1, 1, 6, 1, 3, 2].enumerated() {
      let ids = order.map { one in
        idSlice(tokens[one], times: row[one]..<row[one] + count).integers
      }
      let together = model.logits(
        Tensor(ids.flatMap(\.self), [order.count, count]), state: &joined)
      for (place, one) in order.enumerated() {
        let single = model.logits(Tensor(ids[place], [1, count]), state: &alone[one])
        let size = count * Specimen.vocabulary
        expectClose(
          Array(together.values[place * size..<(place + 1) * size]), single.values,
          absolute: 1e-5 * scale(single.values), "step \(step), sequence \(one)")
        row[one] += count
      }
      if step == 2 {  // sequences leave, and what stays changes places
        order = [3, 1, 0]
        joined = joined.rows(order)
        #expect(joined.positions == order.map { row[$0] })
      }
    }
  }

  @Test("sequences that step together have the bits of each alone", arguments: Specimen.all)
  func alone(specimen: Specimen) throws {
    let lengths = [1, 26, 9, 0, 3, 14, 2]
    let tokens = lengths.indices.map { specimen.tokens(1, 48, seed: 60 + UInt64($0)) }
    let model = try specimen.shakenModel()
    var states = try lengths.indices.map { try begun(specimen, tokens[$0], lengths[$0]).state }
    var joined = BackboneState(joining: states)
    for step in 0..<9 {
      let ids = lengths.indices.map { one in
        idSlice(tokens[one], times: lengths[one] + step..<lengths[one] + step + 1).integers
      }
      let together = withSequencesAlone {
        model.logits(Tensor(ids.flatMap(\.self), [lengths.count, 1]), state: &joined)
      }
      for one in lengths.indices {
        let single = model.logits(Tensor(ids[one], [1, 1]), state: &states[one]).values
        let size = single.count
        expectSameBits(
          Array(together.values[one * size..<(one + 1) * size]), single,
          "step \(step), sequence \(one)")
      }
    }
  }

  @Test("states put into a batch replace those of their sequences alone", arguments: Specimen.all)
  func put(specimen: Specimen) throws {
    let lengths = [5, 20, 11, 0, 8]
    let tokens = lengths.indices.map { specimen.tokens(1, 30, seed: 70 + UInt64($0)) }
    let model = try specimen.shakenModel()
    let states = try lengths.indices.map { try begun(specimen, tokens[$0], lengths[$0]).state }
    let kept = BackboneState(joining: Array(states[0..<3]))
    var changed = kept
    changed.put(BackboneState(joining: [states[3], states[4]]), at: [2, 0])
    #expect(changed.positions == [8, 20, 0] && kept.positions == [5, 20, 11])
    for (state, order) in [(changed, [4, 1, 3]), (kept, [0, 1, 2])] {
      for (row, one) in order.enumerated() {
        var (found, expected) = (state.rows([row]), states[one])
        let next = idSlice(tokens[one], times: lengths[one]..<lengths[one] + 1)
        expectSameBits(
          model.logits(next, state: &found).values, model.logits(next, state: &expected).values,
          "row \(row)")
      }
    }
  }

  @Test("a sequence taken twice goes its own ways", arguments: Specimen.all)
  func copies(specimen: Specimen) throws {
    let tokens = specimen.tokens(2, 20, seed: 30)
    let (model, state) = try begun(specimen, tokens, 11)
    var twice = state.rows([1, 1])
    let ids = idSlice(tokens, times: 11..<20)
    let found = model.logits(ids, state: &twice).values
    let expected = (0..<2).map { row in
      var one = state.rows([1])
      return model.logits(
        Tensor(Array(ids.integers[row * 9..<(row + 1) * 9]), [1, 9]), state: &one
      )
      .values
    }
    expectClose(found, expected.flatMap(\.self), absolute: 1e-5 * scale(found))
    #expect(state.positions == [11, 11])
  }

  @Test("a prefix, where it can be told, is what it was", arguments: Specimen.all)
  func prefixes(specimen: Specimen) throws {
    let tokens = specimen.tokens(2, 20, seed: 31)
    let (model, state) = try begun(specimen, tokens, 15)
    #expect(state.prefix([15, 15]) != nil)
    guard let shorter = state.prefix([6, 6]) else { return }
    let expected = try begun(specimen, tokens, 6).state.continued(model, tokens, 6..<20)
    expectClose(shorter.continued(model, tokens, 6..<20), expected, absolute: 1e-5)
  }

  @Test("a token changes a state in place, without a copy", arguments: Specimen.all)
  func inPlace(specimen: Specimen) throws {
    let tokens = specimen.tokens(1, 42, seed: 32)
    var (model, state) = try begun(specimen, tokens, 8)
    var (moves, before) = (0, places(state))
    #expect(!before.isEmpty)
    for t in 8..<42 {
      _ = model.logits(idSlice(tokens, times: t..<t + 1), state: &state)
      let now = places(state)
      if now != before { moves += 1 }
      before = now
    }
    // What grows does so by doubling, and windows move to fresh memory when theirs is full.
    #expect(moves <= 4, "\(moves) of 34 tokens moved what is remembered")
  }

  /// The largest of the logits, or 1: what rounding is measured by.
  private func scale(_ logits: [Float]) -> Double {
    logits.reduce(1) { max($0, Double(abs($1))) }
  }

  /// Where the tensors of a value lie.
  private func places(_ value: Any) -> [ObjectIdentifier] {
    if let tensor = value as? TensorValue { return [ObjectIdentifier(tensor.storage)] }
    return Mirror(reflecting: value).children.flatMap { places($0.value) }
  }
}

extension BackboneState {
  /// The logits of a copy that reads some of the tokens, one after the other.
  fileprivate func continued(
    _ model: LanguageModel, _ tokens: Tensor, _ times: Range<Int>
  ) -> [Float] {
    var copy = self
    return times.flatMap { t in
      model.logits(idSlice(tokens, times: t..<t + 1), state: &copy).values
    }
  }
}
