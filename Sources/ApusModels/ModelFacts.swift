public import ApusTensor

/// What is true of every backbone of a configuration, known without making one.
public struct ModelFacts: Sendable, Hashable {
  /// Width of the residual stream, D.
  public var width: Int
  /// Features that come out; D unless the architecture says otherwise.
  public var outputWidth: Int
  /// Layers, as the architecture counts them.
  public var layers: Int
  /// The most tokens of a sequence, where positions are a table; nil without a bound.
  public var context: Int?
  /// What transformers calls the language model of this configuration; nil when it knows none, or
  /// would compute something else.
  public var transformersClass: String?
  /// All layers together, and what stands around them.
  public var total: LayerFacts

  /// Names each part.
  ///
  /// - Parameters:
  ///   - config: Tells width and layers.
  ///   - outputWidth: Features that come out; D when nil.
  ///   - context: The most tokens of a sequence; nil without a bound.
  ///   - transformersClass: What transformers calls the language model.
  ///   - total: All layers together.
  public init(
    _ config: some BackboneConfig, outputWidth: Int? = nil, context: Int? = nil,
    transformersClass: String? = nil, total: LayerFacts
  ) {
    (width, layers) = (config.width, config.layers)
    self.outputWidth = outputWidth ?? config.width
    self.context = context
    self.transformersClass = transformersClass
    self.total = total
  }
}

/// Which earlier tokens a layer still looks at, itself included.
public enum Reach: Sendable, Hashable {
  /// All.
  case all
  /// The last so many.
  case last(Int)
  /// Those since the start of its chunk of so many, which are forgotten when the chunk is full.
  case chunk(Int)
  /// Those of its block of so many and of the blocks before it, kept block by block; with hashing one
  /// such list for each bucket, of which a token is in one.
  case blocks(Int, before: Int, buckets: Int = 1)

  /// All, or the last so many.
  public init(window: Int?) { self = window.map(Reach.last) ?? .all }

  /// How many tokens the token at a position, from 0, sees; at most so many with hashing.
  public func seen(at position: Int) -> Int {
    switch self {
    case .all: position + 1
    case .last(let window): min(position + 1, window)
    case .chunk(let size): position % size + 1
    case .blocks(let size, let before, _):
      position % size + 1 + min(position / size, before) * size
    }
  }

  /// How many pairs of tokens meet in a sequence of `tokens` from its start.
  public func pairs(_ tokens: Int) -> Double {
    func ramp(_ count: Int) -> Double { Double(count) * Double(count + 1) / 2 }
    switch self {
    case .all: return ramp(tokens)
    case .last(let window):
      let short = min(tokens, window)
      return ramp(short) + Double(tokens - short) * Double(window)
    case .chunk(let size), .blocks(let size, _, _):
      let (full, rest) = (tokens / size, tokens % size)
      var pairs = Double(full) * ramp(size) + ramp(rest)
      guard case .blocks(_, let before, _) = self else { return pairs }
      let rising = min(full, before)
      pairs += (ramp(rising - 1) + Double((full - rising) * before)) * Double(size) * Double(size)
      return pairs + Double(rest) * Double(min(full, before)) * Double(size)
    }
  }

  /// How many tokens are remembered after `tokens` of them, one at a time; at most so many with hashing.
  public func kept(after tokens: Int) -> Int {
    switch self {
    case .all: return tokens
    case .last(let window): return min(tokens, window)
    case .chunk(let size): return tokens % size
    case .blocks(let size, let before, let buckets):
      let used = buckets > 1 ? tokens : (tokens + size - 1) / size
      var room = min(used, 1)
      while room < used { room *= 2 }  // memory grows by doubling
      return size.times(min(room, buckets.times(before + 1)))
    }
  }

  /// After how many tokens no more are remembered; nil when it always grows.
  public var bound: Int? {
    switch self {
    case .all: nil
    case .last(let size), .chunk(let size): size
    case .blocks(let size, let before, let buckets): size.times(buckets.times(before + 1))
    }
  }
}

/// What a layer or several consist of, what arithmetic a token costs in them, and what it leaves behind.
///
/// Facts add up: a model's are the sum of its layers'. Sums and products that no `Int` holds stay at
/// the largest one.
public struct LayerFacts: Sendable, Hashable {
  /// Numbers that are stored as weights.
  public var parameters = 0
  /// Of these, those of experts that a token does not take.
  public var idle = 0
  /// Weights that a token is multiplied by: two operations each.
  public var products = 0
  /// Operations for each token that a token attends to.
  public var attention: [Reach: Int] = [:]
  /// Operations of a token in scans, convolutions and sums over time.
  public var scan = 0
  /// Bytes that are remembered whatever came before.
  public var fixedBytes = 0
  /// Bytes that are remembered of each token.
  public var bytesPerToken: [Reach: Int] = [:]

  /// Nothing.
  public init() {}

  /// Layers after each other.
  public static func + (one: LayerFacts, other: LayerFacts) -> LayerFacts {
    var sum = one
    for part in [\LayerFacts.parameters, \.idle, \.products, \.scan, \.fixedBytes] {
      sum[keyPath: part] = one[keyPath: part].plus(other[keyPath: part])
    }
    sum.attention.merge(other.attention) { $0.plus($1) }
    sum.bytesPerToken.merge(other.bytesPerToken) { $0.plus($1) }
    return sum
  }

  /// So many equal layers.
  public static func * (count: Int, one: LayerFacts) -> LayerFacts {
    var all = one
    for part in [\LayerFacts.parameters, \.idle, \.products, \.scan, \.fixedBytes] {
      all[keyPath: part] = one[keyPath: part].times(count)
    }
    all.attention = one.attention.mapValues { $0.times(count) }
    all.bytesPerToken = one.bytesPerToken.mapValues { $0.times(count) }
    return all
  }

  /// Operations of a sequence of `tokens` from its start.
  public func operations(_ tokens: Int) -> Double {
    let each = 2 * Double(products) + Double(scan)
    return attention.reduce(Double(tokens) * each) {
      $0 + $1.key.pairs(tokens) * Double($1.value)
    }
  }

  /// Operations of the token at a position, from 0.
  public func operations(at position: Int) -> Double {
    attention.reduce(2 * Double(products) + Double(scan)) {
      $0 + Double($1.key.seen(at: position)) * Double($1.value)
    }
  }

  /// Bytes that one sequence is remembered by after `tokens` tokens, one at a time; at most so many
  /// where tokens hash.
  public func stateBytes(after tokens: Int) -> Int {
    bytesPerToken.reduce(fixedBytes) { $0.plus($1.value.times($1.key.kept(after: tokens))) }
  }
}

extension LayerFacts {
  /// Weights that nothing is multiplied by as a matrix: gains, biases, tables that are looked up.
  public static func vectors(_ count: Int) -> LayerFacts {
    var facts = LayerFacts()
    facts.parameters = count
    return facts
  }

  /// A linear map.
  public static func linear(_ inputs: Int, _ outputs: Int, bias: Bool = false) -> LayerFacts {
    var facts = LayerFacts()
    facts.products = inputs.times(outputs)
    facts.parameters = facts.products.plus(bias ? outputs : 0)
    return facts
  }

  /// A feed-forward of two maps, or of three with a gate.
  public static func feedForward(
    _ width: Int, inner: Int, isGated: Bool = false, bias: Bool = false
  ) -> LayerFacts {
    (isGated ? 2 : 1) * linear(width, inner, bias: bias) + linear(inner, width, bias: bias)
  }

  /// Gated experts and their router.
  public static func experts(
    _ count: Int, perToken: Int, width: Int, inner: Int
  ) -> LayerFacts {
    let expert = feedForward(width, inner: inner, isGated: true)
    var idle = (count - perToken) * expert
    (idle.idle, idle.products) = (idle.parameters, 0)
    return linear(width, count) + perToken * expert + idle
  }

  /// Attention with its projections and its cache of keys and values.
  ///
  /// - Parameters:
  ///   - width: D.
  ///   - layout: Heads and window.
  ///   - bias: Whether queries, keys and values have biases.
  ///   - outputBias: Whether the output projection has one; as `bias` says when nil.
  /// - Returns: The facts of the layer.
  public static func attention(
    _ width: Int, _ layout: AttentionLayout, bias: Bool = false, outputBias: Bool? = nil
  ) -> LayerFacts {
    let features = layout.heads.times(layout.headSize)
    var facts =
      linear(width, layout.fusedSize, bias: bias)
      + linear(features, width, bias: outputBias ?? bias)
    let reach = Reach(window: layout.window)
    // A score and its share of the result: a multiplication and an addition for each feature.
    facts.attention[reach] = features.times(4)
    facts.bytesPerToken[reach] = layout.keyValueHeads.times(layout.headSize).times(8)
    return facts
  }

  /// Attention by sums over features, with its projections.
  package static func features(_ layout: FeatureLayout) -> LayerFacts {
    let (size, count) = (layout.headSize, layout.features)
    let width = layout.heads.times(size)
    var facts = 3 * linear(width, width, bias: true) + linear(width, width, bias: true)
    // Each feature meets a row of the sums twice, when it is added and when it is asked for.
    var head = 4 * count * size
    if layout.kind != .elu { head += 4 * count * size }
    head += layout.kind == .gaussian ? 2 * count * count : 2 * count
    facts.scan = layout.heads.times(head)
    facts.fixedBytes = layout.heads.times(layout.stateSize.times(4))
    return facts
  }

  /// A causal convolution of so many channels, with the inputs that it remembers.
  package static func convolution(_ channels: Int, taps: Int, bias: Bool) -> LayerFacts {
    var facts = vectors(channels.times(taps).plus(bias ? channels : 0))
    facts.scan = 2 * channels.times(taps)
    facts.fixedBytes = channels.times(taps - 1).times(4)
    return facts
  }

  /// A scan over states, whose weights are counted elsewhere.
  ///
  /// - Parameters:
  ///   - operations: Of a token.
  ///   - floats: That are remembered.
  /// - Returns: The facts of the layer.
  package static func scan(operations: Int, floats: Int) -> LayerFacts {
    var facts = LayerFacts()
    (facts.scan, facts.fixedBytes) = (operations, floats.times(4))
    return facts
  }
}

extension Int {
  /// The product; the largest `Int` where it is larger.
  func times(_ other: Int) -> Int {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }

  /// The sum; the largest `Int` where it is larger.
  func plus(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
