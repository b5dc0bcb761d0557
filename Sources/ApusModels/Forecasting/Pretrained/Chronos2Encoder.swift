import ApusNN
import ApusTensor

/// The tokens of the series of a group, series by series and oldest first: patches that hold a value, the
/// register, and patches of the future. Patches without any value are seen by no token and are left out.
struct Chronos2Tokens {
  /// What each token is read as: times, values and which are there, `[N · 3S]`; zeros for a register.
  private(set) var rows: [Float] = []
  /// Tokens of each series.
  private(set) var lengths: [Int]
  /// How far each token stands from the register, which is at 0 in every series.
  private(set) var places: [Int] = []
  private var registers: [Int] = []

  var count: Int { places.count }

  init(series: Int) { lengths = [Int](repeating: 0, count: series) }

  /// Adds the tokens of a series.
  ///
  /// - Parameters:
  ///   - context: Normalized values, whole patches of them; NaN where missing.
  ///   - ahead: What is known of the future, the same.
  ///   - size: S.
  ///   - series: Its number.
  ///   - hasRegister: Whether a token stands between the two.
  ///   - period: Steps that are one in what is read as time.
  mutating func add(
    _ context: [Float], _ ahead: [Float], size: Int, series: Int, hasRegister: Bool, period: Int
  ) {
    func add(_ values: [Float], _ patch: Int, start: Int, place: Int) {
      let own = Array(values[patch * size..<(patch + 1) * size])
      rows += (0..<size).map { Float(start + patch * size + $0) / Float(period) } + own.maskedPatch
      places.append(place)
      lengths[series] += 1
    }
    let (past, future) = (context.count / size, ahead.count / size)
    for patch in 0..<past
    where context[patch * size..<(patch + 1) * size].contains(where: \.isFinite) {
      add(context, patch, start: -context.count, place: patch - past)
    }
    if hasRegister {
      registers.append(count)
      rows += [Float](repeating: 0, count: 3 * size)
      places.append(0)
      lengths[series] += 1
    }
    for patch in 0..<future {
      add(ahead, patch, start: 0, place: patch + (hasRegister ? 1 : 0))
    }
  }

  /// `[N, D]` with one row in the places of the registers.
  func placing(_ register: Tensor, in x: Tensor) -> Tensor {
    let width = x.shape.last
    let row = register.values
    var values = x.values
    for place in registers {
      values.replaceSubrange(place * width..<(place + 1) * width, with: row)
    }
    return Tensor(values, x.shape)
  }

  /// The numbers of the last tokens of each series.
  func lastRows(_ count: Int) -> Tensor {
    var end = 0
    let numbers = lengths.flatMap { length -> [Int32] in
      end += length
      return (end - count..<end).map { Int32($0) }
    }
    return Tensor(numbers, [numbers.count])
  }

  /// The numbers of all tokens by place and then by series, and how many there are at each place.
  var byPlace: (order: [Int], counts: [Int]) {
    let order = places.indices.sorted { (places[$0], $0) < (places[$1], $1) }
    var counts: [Int] = []
    for (number, token) in order.enumerated() {
      let isNew = number == 0 || places[order[number - 1]] != places[token]
      if isNew { counts.append(1) } else { counts[counts.count - 1] += 1 }
    }
    return (order, counts)
  }
}

/// The layers of ``Chronos2``: attention along time, attention across the series of a group at each time, and
/// a feed-forward, each behind a root-mean-square normalization. Shapes: N tokens, D width, H heads.
struct Chronos2Encoder {
  private struct Block {
    let time: Chronos2Attention
    let group: Chronos2Attention
    let norm: RMSNorm
    let input: Linear, output: Linear
  }

  private let blocks: [Block]
  private let norm: RMSNorm
  private let frequencies: [Double]

  init(_ config: Chronos2Config, in scope: Scope) throws {
    func norm(_ scope: Scope) throws -> RMSNorm {
      try RMSNorm(config.dModel, epsilon: config.layerNormEpsilon, in: scope)
    }
    blocks = try (0..<config.numLayers).map { number in
      let layer = scope["block"][number]["layer"]
      let mlp = layer[2]["mlp"]
      return Block(
        time: try Chronos2Attention(config, in: layer[0]),
        group: try Chronos2Attention(config, in: layer[1]),
        norm: try norm(layer[2]["layer_norm"]),
        input: try Linear(config.dModel, config.dFf, bias: false, in: mlp["wi"]),
        output: try Linear(config.dFf, config.dModel, bias: false, in: mlp["wo"]))
    }
    self.norm = try norm(scope["final_layer_norm"])
    frequencies = RotaryPositions.frequencies(
      RotaryParameters(), config.ropeTheta, pairs: config.dKv / 2, context: 1, length: 1)
  }

  /// `[N, D]` to `[N, D]`.
  func callAsFunction(_ x: Tensor, _ tokens: Chronos2Tokens) -> Tensor {
    let (first, last) = (tokens.places.min() ?? 0, tokens.places.max() ?? 0)
    let table = RotaryTable(positions: last - first + 1, frequencies: frequencies)
    var turns: [Rotation] = []
    var start = 0
    for length in tokens.lengths {
      turns.append(
        table.rotation(of: tokens.places[start..<start + length].map { $0 - first }))
      start += length
    }
    var x = x
    for block in blocks {
      x = block.time(x, along: tokens.lengths, turns)
      x = block.group(x, across: tokens)
      x = x + block.output(Activation.relu(block.input(block.norm(x))))
    }
    return norm(x)
  }
}

/// `x + o(attention(norm x))`, with scores that are not scaled.
private struct Chronos2Attention {
  let norm: RMSNorm
  let maps: SideBySide
  let output: Linear
  let layout: AttentionLayout

  init(_ config: Chronos2Config, in scope: Scope) throws {
    let (own, features) = (scope["self_attention"], config.numHeads * config.dKv)
    norm = try RMSNorm(config.dModel, epsilon: config.layerNormEpsilon, in: scope["layer_norm"])
    maps = try SideBySide(
      config.dModel, ["q", "k", "v"].map { ($0, features) }, start: .zeros, in: own)
    output = try Linear(features, config.dModel, bias: false, in: own["o"])
    layout = AttentionLayout(
      heads: config.numHeads, headSize: config.dKv, scale: 1, isCausal: false)
  }

  /// Along the tokens of each series, whose positions turn.
  func callAsFunction(_ x: Tensor, along lengths: [Int], _ turns: [Rotation]) -> Tensor {
    let fused = maps(norm(x))
    var (start, parts) = (0, [Float]())
    for (length, turn) in zip(lengths, turns) {
      let own = fused.block(rows: start..<start + length).reshaped([1, length, layout.fusedSize])
      parts += own.attention(layout: layout, rotary: turn).values
      start += length
    }
    return x + output(Tensor(parts, [x.shape[0], parts.count / max(x.shape[0], 1)]))
  }

  /// Across the tokens of all series at each place.
  func callAsFunction(_ x: Tensor, across tokens: Chronos2Tokens) -> Tensor {
    let fused = maps(norm(x))
    let (order, counts) = tokens.byPlace
    let there = fused.gathered(rows: Tensor(order.map { Int32($0) }, [order.count]))
    let mixed = there.attention(lengths: counts, layout: layout)
    var back = [Int32](repeating: 0, count: order.count)
    for (number, token) in order.enumerated() { back[token] = Int32(number) }
    return x + output(mixed.gathered(rows: Tensor(back, [back.count])))
  }
}
