public import ApusTensor

/// One block of a ``DecoderStack``: a mixer of tokens, mostly also a feed-forward, and how they stand to the
/// residual stream x.
public enum DecoderBlock {
  /// `x + mixer(norm(x))`, then `x + feedForward(norm(x))`.
  case preNorm(any Layer, any SequenceMixer, any Layer, any FeedForward)
  /// `n = norm(x + mixer(x))`, then `norm(n + feedForward(n))`.
  case postNorm(any SequenceMixer, any Layer, any FeedForward, any Layer)
  /// `x + mixer(n) + feedForward(n)` with `n = norm(x)`.
  case parallel(any Layer, any SequenceMixer, any FeedForward)
  /// `x + mixer(norm(x))`.
  case mixerOnly(any Layer, any SequenceMixer)
  /// `mixer(x)`, without a residual stream.
  case bare(any SequenceMixer)

  /// What lets tokens see earlier ones.
  public var mixer: any SequenceMixer {
    switch self {
    case .preNorm(_, let mixer, _, _), .postNorm(let mixer, _, _, _), .parallel(_, let mixer, _),
      .mixerOnly(_, let mixer), .bare(let mixer):
      mixer
    }
  }

  /// - Parameters:
  ///   - x: `[B, T, D]`.
  ///   - mix: Applies the mixer.
  /// - Returns: `[B, T, D]`, and what was routed.
  func callAsFunction(_ x: Tensor, mix: (Tensor) -> Tensor) -> RoutedOutput {
    switch self {
    case .preNorm(let mixerNorm, _, let feedForwardNorm, let feedForward):
      let x = x + mix(mixerNorm(x))
      return feedForward.routed(feedForwardNorm(x)).map { x + $0 }
    case .postNorm(_, let mixerNorm, let feedForward, let feedForwardNorm):
      let n = mixerNorm(x + mix(x))
      return feedForward.routed(n).map { feedForwardNorm(n + $0) }
    case .parallel(let norm, _, let feedForward):
      let n = norm(x)
      let mixed = x + mix(n)
      return feedForward.routed(n).map { mixed + $0 }
    case .mixerOnly(let norm, _): return RoutedOutput(hidden: x + mix(norm(x)))
    case .bare: return RoutedOutput(hidden: mix(x))
    }
  }
}

extension RoutedOutput {
  /// The same routes with what `join` makes of the result.
  fileprivate func map(_ join: (Tensor) -> Tensor) -> RoutedOutput {
    RoutedOutput(hidden: join(hidden), logits: logits, routes: routes)
  }
}

/// A stack of blocks on a residual stream, between positions that are added first and a normalization at
/// the end: what most sequence architectures are.
///
/// Shapes: B batch, T time, D width.
public struct DecoderStack {
  /// D.
  public let width: Int
  /// What is added to the tokens for their positions.
  public let positions: AddedPositions
  /// The blocks, from the first on.
  public let blocks: [DecoderBlock]
  /// The normalization at the end; nil for none.
  public let norm: (any Layer)?
  /// What keeps routers in balance during training; nil for nothing.
  public let routerLoss: RouterLossOptions?

  /// Puts the parts together.
  public init(
    width: Int, positions: AddedPositions = .none, blocks: [DecoderBlock], norm: (any Layer)?,
    routerLoss: RouterLossOptions? = nil
  ) {
    (self.width, self.positions, self.blocks) = (width, positions, blocks)
    (self.norm, self.routerLoss) = (norm, routerLoss)
  }

  fileprivate func end(_ x: Tensor) -> Tensor { norm?(x) ?? x }
}

/// A backbone that is a ``DecoderStack``, which does all the work.
public protocol DecoderBackbone: Backbone {
  /// The stack.
  var stack: DecoderStack { get }
}

extension DecoderBackbone {
  public var width: Int { stack.width }

  /// Maps `[B, T, D]` to `[B, T, D]`.
  public func output(_ x: Tensor) -> BackboneOutput {
    let places = Places(wholeOf: x)
    var (x, logits) = (stack.positions(x, at: places), [Tensor]())
    for block in stack.blocks {
      let output = x.routedBlock { x in block(x) { block.mixer($0, at: places) } }
      x = output.hidden
      if let routed = output.logits { logits.append(routed) }
    }
    return BackboneOutput(hidden: stack.end(x), auxiliaryLoss: stack.routerLoss?(logits))
  }

  public func initialState(batch: Int) -> BackboneState {
    BackboneState(
      of: Self.self, batch: batch,
      layers: stack.blocks.map { $0.mixer.initialState(batch: batch) })
  }

  /// Continues sequences by T tokens from `state`.
  public func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor {
    state.advance(x, through: Self.self) { state in
      let places = Places(starts: state.positions, time: x.shape[1])
      var x = stack.positions(x, at: places)
      for (index, block) in stack.blocks.enumerated() {
        x = block(x) { block.mixer($0, at: places, layer: index, of: &state) }.hidden
      }
      return stack.end(x)
    }
  }
}

extension RoutingBackbone where Self: DecoderBackbone {
  public func routes(_ x: Tensor) -> [ExpertRoutes] {
    withoutGradient {
      let places = Places(wholeOf: x)
      var (x, routes) = (stack.positions(x, at: places), [ExpertRoutes]())
      for block in stack.blocks {
        let output = block(x) { block.mixer($0, at: places) }
        x = output.hidden
        if let found = output.routes { routes.append(found) }
      }
      return routes
    }
  }
}
