public import ApusData
public import ApusModels
import ApusNN
import ApusTensor

/// Texts in, vectors out: an encoder with its tokenizer, as a sentence-transformers folder has them.
public struct TextEmbedder {
  /// The encoder with its pooling.
  public let encoder: SentenceEncoder
  /// Cuts texts into ids.
  public let tokenizer: WordPieceTokenizer
  /// The most tokens of a text, `[CLS]` and `[SEP]` included; what is longer is cut off.
  public let maximumTokens: Int

  /// Puts the parts together.
  public init(encoder: SentenceEncoder, tokenizer: WordPieceTokenizer, maximumTokens: Int) {
    self.encoder = encoder
    self.tokenizer = tokenizer
    self.maximumTokens = min(maximumTokens, encoder.encoder.config.maxPositionEmbeddings)
  }

  /// Loads a folder: `config.json`, weights, `tokenizer.json` or `vocab.txt`, and, where they are
  /// there, the files of sentence-transformers: `modules.json`, the configuration of the pooling, and
  /// `sentence_bert_config.json` with the most tokens of a text. Without them states are averaged,
  /// vectors have length one, and texts may be as long as the encoder reads.
  ///
  /// - Throws: ``ModelFolderError``, or what is wrong with a file.
  public init(folder: String) throws {
    let bert = try ModelFolder.open(folder).encoder().load()
    let sentence = try SentenceFiles(folder: folder)
    let tokenizer = try WordPieceTokenizer(folder: folder)
    guard tokenizer.vocabularySize <= bert.config.vocabSize else {
      throw ModelFolderError.damaged(
        path: folder,
        reason:
          "its tokenizer has \(tokenizer.vocabularySize) ids, its model \(bert.config.vocabSize)")
    }
    self.init(
      encoder: SentenceEncoder(
        encoder: bert, pooling: sentence.pooling, isNormalized: sentence.isNormalized),
      tokenizer: tokenizer,
      maximumTokens: sentence.maximumTokens ?? bert.config.maxPositionEmbeddings)
  }

  /// One vector per text, in their order.
  ///
  /// - Parameters:
  ///   - texts: The texts; an empty one has a vector too.
  ///   - first: The number of the first text, by which errors name them.
  ///   - tokensAtOnce: About how many tokens one pass takes. It changes speed and memory only.
  /// - Returns: As many vectors of `SentenceEncoder.dimensions` numbers as there are texts.
  /// - Throws: ``NotFiniteError`` when a vector is not finite.
  public func vectors(
    _ texts: [String], first: Int = 0, tokensAtOnce: Int = 4096
  ) throws -> [[Float]] {
    let sequences = texts.map { tokenizer.encode($0, maximum: maximumTokens) }
    var result = Array(repeating: [Float](), count: texts.count)
    // Texts of one length side by side are attended to in one call.
    var waiting = texts.indices.sorted { (sequences[$0].count, $0) < (sequences[$1].count, $1) }[
      ...]
    while !waiting.isEmpty {
      var tokens = 0
      let batch = waiting.prefix { index in
        defer { tokens += sequences[index].count }
        return tokens == 0 || tokens + sequences[index].count <= tokensAtOnce
      }
      waiting = waiting.dropFirst(batch.count)
      let output = withoutGradient { encoder(PackedTokens(batch.map { sequences[$0] })) }
      let values = output.values
      for (row, index) in batch.enumerated() {
        let vector = values[row * encoder.dimensions..<(row + 1) * encoder.dimensions]
        guard vector.allSatisfy(\.isFinite) else {
          throw NotFiniteError(
            "text \(first + index)", model: BertConfig.modelType,
            parameters: encoder.encoder.parameters)
        }
        result[index] = Array(vector)
      }
    }
    return result
  }
}

/// What the files of sentence-transformers say.
private struct SentenceFiles {
  var pooling = SentenceEncoder.Pooling.mean
  var isNormalized = true
  var maximumTokens: Int?

  init(folder: String) throws {
    func json(_ name: String) throws -> JSONValue? { try FolderFiles(folder).json(name) }
    maximumTokens = try json("sentence_bert_config.json")?["max_seq_length"]?.integer
    if let maximumTokens, maximumTokens < 2 {
      throw ConfigError.invalid(
        key: "max_seq_length", value: "\(maximumTokens)", rule: "it must be at least 2")
    }
    var poolingFolder = "1_Pooling"
    if let modules = try json("modules.json")?.elements {
      let types = modules.map { $0["type"]?.string?.split(separator: ".").last.map(String.init) }
      let known = ["Transformer", "Pooling", "Normalize"]
      if let other = types.first(where: { !known.contains($0 ?? "") }) {
        throw ConfigError.invalid(
          key: "modules.json", value: other ?? "none",
          rule: "a module must be one of \(known.joined(separator: ", "))")
      }
      isNormalized = types.contains("Normalize")
      let path = types.firstIndex(of: "Pooling").flatMap { modules[$0]["path"]?.string }
      if let path, !path.contains("/"), !path.hasPrefix(".") { poolingFolder = path }
    }
    guard let modes = try json("\(poolingFolder)/config.json")?.members else { return }
    let chosen = modes.filter { $0.key.hasPrefix("pooling_mode") && $0.value == .bool(true) }
      .map(\.key)
    switch chosen {
    case ["pooling_mode_mean_tokens"]: pooling = .mean
    case ["pooling_mode_cls_token"]: pooling = .firstToken
    default:
      throw ConfigError.invalid(
        key: "pooling_mode", value: chosen.joined(separator: ", "),
        rule: "only the mean over all tokens or the first token alone is known")
    }
  }
}
