import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// What architectures say about their models, held against models that were made.
@Suite("Facts of architectures", .tags(.property))
struct FactsTests {
  @Test("as many parameters are told as a model has", arguments: Specimen.all)
  func parameters(specimen: Specimen) throws {
    let (blueprint, model) = (try specimen.config(), try specimen.model())
    let counted = model.parameters.reduce(0) { $0 + $1.shape.count }
    #expect(blueprint.languageTotal.parameters == counted)
    let experts = model.parameters.filter { $0.name.contains(".experts.") }
    #expect((blueprint.facts.total.idle > 0) == !experts.isEmpty)
  }

  @Test("defaults of every type: parameters, width and state as the model described has them")
  func defaults() throws {
    for architecture in Architecture.builtIn {
      for type in architecture.modelTypes {
        let blueprint = try Blueprint(json: Data(#"{"model_type": "\#(type)"}"#.utf8))
        let model = try LanguageModel(blueprint, in: .describing)
        let counted = model.parameters.reduce(0) { $0 + $1.shape.count }
        #expect(blueprint.languageTotal.parameters == counted, "\(type)")
        let state = model.initialState(batch: 1).byteCount
        #expect(blueprint.facts.total.stateBytes(after: 0) == state, "\(type)")
      }
    }
  }

  @Test("the state holds as many bytes as told, at every length", arguments: Specimen.all)
  func stateBytes(specimen: Specimen) throws {
    let (facts, model) = (try specimen.config().facts, try specimen.model())
    let isHashed = facts.total.bytesPerToken.keys.contains {
      if case .blocks(_, _, let buckets) = $0 { buckets > 1 } else { false }
    }
    let ids = specimen.tokens(1, 120, seed: 1)
    let most = min(120, facts.context ?? 120)
    var state = model.initialState(batch: 1)
    for count in 0...most {
      let told = facts.total.stateBytes(after: count)
      if isHashed {
        #expect(state.byteCount <= told, "after \(count)")
      } else {
        #expect(state.byteCount == told, "after \(count)")
      }
      if count < most {
        _ = model.logits(idSlice(ids, times: count..<count + 1), state: &state)
      }
    }
  }

  @Test("the width is the backbone's, and a context that is told holds", arguments: Specimen.all)
  func sizes(specimen: Specimen) throws {
    let blueprint = try specimen.config()
    let backbone = try blueprint.makeBackbone(in: .describing)
    #expect(
      backbone.width == blueprint.facts.width && blueprint.facts.layers == blueprint.config.layers)
    #expect(backbone.outputWidth == blueprint.facts.outputWidth)
    let name = ["transformer", "gpt1", "reformer", "performer"].contains(specimen.architecture.name)
    #expect(blueprint.facts.context == nil || name)
  }

  @Test("every weight of a matrix is multiplied once a token", arguments: Specimen.all)
  func products(specimen: Specimen) throws {
    let (blueprint, model) = (try specimen.config(), try specimen.model())
    // Matrices by their names: not tables, which are looked up, nor what a scan or hash takes.
    let tables = [
      "wpe", "positions_embed", "position_embeddings", model.layout.embeddingName + ".", "A_log",
      ".BC", "projection_matrix", "gamma", "beta", "theta", "omega", "conv1d",
      "q_norm", "k_norm",
    ]
    let matrices = model.parameters.filter { parameter in
      // Those of sLSTM are one for each head.
      let isByHead = parameter.shape.rank == 3 && parameter.name.contains("slstm_layer")
      return isByHead
        || parameter.shape.rank == 2 && !tables.contains { parameter.name.contains($0) }
    }
    let share = Self.expertShare(blueprint.config)
    var counted = matrices.reduce(0.0) {
      let inExperts = $1.name.split(separator: ".").contains("experts")
      return $0 + Double($1.shape.count) * (inExperts ? share : 1)
    }
    if model.layout.isTied {
      counted += Double(model.vocabulary * blueprint.facts.outputWidth)
    }
    #expect(Double(blueprint.languageTotal.products) == counted.rounded())
  }

  /// The part of a layer's experts that a token takes.
  static func expertShare(_ config: any BackboneConfig) -> Double {
    switch config {
    case let config as MixtralConfig:
      Double(config.numExpertsPerTok) / Double(config.numLocalExperts)
    case let config as DBRXConfig:
      Double(config.ffnConfig.moeTopK) / Double(config.ffnConfig.moeNumExperts)
    case let config as JambaConfig:
      Double(config.numExpertsPerTok) / Double(config.numExperts)
    default: 1
    }
  }

  static let reaches: [Reach] = [
    .all, .last(1), .last(5), .last(64), .chunk(1), .chunk(7), .blocks(1, before: 0),
    .blocks(4, before: 1), .blocks(3, before: 2), .blocks(8, before: 16),
  ]

  @Test("pairs that meet are counted one by one", arguments: reaches)
  func pairs(reach: Reach) {
    for tokens in [0, 1, 2, 4, 5, 7, 8, 21, 64, 65, 130] {
      var pairs = 0
      for token in 0..<tokens {
        pairs += (0...token).count { earlier in
          switch reach {
          case .all: true
          case .last(let window): token - earlier < window
          case .chunk(let size): earlier / size == token / size
          case .blocks(let size, let before, _): token / size - earlier / size <= before
          }
        }
      }
      #expect(reach.pairs(tokens) == Double(pairs), "\(tokens)")
      #expect((0..<tokens).reduce(0) { $0 + reach.seen(at: $1) } == pairs)
    }
  }

  @Test("operations in attention and scans are those of the equations, counted in loops")
  func operations() throws {
    func facts(_ config: some BackboneConfig) throws -> LayerFacts {
      try Blueprint(config).facts.total
    }
    // Attention: for each head and pair a product and a sum over the features, twice.
    var gpt = TransformerConfig()
    (gpt.nEmbd, gpt.nLayer, gpt.nHead, gpt.attentionWindows) = (12, 2, 3, [0, 4])
    var counted = 0
    for layer in 0..<2 {
      for token in 0..<9 {
        let seen = layer == 0 ? token + 1 : min(token + 1, 4)
        for _ in 0..<3 { for _ in 0..<seen { for _ in 0..<4 { counted += 2 + 2 } } }
      }
    }
    let attention = try facts(gpt)
    #expect(attention.operations(9) - 9 * attention.operations(products: ()) == Double(counted))
    // Mamba: h ← exp(Δ·A)·h + (Δ·B)·x, y = Σ C·h + D·x, and K taps.
    var mamba = MambaConfig()
    (mamba.hiddenSize, mamba.numHiddenLayers, mamba.stateSize) = (6, 3, 5)
    counted = 0
    for _ in 0..<3 {
      for _ in 0..<12 {
        for _ in 0..<5 { counted += 1 + 1 + 1 + 1 + 1 + 1 + 2 }
        counted += 2
        for _ in 0..<4 { counted += 2 }
      }
    }
    #expect(try facts(mamba).scan == counted)
    // Linear attention: S ← S + φ(k)·vᵀ, z ← z + φ(k), y = φ(q)·S / φ(q)·z.
    var linear = LinearTransformerConfig()
    (linear.hiddenSize, linear.numHiddenLayers, linear.numAttentionHeads) = (12, 1, 2)
    counted = 0
    for _ in 0..<2 { for _ in 0..<6 { for _ in 0..<6 { counted += 2 + 2 }; counted += 1 + 1 } }
    #expect(try facts(linear).scan == counted)
    // mLSTM: C ← f·C + i·k·vᵀ, y = C·q, and n likewise as one more value.
    var xlstm = XLSTMConfig()
    (xlstm.hiddenSize, xlstm.numHiddenLayers, xlstm.numHeads) = (12, 1, 2)
    counted = 0
    for _ in 0..<2 { for _ in 0..<3 { for _ in 0..<6 + 1 { counted += 3 + 2 } } }
    #expect(try facts(xlstm).scan == counted)
    // S5: h ← λ·h + κ·x of complex numbers, and D.
    var s5 = S5Config()
    (s5.dModel, s5.nLayers, s5.ssmSize, s5.blocks) = (6, 1, 10, 1)
    counted = 0
    for _ in 0..<5 { counted += (4 + 2) + 2 + (4 + 2) }
    for _ in 0..<6 { counted += 1 + 1 }
    #expect(try facts(s5).scan == counted)
  }

  @Test("what transformers would compute otherwise has no class of theirs")
  func classes() throws {
    func name(_ json: String) throws -> String? {
      try Blueprint(json: Data(json.utf8)).facts.transformersClass
    }
    #expect(try name(#"{"model_type": "gpt2"}"#) == "GPT2LMHeadModel")
    #expect(try name(#"{"model_type": "gpt2", "sliding_window": 9}"#) == nil)
    #expect(try name(#"{"model_type": "sliding"}"#) == nil)
    #expect(try name(#"{"model_type": "openai-gpt"}"#) == "OpenAIGPTLMHeadModel")
    #expect(try name(#"{"model_type": "cohere2"}"#) == "Cohere2ForCausalLM")
    #expect(try name(#"{"model_type": "mamba", "selective": false}"#) == nil)
    #expect(try name(#"{"model_type": "lstm"}"#) == nil)
    #expect(try name(#"{"model_type": "xlstm"}"#) == "xLSTMForCausalLM")
    #expect(try name(#"{"model_type": "xlstm", "slstm_at": [3]}"#) == nil)
  }
}

extension LayerFacts {
  /// Two operations for each weight of a product.
  fileprivate func operations(products: ()) -> Double { 2 * Double(self.products) }
}
