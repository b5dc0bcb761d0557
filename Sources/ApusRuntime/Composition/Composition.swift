import ApusData
public import ApusModels
import ApusTensor

/// Whole models behind a router: a folder that every command takes in the place of a model's.
///
/// `coe.json` names the experts' folders, relative to its own, and `router.json` holds what the router has
/// learned. Experts are mapped one at a time.
public struct Composition: Sendable {
  /// The task of the experts.
  public enum Task: String, Codable, Sendable {
    /// Forecasting, or modeling a language.
    case forecast, language
  }

  /// One expert.
  public struct Expert: Codable, Sendable, Equatable {
    /// Its name in reports.
    public var name: String
    /// Its folder, relative to the composition's or absolute.
    public var path: String
    /// Bytes of its weights.
    public var bytes: Int

    /// Creates an expert.
    public init(name: String, path: String, bytes: Int) {
      (self.name, self.path, self.bytes) = (name, path, bytes)
    }
  }

  /// What `coe.json` says.
  struct Card: Codable {
    var format: Int? = ModelFolder.format
    /// The fingerprint of `router.json`; nil in compositions of format 1.
    var router: String?
    var task: Task
    var experts: [Expert]
    var lookBack: Int?
    var text: TextFeatures?
    var report: Router.Report?
  }

  /// The task of the experts.
  public let task: Task
  /// M of them.
  public let experts: [Expert]
  /// Chooses one.
  public let router: Router
  /// Rows that are looked at, for series.
  public let lookBack: Int?
  /// How requests become vectors, for texts.
  public let text: TextFeatures?
  /// How the router did on requests it had not seen.
  public let report: Router.Report?
  /// The composition's folder.
  let folder: String

  /// Puts the parts together.
  public init(
    task: Task, experts: [Expert], router: Router, lookBack: Int? = nil,
    text: TextFeatures? = nil, report: Router.Report? = nil, folder: String
  ) {
    (self.task, self.experts, self.router) = (task, experts, router)
    (self.lookBack, self.text, self.report, self.folder) = (lookBack, text, report, folder)
  }

  static let file = "coe.json"
  private static let routerFile = "router.json"

  init(_ json: JSONValue, in files: FolderFiles) throws {
    let path = files.path
    let card = try files.decoded(json, as: Card.self, from: Self.file)
    guard let routing = try files.json(Self.routerFile) else {
      throw ModelFolderError.missingFile(
        path: "\(path)/\(Self.routerFile)", purpose: "the composition's router")
    }
    guard card.router == nil || card.router == routing.fingerprint else {
      throw ModelFolderError.mixed(path: path, file: Self.routerFile)
    }
    let router = try files.decoded(routing, as: Router.self, from: Self.routerFile)
    let size = card.text?.size ?? SeriesFeatures.names.count
    guard (card.task == .language) == (card.text != nil),
      (1...1_048_576).contains(card.lookBack ?? 1),
      (card.task == .forecast) == (card.lookBack != nil), !card.experts.isEmpty
    else {
      throw ModelFolderError.damaged(path: "\(path)/\(Self.file)", reason: "its keys do not fit")
    }
    try router.validate(experts: card.experts.count, size: size)
    self.init(
      task: card.task, experts: card.experts, router: router, lookBack: card.lookBack,
      text: card.text, report: card.report, folder: path)
  }

  /// Writes the composition into its folder; both files are replaced together.
  ///
  /// - Throws: `FileError`; what stood there before stands.
  public func save() throws {
    let routing = try ModelFolder.encoded(router)
    let card = Card(
      router: try JSONValue(routing, name: Self.routerFile).fingerprint, task: task,
      experts: experts, lookBack: lookBack, text: text, report: report)
    try Files().commit(to: folder) { draft in
      try draft.write(Self.routerFile, routing)
      try draft.write(Self.file, ModelFolder.encoded(card))
    }
  }

  /// The folder of an expert.
  ///
  /// - Throws: ``ModelFolderError`` for what is missing or damaged.
  public func expert(_ number: Int) throws -> ModelFolder {
    let path = experts[number].path
    return try ModelFolder.open(path.hasPrefix("/") ? path : folder + "/" + path)
  }

  /// Decides about a series.
  ///
  /// - Parameter context: Measured values up to the origin; the last ``lookBack`` count.
  /// - Returns: The expert, and why.
  public func decide(series context: ArraySlice<Double>) -> Router.Decision {
    router.decide(SeriesFeatures.vector(context.suffix(lookBack ?? context.count)))
  }

  /// Decides about a text.
  ///
  /// - Parameter request: What is asked, without what is to be answered.
  /// - Returns: The expert, and why.
  public func decide(text request: String) -> Router.Decision {
    router.decide(text?.vector(request) ?? [])
  }

  /// The model that is to answer tokens: the expert that the router chooses by their text.
  ///
  /// - Throws: ``ModelFolderError``.
  func expert(for tokens: [Int32]) throws -> LanguageFolder {
    try require(.language)
    let base = try expert(router.base).language()
    guard let tokenizer = base.tokenizer else {
      throw ModelFolderError.missingFile(
        path: "\(base.path)/\(FolderFiles.card)", purpose: "a tokenizer")
    }
    let decision = decide(text: tokenizer.decode(tokens.prefix(512)))
    let chosen = try expert(decision.expert).language()
    guard chosen.tokenizer == tokenizer else {
      throw ModelFolderError.damaged(
        path: "\(chosen.path)/\(FolderFiles.card)",
        reason: "its tokenizer is not that of the other experts, so ids mean something else")
    }
    return chosen
  }

  /// Throws unless the composition does a task.
  func require(_ wanted: Task) throws {
    guard task == wanted else {
      throw ModelFolderError.wrongTask(
        path: folder, found: task.rawValue, expected: wanted.rawValue)
    }
  }
}

/// The experts of a composition in memory: the one at work, and no other.
///
/// Weights are mapped read-only, so what a change costs is what the new expert reads.
final class ExpertShelf<Model> {
  private let load: (Int) throws -> Model
  private var current: (number: Int, model: Model)?
  /// How often a model was mapped.
  private(set) var loads = 0

  init(load: @escaping (Int) throws -> Model) { self.load = load }

  /// The model of an expert, in the place of the one before.
  func model(_ number: Int) throws -> Model {
    if let current, current.number == number { return current.model }
    current = nil  // lets go before the next is mapped
    let model = try load(number)
    loads += 1
    current = (number, model)
    return model
  }
}
