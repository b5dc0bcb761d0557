import ApusData
public import ApusModels
import ApusTensor
import Foundation

/// Whole models behind a router: a folder that every command takes in the place of a model's.
///
/// `coe.json` names the experts' folders, relative to its own, and `router.json` holds what the router has
/// learned. Experts are mapped one at a time.
public struct Composition: Sendable {
  /// What experts do.
  public enum Task: String, Codable, Sendable {
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
    var format = 1
    var task: Task
    var experts: [Expert]
    var lookBack: Int?
    var text: TextFeatures?
    var report: Router.Report?
  }

  /// What experts do.
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

  /// Whether a folder holds a composition.
  public static func isComposition(_ path: String) -> Bool { Files.isFile(path + "/coe.json") }

  /// Reads a composition.
  ///
  /// - Parameter path: Its folder.
  /// - Throws: ``ModelFolderError`` for what is missing or damaged, `RouterError`.
  public init(at path: String) throws {
    func decoded<Value: Decodable>(_ name: String, _ purpose: String) throws -> Value {
      let data = try ModelFolder.read(path + "/" + name, purpose: purpose)
      do {
        return try JSONDecoder().decode(Value.self, from: data)
      } catch {
        throw ModelFolderError.damaged(
          path: path + "/" + name, reason: "it is not what apus compose writes")
      }
    }
    let card: Card = try decoded("coe.json", "the composition's experts")
    let router: Router = try decoded("router.json", "the composition's router")
    let size = card.text?.size ?? SeriesFeatures.names.count
    guard (card.task == .language) == (card.text != nil), (card.lookBack ?? 1) > 0,
      (card.task == .forecast) == (card.lookBack != nil), !card.experts.isEmpty
    else {
      throw ModelFolderError.damaged(path: path + "/coe.json", reason: "its keys do not fit")
    }
    try router.validate(experts: card.experts.count, size: size)
    self.init(
      task: card.task, experts: card.experts, router: router, lookBack: card.lookBack,
      text: card.text, report: card.report, folder: path)
  }

  /// Writes the composition into its folder, `coe.json` last.
  ///
  /// - Throws: ``ModelFolderError/cannotCreate(path:reason:)``.
  public func save() throws {
    try ModelFolder.makeFolder(folder)
    try ModelFolder.write(ModelFolder.encoded(router), to: folder + "/router.json")
    let card = Card(
      task: task, experts: experts, lookBack: lookBack, text: text, report: report)
    try ModelFolder.write(ModelFolder.encoded(card), to: folder + "/coe.json")
  }

  /// The folder of an expert.
  public func path(ofExpert number: Int) -> String {
    let path = experts[number].path
    return path.hasPrefix("/") ? path : folder + "/" + path
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

  /// The folder of the model that is to answer tokens: of a composition the expert that its router
  /// chooses by their text, else the folder itself.
  ///
  /// - Throws: ``ModelFolderError``, `RouterError`.
  static func folder(at path: String, for tokens: [Int32]) throws -> String {
    guard isComposition(path) else { return path }
    let composition = try Composition(at: path)
    try composition.require(.language)
    let base = composition.path(ofExpert: composition.router.base)
    guard let tokenizer = try ModelFolder.tokenizer(at: base) else {
      throw ModelFolderError.missingFile(path: base + "/apus.json", purpose: "a tokenizer")
    }
    let decision = composition.decide(text: tokenizer.decode(tokens.prefix(512)))
    let folder = composition.path(ofExpert: decision.expert)
    guard try ModelFolder.tokenizer(at: folder) == tokenizer else {
      throw ModelFolderError.damaged(
        path: folder + "/apus.json",
        reason: "its tokenizer is not that of the other experts, so ids mean something else")
    }
    return folder
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
