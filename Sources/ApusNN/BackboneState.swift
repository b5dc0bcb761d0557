public import ApusTensor

/// What a backbone remembers of the sequences of a batch between their tokens: keys and values, running
/// states and convolution tails, together.
///
/// It is a value. A copy is a snapshot, a fork, or what a rollback goes back to: whatever happens to
/// one copy leaves the bits of the other, and going on from a snapshot gives the bits that it would
/// have given before. Copies share memory until they part, and what grows with time is shared even
/// beyond: a snapshot of a conversation takes no copy of its keys and values while the conversation
/// goes on in place.
///
/// Sequences of a batch may be at different positions: ``rows(_:)`` takes some of them out,
/// ``init(joining:)`` puts some together.
public struct BackboneState: Sendable {
  /// How many tokens of each sequence have passed.
  public private(set) var positions: [Int]
  /// What each layer remembers, in the order in which the backbone made them.
  public private(set) var layers: [any LayerState]
  private let owner: ObjectIdentifier
  private let ownerName: String

  /// Puts the layers' states before the first token together.
  ///
  /// - Parameters:
  ///   - backbone: Whose state it is.
  ///   - batch: How many sequences, B.
  ///   - layers: One entry for each part that remembers anything.
  public init<Owner: Backbone>(of backbone: Owner.Type, batch: Int, layers: [any LayerState]) {
    self.layers = layers
    positions = [Int](repeating: 0, count: batch)
    (owner, ownerName) = (ObjectIdentifier(backbone), "\(backbone)")
  }

  /// B, how many sequences are remembered.
  public var batch: Int { positions.count }

  /// Bytes of everything remembered.
  public var byteCount: Int { layers.reduce(0) { $0 + $1.byteCount } }
}

extension BackboneState {
  /// The state of some of the sequences, by number; one may be taken several times.
  public func rows(_ rows: [Int]) -> BackboneState {
    precondition(
      rows.allSatisfy(positions.indices.contains), "rows: \(rows) of \(batch) sequences")
    var taken = self
    taken.positions = rows.map { positions[$0] }
    taken.layers = layers.map { $0.rows(rows) }
    return taken
  }

  /// The sequences of several states of one backbone in one batch, those of the first state first.
  ///
  /// The states must be of the same architecture and sizes, and there must be at least one.
  public init(joining states: [BackboneState]) {
    precondition(!states.isEmpty, "joining: no states")
    self = states[0]
    for state in states {
      precondition(
        state.owner == owner && state.layers.count == layers.count,
        "joining: a state of \(ownerName) with \(layers.count) layers and one of "
          + "\(state.ownerName) with \(state.layers.count)")
    }
    positions = states.flatMap(\.positions)
    layers = layers.indices.map { index in
      func joined<State: LayerState>(_ first: State) -> any LayerState {
        State(joining: states.map { $0.entry(index) })
      }
      return joined(layers[index])
    }
  }

  /// Replaces what is remembered of some of the sequences, in place where nobody else holds it.
  ///
  /// - Parameters:
  ///   - other: A state of the same architecture and sizes, of as many sequences as there are `rows`.
  ///   - rows: The numbers of the sequences that become its first, second, …; none twice.
  public mutating func put(_ other: BackboneState, at rows: [Int]) {
    precondition(
      other.owner == owner && other.layers.count == layers.count && other.batch == rows.count
        && rows.allSatisfy(positions.indices.contains),
      "put: \(other.batch) sequences of \(other.ownerName) at \(rows) of \(batch) of \(ownerName)")
    for (number, row) in rows.enumerated() { positions[row] = other.positions[number] }
    func put<State: LayerState>(_ state: State, _ index: Int) {
      withLayer(index) { (own: inout State) in own.put(state, at: rows) }
    }
    for index in layers.indices { put(other.layers[index], index) }
  }

  /// Goes back to a snapshot taken earlier, as if the tokens since then had never been.
  ///
  /// - Parameter snapshot: A copy of this state from then. Where nobody else holds it, what is
  ///   remembered then grows on in place.
  public mutating func rollBack(to snapshot: consuming BackboneState) { self = snapshot }

  /// The state as it was after the first so many tokens of each sequence; nil where a layer cannot
  /// tell any more, such as one whose state is a running sum.
  ///
  /// - Parameter tokens: B numbers, none above its sequence's position.
  /// - Returns: The state, or nil.
  public func prefix(_ tokens: [Int]) -> BackboneState? {
    precondition(
      tokens.count == batch && zip(tokens, positions).allSatisfy { 0 <= $0 && $0 <= $1 },
      "prefix: \(tokens) tokens of sequences at \(positions)")
    if tokens == positions { return self }
    let shorter = layers.compactMap { $0.prefix(tokens) }
    guard shorter.count == layers.count else { return nil }
    var state = self
    (state.positions, state.layers) = (tokens, shorter)
    return state
  }
}

extension BackboneState {
  /// Continues the sequences by the tokens of `x`, without recording for gradients.
  ///
  /// - Parameters:
  ///   - x: `[B, T, D]`.
  ///   - backbone: Who goes on; it must be the one that made the state.
  ///   - body: The backbone's work, which sends `x` through its layers, each with its entry.
  /// - Returns: What `body` returns.
  public mutating func advance<Owner: Backbone>(
    _ x: Tensor, through backbone: Owner.Type, _ body: (inout BackboneState) -> Tensor
  ) -> Tensor {
    precondition(
      owner == ObjectIdentifier(backbone), "\(backbone) was given a state of \(ownerName)")
    precondition(
      x.shape[0] == batch,
      "\(backbone) was given \(x.shape[0]) sequences and a state of \(batch)")
    return withoutGradient {
      let y = body(&self)
      for row in positions.indices { positions[row] += x.shape[1] }
      return y
    }
  }

  /// Hands a layer its entry, to be changed in place: nobody else holds it meanwhile, so that what
  /// grows does so without a copy.
  ///
  /// - Parameters:
  ///   - index: The number of the entry.
  ///   - body: What the layer does with it.
  /// - Returns: What `body` returns.
  public mutating func withLayer<State: LayerState, Result>(
    _ index: Int, _ body: (inout State) -> Result
  ) -> Result {
    var own: State = entry(index)
    layers[index] = Taken()
    defer { layers[index] = own }
    return body(&own)
  }

  private func entry<State: LayerState>(_ index: Int) -> State {
    guard layers.indices.contains(index), let entry = layers[index] as? State else {
      preconditionFailure(
        "Layer \(index) asks a state of \(ownerName) with \(layers.count) layers for \(State.self)")
    }
    return entry
  }
}

/// Stands in for an entry while its layer has it.
private struct Taken: LayerState {
  var batch: Int { 0 }
  var byteCount: Int { 0 }
  func rows(_ rows: [Int]) -> Taken { self }
  init() {}
  init(joining states: [Taken]) {}
}
