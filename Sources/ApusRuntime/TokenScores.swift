public import ApusModels
import ApusNN
public import ApusTensor
import Foundation

/// How likely a model finds each token of a sequence.
public struct TokenScores: Sendable, Equatable {
  /// The ids.
  public let tokens: [Int32]
  /// The natural logarithm of each token's probability. Of a causal model: given the tokens before
  /// it, and nil for the first, which has none. Of an encoder with a masked-language head: given the
  /// whole sequence, the token itself included.
  public let logProbabilities: [Double?]
  /// The sum of ``logProbabilities``.
  public let total: Double
  /// The exponential of minus their mean: how many equally likely tokens would be as hard to tell. 1
  /// when there is nothing to predict.
  public let perplexity: Double

  /// Puts scores together.
  init(tokens: [Int32], logProbabilities: [Double?]) {
    self.tokens = tokens
    self.logProbabilities = logProbabilities
    let known = logProbabilities.compactMap(\.self)
    total = known.reduce(0, +)
    perplexity = known.isEmpty ? 1 : exp(-total / Double(known.count))
  }

  /// Scores a sequence, block by block with the model's state: memory does not grow with the length
  /// but for that state.
  ///
  /// - Parameters:
  ///   - tokens: The ids.
  ///   - model: The model.
  ///   - block: Tokens at once. Default: as many as make 32 MB of logits, 512 at most.
  ///   - logits: Called with the logits of one block after the other, `[rows, V]`.
  /// - Throws: ``ScoreError``, ``NotFiniteError``, or what `logits` throws.
  public init(
    _ tokens: [Int32], model: LanguageModel, block: Int? = nil,
    logits: (Tensor) throws -> Void = { _ in }
  ) throws {
    try Self.check(tokens, vocabulary: model.vocabulary, context: model.context)
    let block = block ?? min(512, max(1, 8_388_608 / max(model.vocabulary, 1)))
    var state = model.initialState(batch: 1)
    var scores: [Double?] = [nil]
    scores.reserveCapacity(tokens.count)
    for start in stride(from: 0, to: tokens.count, by: max(block, 1)) {
      let end = min(start + max(block, 1), tokens.count)
      let part = model.logits(Tensor(Array(tokens[start..<end]), [1, end - start]), state: &state)
        .reshaped([end - start, model.vocabulary])
      try logits(part)
      let isLast = end == tokens.count
      let following = Array(tokens[start + 1..<(isLast ? end : end + 1)]) + (isLast ? [-1] : [])
      let losses = part.crossEntropies(targets: Tensor(following, [following.count]))
      try Self.append(losses.prefix(isLast ? losses.count - 1 : losses.count), to: &scores) {
        NotFiniteError($0, model: model.architecture.name, parameters: model.parameters)
      }
    }
    self.init(tokens: tokens, logProbabilities: scores)
  }

  static func check(_ tokens: [Int32], vocabulary: Int, context: Int?) throws {
    guard !tokens.isEmpty else { throw ScoreError.empty }
    if let context, tokens.count > context {
      throw ScoreError.tooLong(found: tokens.count, limit: context)
    }
    if let place = tokens.firstIndex(where: { $0 < 0 || $0 >= vocabulary }) {
      throw ScoreError.outsideVocabulary(
        position: place, found: tokens[place], vocabulary: vocabulary)
    }
  }

  private static func append(
    _ losses: some Sequence<Float>, to scores: inout [Double?],
    orThrow failure: (String) -> NotFiniteError
  ) throws {
    for loss in losses {
      guard loss.isFinite else { throw failure("token \(scores.count)") }
      scores.append(-Double(loss))
    }
  }
}

extension TokenScores: Encodable {}

extension TokenScores {
  /// Scores the ids of a file by the model of a folder.
  ///
  /// - Parameters:
  ///   - file: A JSON array of token ids.
  ///   - path: The model's folder.
  ///   - logits: The file for the logits: one float32 tensor `logits` `[T, V]` of a safetensors
  ///     file; written while they are computed, and not there at all when anything fails. Nil:
  ///     nowhere.
  /// - Throws: ``ModelFolderError``, ``ScoreError``, `TokenFileError`, or what is wrong with the
  ///   model's configuration or weights.
  public init(ofFile file: String, modelAt path: String, logits: String? = nil) throws {
    let tokens = try TokenFile.ids(at: file)
    let folder = try ModelFolder.open(path)
    if case .encoder(let encoder) = folder.contents {
      let bert = try encoder.load()
      guard bert.hasMaskedLanguageHead else { throw ScoreError.noHead(path: path) }
      let (limit, vocabulary) = (bert.config.maxPositionEmbeddings, bert.config.vocabSize)
      try Self.check(tokens, vocabulary: vocabulary, context: limit)
      self = try Self.writing(logits, [tokens.count, vocabulary]) {
        try TokenScores(tokens, encoder: bert, logits: $0)
      }
      return
    }
    let language =
      if case .composition(let composition) = folder.contents {
        try composition.expert(for: tokens)
      } else {
        try folder.language()
      }
    let model = try language.load().model
    // Before a file is begun.
    try Self.check(tokens, vocabulary: model.vocabulary, context: model.context)
    self = try Self.writing(logits, [tokens.count, model.vocabulary]) {
      try TokenScores(tokens, model: model, logits: $0)
    }
  }

  /// Scores a sequence by an encoder with a masked-language head: each token given all of them.
  ///
  /// - Parameters:
  ///   - tokens: The ids, all in segment 0.
  ///   - encoder: The encoder.
  ///   - logits: Called with the logits of one block of rows after the other, `[rows, V]`.
  /// - Throws: ``ScoreError``, ``NotFiniteError``, or what `logits` throws.
  public init(
    _ tokens: [Int32], encoder: Bert, logits: (Tensor) throws -> Void = { _ in }
  ) throws {
    let (limit, vocabulary) = (encoder.config.maxPositionEmbeddings, encoder.config.vocabSize)
    try Self.check(tokens, vocabulary: vocabulary, context: limit)
    let hidden = withoutGradient { encoder.hidden(PackedTokens([tokens])) }
    let width = encoder.config.hiddenSize
    var scores: [Double?] = []
    for start in stride(from: 0, to: tokens.count, by: 256) {
      let end = min(start + 256, tokens.count)
      let rows = hidden.reshaped([1, tokens.count, width])[times: start..<end]
        .reshaped([end - start, width])
      guard let part = withoutGradient({ encoder.logits(rows) }) else {
        throw ScoreError.noHead(path: "")
      }
      try logits(part)
      let targets = Tensor(Array(tokens[start..<end]), [end - start])
      try Self.append(part.crossEntropies(targets: targets), to: &scores) {
        NotFiniteError($0, model: BertConfig.modelType, parameters: encoder.parameters)
      }
    }
    self.init(tokens: tokens, logProbabilities: scores)
  }

  /// Lets `score` write its logits to a file, where one is asked for.
  private static func writing(
    _ path: String?, _ shape: Shape,
    _ score: @escaping ((Tensor) throws -> Void) throws -> TokenScores
  ) throws -> TokenScores {
    guard let path else { return try score { _ in } }
    var scores = TokenScores(tokens: [], logProbabilities: [])
    try Safetensors.save("logits", shape, to: path) { append in scores = try score(append) }
    return scores
  }
}

/// What can be wrong with tokens that are to be scored.
public enum ScoreError: Error, Equatable {
  /// There are none.
  case empty
  /// An id is not in the model's vocabulary.
  case outsideVocabulary(position: Int, found: Int32, vocabulary: Int)
  /// There are more than the model reads.
  case tooLong(found: Int, limit: Int)
  /// The encoder of a folder has no head over the vocabulary.
  case noHead(path: String)
}

extension ScoreError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .empty: "There are no tokens to score. Give at least one."
    case .outsideVocabulary(let position, let found, let vocabulary):
      """
      Token \(position) is \(found), but the model's ids are 0 to \(vocabulary - 1). \
      Check that tokens and model belong together.
      """
    case .tooLong(let found, let limit):
      "There are \(found) tokens, but the model reads at most \(limit). Score them in parts."
    case .noHead(let path):
      """
      The encoder \(path.isEmpty ? "" : "in '\(path)' ")has no masked-language head, so it gives no \
      logits. For sentence vectors use apus embed.
      """
    }
  }
}
