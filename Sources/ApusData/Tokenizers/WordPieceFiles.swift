public import ApusTensor
import Foundation

extension WordPieceTokenizer {
  /// No tokenizer's file is larger.
  static let maximumBytes = 64 << 20

  /// Reads the tokenizer of a model's folder: `tokenizer.json`, or `vocab.txt` with what
  /// `tokenizer_config.json` says about it.
  ///
  /// - Throws: ``TokenizerError``, or what is wrong with a file.
  public init(folder: String) throws {
    let (json, list) = (folder + "/tokenizer.json", folder + "/vocab.txt")
    if FileManager.default.fileExists(atPath: json) {
      try self.init(tokenizerAt: json)
    } else if FileManager.default.fileExists(atPath: list) {
      try self.init(vocabularyAt: list, configAt: folder + "/tokenizer_config.json")
    } else {
      throw TokenizerError.missing(folder: folder, expected: "tokenizer.json or vocab.txt")
    }
  }

  /// Reads a `tokenizer.json` whose model is WordPiece.
  ///
  /// - Throws: ``TokenizerError``, or what is wrong with the file.
  public init(tokenizerAt path: String) throws {
    let json = try JSONValue(path: path, limit: Self.maximumBytes)
    let model = json["model"]
    // Files of the first years leave the type out.
    let type = model?["type"]?.string ?? (model?["merges"] == nil ? "WordPiece" : "BPE")
    guard type == "WordPiece", let model, let members = model["vocab"]?.members else {
      throw TokenizerError.otherKind(path: path, found: type, expected: "WordPiece")
    }
    var vocabulary: [(String, Int)] = []
    for member in members {
      guard let id = member.value.integer else {
        throw TokenizerError.badVocabulary(
          path: path, problem: "the id of '\(member.key)' is no whole number")
      }
      vocabulary.append((member.key, id))
    }
    let ends = try Self.ends(json["post_processor"], path: path)
    try self.init(
      vocabulary: vocabulary, added: Self.added(json["added_tokens"], path: path),
      unknown: model["unk_token"]?.string ?? "[UNK]", start: ends.0, end: ends.1,
      continuation: model["continuing_subword_prefix"]?.string ?? "##",
      maximumCharacters: model["max_input_chars_per_word"]?.integer ?? 100,
      normalization: Self.normalization(json["normalizer"], path: path), path: path)
    if let found = json["pre_tokenizer"]?["type"]?.string, found != "BertPreTokenizer" {
      throw TokenizerError.otherKind(
        path: path, found: "the pre-tokenizer \(found)", expected: "BertPreTokenizer")
    }
  }

  /// Reads a `vocab.txt`, a piece a line.
  ///
  /// - Parameters:
  ///   - path: The list.
  ///   - config: A `tokenizer_config.json`, which need not be there.
  /// - Throws: ``TokenizerError``, or what is wrong with a file.
  public init(vocabularyAt path: String, configAt config: String) throws {
    let bytes = try Files.contents(of: path, limit: Self.maximumBytes)
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw TokenizerError.badVocabulary(path: path, problem: "it is no UTF-8")
    }
    guard bytes.count(where: { $0 == 10 }) < 1 << 20 else {
      throw TokenizerError.badVocabulary(path: path, problem: "it has more than \(1 << 20) lines")
    }
    // By bytes: to a String a carriage return and a line feed are one character.
    var lines = bytes.split(separator: 10, omittingEmptySubsequences: false)
      .map { String(decoding: $0.last == 13 ? $0.dropLast() : $0, as: UTF8.self) }
    if lines.last?.isEmpty == true { lines.removeLast() }
    let options =
      FileManager.default.fileExists(atPath: config)
      ? try JSONValue(path: config, limit: Self.maximumBytes) : .object([])
    var normalization = Normalization()
    normalization.lowercases = options["do_lower_case"]?.bool ?? true
    normalization.separatesIdeographs = options["tokenize_chinese_chars"]?.bool ?? true
    normalization.stripsAccents = options["strip_accents"]?.bool
    func name(_ key: String, _ standard: String) -> String {
      options[key]?.string ?? options[key]?["content"]?.string ?? standard
    }
    let special = [
      name("unk_token", "[UNK]"), name("cls_token", "[CLS]"), name("sep_token", "[SEP]"),
      name("pad_token", "[PAD]"), name("mask_token", "[MASK]"),
    ]
    let added = special.compactMap { content in
      lines.firstIndex { $0.utf8.elementsEqual(content.utf8) }
        .map { AddedToken(content: content, id: Int32(truncatingIfNeeded: $0)) }
    }
    try self.init(
      vocabulary: lines.enumerated().map { ($1, $0) }, added: added, unknown: special[0],
      start: special[1], end: special[2], normalization: normalization, path: path)
  }

  private static func normalization(_ json: JSONValue?, path: String) throws -> Normalization {
    var result = Normalization()
    guard let json, json != .null else {
      result.cleansText = false
      result.separatesIdeographs = false
      result.lowercases = false
      return result
    }
    let type = json["type"]?.string ?? "none"
    guard type == "BertNormalizer" else {
      throw TokenizerError.otherKind(
        path: path, found: "the normalizer \(type)", expected: "BertNormalizer")
    }
    result.cleansText = json["clean_text"]?.bool ?? true
    result.separatesIdeographs = json["handle_chinese_chars"]?.bool ?? true
    result.lowercases = json["lowercase"]?.bool ?? true
    result.stripsAccents = json["strip_accents"]?.bool
    return result
  }

  static func added(_ json: JSONValue?, path: String) throws -> [AddedToken] {
    try (json?.elements ?? []).map { token in
      guard let content = token["content"]?.string,
        let id = token["id"]?.integer.flatMap({ Int32(exactly: $0) })
      else {
        throw TokenizerError.badVocabulary(
          path: path, problem: "an added token has no content or no id")
      }
      return AddedToken(
        content: content, id: id, isSpecial: token["special"]?.bool ?? false,
        isWholeWord: token["single_word"]?.bool ?? false,
        takesSpaceBefore: token["lstrip"]?.bool ?? false,
        takesSpaceAfter: token["rstrip"]?.bool ?? false,
        isNormalized: token["normalized"]?.bool ?? true)
    }
  }

  /// The ids before and after a text.
  private static func ends(_ json: JSONValue?, path: String) throws -> (String, String) {
    switch json?["type"]?.string {
    case "BertProcessing":
      return (
        json?["cls"]?.elements?.first?.string ?? "[CLS]",
        json?["sep"]?.elements?.first?.string ?? "[SEP]"
      )
    case "TemplateProcessing":
      let names = (json?["single"]?.elements ?? []).map { $0["SpecialToken"]?["id"]?.string }
      guard names.count == 3, let start = names[0], names[1] == nil, let end = names[2] else {
        throw TokenizerError.otherKind(
          path: path, found: "another template", expected: "[CLS] text [SEP]")
      }
      return (start, end)
    case let other:
      throw TokenizerError.otherKind(
        path: path, found: "the post-processor \(other ?? "none")", expected: "TemplateProcessing")
    }
  }
}

/// An error of a tokenizer's files.
public enum TokenizerError: Error, Equatable {
  /// There is no file to read.
  case missing(folder: String, expected: String)
  /// The tokenizer is of a kind that is not read here.
  case otherKind(path: String, found: String, expected: String)
  /// Pieces and ids do not fit together.
  case badVocabulary(path: String, problem: String)
}

extension TokenizerError: ApusError {
  public var exitStatus: ExitStatus {
    if case .missing = self { .missingInput } else { .badData }
  }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .missing(let folder, let expected):
      "'\(folder)' has no tokenizer: \(expected) is expected. Fetch it with the model."
    case .otherKind(let path, let found, let expected):
      "'\(path)' holds \(found), but \(expected) is expected. It belongs to another kind of model."
    case .badVocabulary(let path, let problem):
      "The vocabulary of '\(path)' is wrong: \(problem). Fetch it again."
    }
  }
}
