package import ApusTensor
import Foundation

extension SubwordTokenizer {
  /// Reads the `tokenizer.json` of a model's folder.
  ///
  /// - Parameter folder: A folder as published.
  /// - Throws: ``TokenizerError``, or what is wrong with the file.
  public init(folder: String) throws {
    let path = folder + "/tokenizer.json"
    guard FileManager.default.fileExists(atPath: path) else {
      throw TokenizerError.missing(folder: folder, expected: "tokenizer.json")
    }
    try self.init(tokenizerAt: path)
  }

  /// Reads a `tokenizer.json` whose model is BPE or Unigram.
  ///
  /// - Parameter path: The file.
  /// - Throws: ``TokenizerError`` for a part that is not known, as a text that is cut in another way has other
  ///   ids; or what is wrong with the file.
  public init(tokenizerAt path: String) throws {
    try self.init(try JSONValue(path: path, limit: WordPieceTokenizer.maximumBytes), path: path)
  }

  /// Reads the JSON of a tokenizer.
  package init(_ json: JSONValue, path: String) throws {
    let file = SubwordFile(json: json, path: path)
    let cuts = try file.cuts()
    let reading = try file.reading()
    let parts = try file.model(isByteLevel: cuts.isByteLevel || reading.isByteLevel)
    let added = try WordPieceTokenizer.added(json["added_tokens"], path: path)
    var pieces = parts.pieces
    for token in added {
      guard token.id >= 0, token.id < SubwordFile.mostPieces else {
        throw TokenizerError.badVocabulary(
          path: path, problem: "'\(token.content)' has the id \(token.id)")
      }
      while pieces.count <= token.id { pieces.append(nil) }
      pieces[Int(token.id)] = Array(token.content.utf8)
    }
    let ends = try file.ends(pieces)
    self.init(
      model: parts.model, rules: parts.rules, pieces: pieces, added: added,
      normalizer: try file.normalizer(json["normalizer"]), cuts: cuts.cuts,
      before: ends.before, after: ends.after, reading: reading.reading)
  }
}

/// The parts of a `tokenizer.json`.
struct SubwordFile {
  let json: JSONValue
  let path: String

  /// No published vocabulary has as many.
  static let mostPieces = 1 << 21

  private func other(_ found: String, _ expected: String) -> TokenizerError {
    .otherKind(path: path, found: found, expected: expected)
  }

  private func bad(_ problem: String) -> TokenizerError {
    .badVocabulary(path: path, problem: problem)
  }

  // MARK: Model

  func model(
    isByteLevel: Bool
  ) throws -> (model: SubwordTokenizer.Model, rules: SubwordTokenizer.Rules, pieces: [[UInt8]?]) {
    guard let model = json["model"] else { throw bad("it has no model") }
    let type = model["type"]?.string ?? (model["merges"] == nil ? "none" : "BPE")
    var rules = SubwordTokenizer.Rules()
    rules.isByteLevel = isByteLevel
    rules.hasByteFallback = model["byte_fallback"]?.bool ?? false
    switch type {
    case "BPE":
      guard let members = model["vocab"]?.members else { throw bad("the model has no vocab") }
      var pieces: [[UInt8]?] = []
      for member in members {
        guard let id = member.value.integer, id >= 0, id < Self.mostPieces else {
          throw bad("the id of '\(member.key)' is no whole number from 0 to \(Self.mostPieces - 1)")
        }
        while pieces.count <= id { pieces.append(nil) }
        guard pieces[id] == nil else { throw bad("the id \(id) comes twice") }
        pieces[id] = bytes(of: member.key, isByteLevel)
      }
      rules.ignoresMerges = model["ignore_merges"]?.bool ?? false
      rules.fusesUnknown = model["fuse_unk"]?.bool ?? false
      rules.prefix = model["continuing_subword_prefix"]?.string ?? ""
      rules.suffix = model["end_of_word_suffix"]?.string ?? ""
      if let unknown = model["unk_token"]?.string {
        rules.unknown = try id(of: unknown, members)
      }
      return (.bytePairs(try pairs(model, pieces, rules)), rules, pieces)
    case "Unigram":
      guard let rows = model["vocab"]?.elements, rows.count < Self.mostPieces else {
        throw bad("the model has no vocab")
      }
      let pieces = try rows.map { row -> (bytes: [UInt8], score: Double) in
        guard let pair = row.elements, pair.count == 2, let piece = pair[0].string,
          case .number(let text) = pair[1], let score = Double(text), score.isFinite
        else { throw bad("a piece has no text or no finite score") }
        return (Array(piece.utf8), score)
      }
      let unknown = model["unk_id"]?.integer ?? -1
      guard pieces.indices.contains(unknown) else {
        throw bad("the unknown piece \(unknown) is none of \(pieces.count)")
      }
      rules.unknown = Int32(unknown)
      let unigram = Unigram(pieces, unknown: Int32(unknown))
      return (.unigram(unigram), rules, pieces.map { .some($0.bytes) })
    default: throw other("the model \(type)", "BPE or Unigram")
    }
  }

  private func id(of name: String, _ members: [JSONValue.Member]) throws -> Int32 {
    let found = members.first { $0.key.utf8.elementsEqual(name.utf8) }?.value.integer
    let added = json["added_tokens"]?.elements?.first {
      $0["content"]?.string?.utf8.elementsEqual(name.utf8) == true
    }?["id"]?.integer
    guard let id = found ?? added else { throw bad("it has no '\(name)'") }
    return Int32(truncatingIfNeeded: id)
  }

  private func pairs(
    _ model: JSONValue, _ pieces: [[UInt8]?], _ rules: SubwordTokenizer.Rules
  ) throws -> BytePairs {
    guard let merges = model["merges"]?.elements else { throw bad("the model has no merges") }
    var ids: [[UInt8]: Int32] = [:]
    for (id, piece) in pieces.enumerated() {
      if let piece { ids[piece] = Int32(truncatingIfNeeded: id) }
    }
    let prefix = Array(rules.prefix.utf8)
    return BytePairs(
      try merges.enumerated().map { rank, merge in
        let names =
          merge.elements?.compactMap(\.string)
          ?? merge.string?.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
          ?? []
        guard names.count == 2 else { throw bad("merge \(rank) is no pair") }
        let (left, right) = (bytes(of: names[0], rules), bytes(of: names[1], rules))
        let tail = right.starts(with: prefix) ? Array(right.dropFirst(prefix.count)) : right
        guard let first = ids[left], let second = ids[right], let result = ids[left + tail] else {
          throw bad("merge \(rank), '\(names[0])' and '\(names[1])', is not of its pieces")
        }
        return (first, second, result)
      })
  }

  private func bytes(of piece: String, _ rules: SubwordTokenizer.Rules) -> [UInt8] {
    bytes(of: piece, rules.isByteLevel)
  }

  /// What a piece stands for: of byte-level ones the bytes behind its letters.
  private func bytes(of piece: String, _ isByteLevel: Bool) -> [UInt8] {
    guard isByteLevel else { return Array(piece.utf8) }
    return ByteAlphabet.bytes(of: piece.unicodeScalars) ?? Array(piece.utf8)
  }

  // MARK: Before the model

  func normalizer(_ part: JSONValue?) throws -> TextNormalizer? {
    guard let part, part != .null else { return nil }
    let type = part["type"]?.string ?? "none"
    if let form = TextNormalizer.Form(rawValue: type) { return .form(form) }
    switch type {
    case "Lowercase": return .lowercase
    case "StripAccents": return .stripAccents
    case "Strip":
      return .strip(
        left: part["strip_left"]?.bool ?? true, right: part["strip_right"]?.bool ?? true)
    case "Prepend": return .prepend(part["prepend"]?.string ?? "")
    case "Replace":
      guard let found = part["pattern"]?["String"]?.string else {
        throw other("the normalizer Replace of \(text(part["pattern"]))", "one of a fixed text")
      }
      return .replace(found, by: part["content"]?.string ?? "")
    case "Sequence":
      return .sequence(try (part["normalizers"]?.elements ?? []).compactMap(normalizer))
    default:
      throw other(
        "the normalizer \(type)",
        "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace or Sequence")
    }
  }

  func cuts() throws -> (cuts: [PreTokenizer], isByteLevel: Bool) {
    try cuts(json["pre_tokenizer"])
  }

  private func cuts(_ part: JSONValue?) throws -> (cuts: [PreTokenizer], isByteLevel: Bool) {
    guard let part, part != .null else { return ([], false) }
    let type = part["type"]?.string ?? "none"
    switch type {
    case "Sequence":
      let all = try (part["pretokenizers"]?.elements ?? []).map(cuts)
      // Cuts behind the one that writes bytes as letters see letters.
      let letters = all.dropLast().firstIndex { $0.isByteLevel }
      return (
        all.enumerated().flatMap { $1.cuts + ($0 == letters ? [.byteLetters] : []) },
        all.contains { $0.isByteLevel }
      )
    case "ByteLevel":
      let space: [PreTokenizer] = part["add_prefix_space"]?.bool ?? true ? [.spaceBefore] : []
      return (space + (part["use_regex"]?.bool ?? true ? [.words(.gpt2)] : []), true)
    case "Digits": return ([.digits(single: part["individual_digits"]?.bool ?? false)], false)
    case "Punctuation":
      return ([.punctuation(try behavior(part["behavior"] ?? .string("Isolated")))], false)
    case "WhitespaceSplit": return ([.spaces], false)
    case "Whitespace": return ([.wordsAndSymbols], false)
    case "Metaspace":
      guard let symbol = part["replacement"]?.string?.unicodeScalars.first,
        let scheme = PreTokenizer.Scheme(
          rawValue: part["prepend_scheme"]?.string
            ?? (part["add_prefix_space"]?.bool ?? true ? "always" : "never"))
      else { throw other("the pre-tokenizer \(text(part))", "one with a replacement and a scheme") }
      return ([.metaspace(symbol, scheme, splits: part["split"]?.bool ?? true)], false)
    case "Split": return ([try split(part)], false)
    default:
      throw other(
        "the pre-tokenizer \(type)",
        "ByteLevel, Split, Digits, Punctuation, Metaspace, Whitespace, WhitespaceSplit or Sequence")
    }
  }

  private func split(_ part: JSONValue) throws -> PreTokenizer {
    let (how, inverts) = (try behavior(part["behavior"]), part["invert"]?.bool ?? false)
    if let fixed = part["pattern"]?["String"]?.string, !inverts {
      return .text(Array(fixed.unicodeScalars), how)
    }
    guard let expression = part["pattern"]?["Regex"]?.string else {
      throw other("the pre-tokenizer Split of \(text(part["pattern"]))", "a text or an expression")
    }
    if expression == "[0-9][0-9][0-9]", how == .isolated, !inverts { return .threeDigits }
    // Words are all of a text, so that what lies between them, which goes, is nothing.
    if let words = WordPattern(expression: expression),
      how == .isolated || how == .removed && inverts
    {
      return .words(words)
    }
    throw other(
      "a split at the expression \(expression)", "one of GPT-2, Llama 3, Qwen2 or Qwen3.5")
  }

  private func behavior(_ part: JSONValue?) throws -> SplitBehavior {
    guard let name = part?.string, let found = SplitBehavior(rawValue: name) else {
      throw other(
        "the behavior \(text(part))", "Isolated, Removed, MergedWithPrevious and the like")
    }
    return found
  }

  // MARK: After the model

  func ends(_ pieces: [[UInt8]?]) throws -> (before: [Int32], after: [Int32]) {
    try ends(json["post_processor"], pieces)
  }

  private func ends(
    _ part: JSONValue?, _ pieces: [[UInt8]?]
  ) throws -> (before: [Int32], after: [Int32]) {
    guard let part, part != .null else { return ([], []) }
    let type = part["type"]?.string ?? "none"
    switch type {
    case "ByteLevel": return ([], [])
    case "Sequence":
      let all = try (part["processors"]?.elements ?? []).map { try ends($0, pieces) }
      return (all.flatMap(\.before), all.flatMap(\.after))
    case "TemplateProcessing":
      var (before, after, isBehind) = ([Int32](), [Int32](), false)
      for item in part["single"]?.elements ?? [] {
        if item["Sequence"] != nil {
          isBehind = true
        } else if let name = item["SpecialToken"]?["id"]?.string {
          let listed = part["special_tokens"]?[name]?["ids"]?.elements?.compactMap(\.integer)
          for id in listed ?? [] {
            guard pieces.indices.contains(id) else { throw bad("'\(name)' has the id \(id)") }
            if isBehind { after.append(Int32(id)) } else { before.append(Int32(id)) }
          }
        }
      }
      return (before, after)
    default: throw other("the post-processor \(type)", "TemplateProcessing, ByteLevel or Sequence")
    }
  }

  func reading() throws -> (reading: TokenReading, isByteLevel: Bool) {
    var (reading, isByteLevel) = (TokenReading(), false)
    for part in Self.flat(json["decoder"], key: "decoders") {
      switch part["type"]?.string ?? "none" {
      case "ByteLevel": isByteLevel = true
      case "Fuse": break
      case "ByteFallback": reading.hasByteFallback = true
      case "Metaspace":
        reading.space = part["replacement"]?.string?.unicodeScalars.first
        reading.dropsFirstSpace =
          part["prepend_scheme"]?.string.map { $0 != "never" }
          ?? (part["add_prefix_space"]?.bool ?? true)
      case "Replace":
        guard part["content"]?.string == " ",
          let found = part["pattern"]?["String"]?.string?.unicodeScalars, found.count == 1
        else { throw other("the decoder \(text(part))", "the replacement of a symbol by a space") }
        reading.space = found.first
      case "Strip":
        guard part["content"]?.string == " ", part["start"]?.integer ?? 0 <= 1,
          part["stop"]?.integer ?? 0 == 0
        else { throw other("the decoder \(text(part))", "one space less at the start") }
        reading.dropsFirstSpace = part["start"]?.integer == 1
      case let type:
        throw other(
          "the decoder \(type)",
          "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip or Sequence")
      }
    }
    return (reading, isByteLevel)
  }

  private static func flat(_ part: JSONValue?, key: String) -> [JSONValue] {
    guard let part, part != .null else { return [] }
    guard part["type"]?.string == "Sequence" else { return [part] }
    return (part[key]?.elements ?? []).flatMap { flat($0, key: key) }
  }

  private func text(_ part: JSONValue?) -> String {
    (part?.text() ?? "nothing").split(separator: "\n").map { $0.drop { $0 == " " } }
      .joined(separator: " ")
  }
}
