import ApusData
import ApusModels
import ApusNN
import ApusTensor

/// An ensemble on disk: its members with their weights in the mean; weights of networks are not loaded yet.
public struct EnsembleFolder: Sendable {
  /// The folder.
  public var path: String { weights.folder }
  /// How a file is read and how its rows become the members' input.
  public let recipe: FeatureRecipe
  /// The column it forecasts; empty when there was one only.
  public let target: String
  let members: MemberCards
  let history: [TimeSeries]
  let seen: Timestamp?
  let correction: ConformalCorrection?
  let weights: FolderWeights

  init(_ card: FolderCard, members: MemberCards, weights: FolderWeights) throws {
    func damaged(_ reason: String) -> ModelFolderError {
      .damaged(path: weights.folder + "/" + FolderFiles.card, reason: reason)
    }
    guard let recipe = card.recipe else { throw damaged("it has no recipe") }
    if let reason = members.obstacle(recipe) { throw damaged(reason) }
    for member in members.members {
      guard let baseline = member.baseline else { continue }
      if member.pretrained == nil { _ = try baseline.baseline() }
      try baseline.task.validate()
    }
    let asked = members.members[0]
    correction = try card.correction(
      horizon: asked.horizon, levels: asked.levels, in: weights.folder)
    (self.recipe, target, self.members) = (recipe, card.target ?? "", members)
    history = try (card.history ?? []).map { try $0.series(in: weights.folder) }
    seen = card.seen.map { Timestamp(secondsSinceEpoch: $0) }
    self.weights = weights
  }

  /// The members by name and weight.
  public var names: [(name: String, weight: Double)] {
    members.members.map { ($0.name, $0.weight) }
  }

  /// Loads the models.
  ///
  /// - Throws: ``ModelFolderError``, or what is wrong with a configuration or weights.
  func load() throws -> Model {
    let tensors = try weights.load()
    var parts: [Model.Part] = []
    for (number, member) in members.members.enumerated() {
      let prefix = MemberCards.prefix(number)
      let own = tensors.filter { $0.key.hasPrefix(prefix) }
        .map { (String($0.key.dropFirst(prefix.count)), $0.value) }
      let checkpoint = Dictionary(own, uniquingKeysWith: { one, _ in one })
      if let config = member.forecaster {
        parts.append(.trained(try Forecaster(config, in: Scope(checkpoint: checkpoint))))
      } else if let card = member.baseline {
        let rule = try member.pretrained.map { text in
          let config = try JSONValue(text.utf8, name: path + "/" + FolderFiles.card)
          return Baseline(
            card.name, try PretrainedWeights(config, checkpoint: checkpoint, at: path))
        }
        parts.append(.baseline(try rule ?? card.baseline(), card.task, lookback: card.lookback))
      }
    }
    return Model(
      parts, weights: members.members.map(\.weight), recipe: recipe, target: target,
      history: history, seen: seen, correction: correction)
  }
}

/// What `apus.json` says of the members of an ensemble.
struct MemberCards: Codable {
  /// One of them: a trained forecaster or a baseline.
  struct Member: Codable {
    var forecaster: ForecasterConfig?
    var baseline: BaselineCard?
    /// The configuration of a baseline that came trained, whose weights are in the folder; nil of the others.
    var pretrained: String?
    /// How much it counts, 1 all together.
    var weight: Double

    var hasWeights: Bool { forecaster != nil || pretrained != nil }
    var name: String { forecaster?.backbone.architecture.name ?? baseline?.name ?? "" }
    var horizon: Int { forecaster?.horizon ?? baseline?.task.horizon ?? 0 }
    var levels: [Double] { forecaster?.levels ?? baseline?.task.levels ?? [] }
  }

  /// In the order of their tensors' names.
  var members: [Member]

  init(_ model: Model) {
    members = zip(model.parts, model.weights).map { part, weight in
      switch part {
      case .trained(let forecaster): Member(forecaster: forecaster.config, weight: weight)
      case .baseline(let rule, let task, let lookback):
        Member(
          baseline: BaselineCard(name: rule.name, lookback: lookback, task: task),
          pretrained: rule.pretrained?.document.text(), weight: weight)
      }
    }
  }

  /// Before the names of a member's tensors.
  static func prefix(_ number: Int) -> String { "members.\(number)." }

  /// The weights of all members.
  static func tensors(of model: Model) -> [String: Tensor] {
    var tensors: [String: Tensor] = [:]
    for (number, part) in model.parts.enumerated() {
      for (name, tensor) in part.tensors { tensors[prefix(number) + name] = tensor }
    }
    return tensors
  }

  /// Why a file's members are none of one model; nil where they are.
  func obstacle(_ recipe: FeatureRecipe) -> String? {
    guard let first = members.first else { return "it has no members" }
    guard members.allSatisfy({ ($0.forecaster == nil) != ($0.baseline == nil) }) else {
      return "a member is neither a forecaster nor a baseline"
    }
    let total = members.reduce(0) { $0 + $1.weight }
    guard members.allSatisfy({ $0.weight >= 0 }), abs(total - 1) < 1e-6 else {
      return "the weights of its members do not sum to 1"
    }
    let configs = members.compactMap(\.forecaster)
    guard Set(configs.map(\.context)).count <= 1,
      members.allSatisfy({ $0.horizon == first.horizon && $0.levels == first.levels })
    else { return "its members do not forecast the same from the same rows" }
    guard
      configs.allSatisfy({
        $0.inputs == recipe.inputs && $0.known == recipe.known?.count ?? 0
          && $0.head.isOfCounts == (recipe.kind == .count)
      })
    else { return "its recipe makes other rows than its members read" }
    return nil
  }
}

extension Model.Part {
  /// The weights that a folder holds of it; none of a baseline that is fitted when it is asked.
  fileprivate var tensors: [String: Tensor] {
    switch self {
    case .trained(let forecaster): ModelFolder.named(forecaster.parameters)
    case .baseline(let rule, _, _): rule.pretrained?.tensors.mapValues { Tensor($0) } ?? [:]
    }
  }
}
