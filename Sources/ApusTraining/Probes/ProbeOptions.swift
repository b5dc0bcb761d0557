public import ApusTensor
public import ApusModels
public import Foundation

/// The synthetic tasks from the papers.
public enum ProbeKind: String, Codable, Sendable, CaseIterable {
  /// See `InductionHeads`.
  case induction
  /// See `SelectiveCopying`.
  case selectiveCopy = "selective-copy"
  /// See `AssociativeRecall`.
  case recall = "mqar"
  /// See `ListOps`.
  case listOps = "listops"
}

/// A probe: a task, a small model, how it is trained, and at which lengths it is judged.
///
/// As JSON it is a recipe: the keys are these names in snake case, and what a recipe leaves out is as
/// ``init(_:model:)`` has it.
public struct ProbeOptions: Codable, Sendable, Hashable {
  /// The task.
  public var task: ProbeKind
  /// A registered architecture.
  public var model: String
  /// Keys of the model's configuration that differ from what its size gives.
  public var settings: [String: ConfigValue] = [:]
  /// Width of the backbone.
  public var width = 64
  /// Layers of the backbone, as it counts them.
  public var layers = 2
  /// The look-back of architectures that have one; the longest sequence when nil.
  public var context: Int?
  /// How a classifier, of ListOps, pools.
  public var pooling = ClassifierConfig.Pooling.mean

  /// The length of training examples, and of validation.
  public var length: Int
  /// Where given, every step draws its length between this and ``length``, evenly in the logarithm: on
  /// short examples a task shows sooner, and they cost less. The papers train at one length.
  public var shortest: Int?
  /// For how many steps that holds; after them all examples have the full length. All steps when nil.
  public var shortSteps: Int?
  /// Token ids; of no meaning to ListOps.
  public var vocabulary: Int
  /// Tokens to copy, or pairs to recall.
  public var items: Int
  /// Whether places of MQAR where nothing stands hold any token.
  public var randomFill = false
  /// Depth of ListOps' trees.
  public var depth = 10
  /// ListOps' examples are longer than this share of the length.
  public var minimumShare = 0.25

  /// Training examples of one step.
  public var batch: Int
  /// Steps at most.
  public var steps = 20_000
  /// Seconds at most; nil for no limit. A limit makes the result depend on the machine's speed.
  public var seconds: Double?
  /// The learning rate after the rise.
  public var learningRate = 1e-3
  /// How it falls.
  public var decay = Schedule.Decay.constant
  /// Steps of its rise.
  public var warmup = 0
  /// Weight decay of matrices; with 0, AdamW is Adam.
  public var weightDecay = 0.0
  /// Adam's β₂.
  public var beta2 = 0.999
  /// Adam's ε. Gradients far below it move nothing.
  public var epsilon = 1e-8
  /// The largest norm of the gradient; nil for no limit.
  public var clip: Double? = 1
  /// Of weights and examples.
  public var seed: UInt64 = 0
  /// Steps between validations.
  public var validateEvery = 250
  /// Examples of a validation, of the training length and not seen in training.
  public var validationExamples = 256
  /// How many validations in a row without an error end the training; 0 never does.
  public var patience = 2

  /// The lengths at which the trained model is evaluated.
  public var lengths: [Int]
  /// Examples of every length at most.
  public var examples = 256
  /// Tokens of every length at most, but one example at least.
  public var tokens = 4_194_304

  /// The settings of the papers where a laptop can follow, else smaller ones.
  public init(_ task: ProbeKind, model: String) {
    self.task = task
    self.model = model
    switch task {
    case .induction:
      (length, vocabulary, items, batch) = (256, 16, 1, 8)
      lengths = (6...12).map { 1 << $0 }
    case .selectiveCopy:
      (length, vocabulary, items, batch) = (256, 16, 8, 32)
      lengths = [64, 128, 256, 512]
    case .recall:
      (length, vocabulary, items, batch) = (64, 8192, 4, 128)
      lengths = [64, 128, 256]
    case .listOps:
      (length, vocabulary, items, batch) = (200, 16, 1, 32)
      (depth, minimumShare) = (6, 0.1)
      lengths = [50, 100, 200]
    }
  }

  /// Reads a recipe.
  ///
  /// - Throws: ``ProbeOptionsError``.
  public init(recipe: Data) throws {
    guard let given = try? JSONValue(recipe, name: "recipe"), let members = given.members else {
      throw ProbeOptionsError.notAnObject
    }
    guard let task = given["task"]?.string.flatMap(ProbeKind.init),
      let model = given["model"]?.string
    else { throw ProbeOptionsError.noTask(known: ProbeKind.allCases.map(\.rawValue)) }
    var merged = try JSONValue(encoding: ProbeOptions(task, model: model), keys: .snakeCase)
    let known = (merged.members ?? []).map(\.key).sorted()
    for member in members {
      guard known.contains(member.key) else {
        throw ProbeOptionsError.unknownKey(member.key, known: known)
      }
      merged = merged.setting(member.key, to: member.value)
    }
    do {
      self = try merged.decoded(as: Self.self, path: "recipe", keys: .snakeCase)
    } catch JSONFileError.wrongValue(_, let key, let problem) {
      throw ProbeOptionsError.wrongValue(key: key, reason: problem)
    }
    try validate()
  }

  /// Throws ``ProbeOptionsError`` for numbers that make no probe; what concerns the task or the model is
  /// checked where they are made.
  public func validate() throws {
    for (key, value, range) in [
      ("width", width, 1...8192), ("layers", layers, 1...256), ("length", length, 1...4_194_304),
      ("shortest", shortest ?? 1, 1...max(1, length)),
      ("short_steps", shortSteps ?? 0, 0...Int(Int32.max)),
      ("batch", batch, 1...65536), ("steps", steps, 0...Int(Int32.max)),
      ("warmup", warmup, 0...Int(Int32.max)), ("validate_every", validateEvery, 1...Int(Int32.max)),
      ("validation_examples", validationExamples, 1...1_048_576),
      ("patience", patience, 0...1_000_000), ("examples", examples, 1...1_048_576),
      ("tokens", tokens, 1...Int(Int32.max)), ("context", context ?? 1, 1...4_194_304),
      ("lengths", lengths.min() ?? 1, 1...4_194_304),
      ("lengths", lengths.max() ?? 1, 1...4_194_304),
    ] {
      guard range.contains(value) else {
        throw ProbeOptionsError.wrongValue(
          key: key, reason: "\(value) is not in \(range.lowerBound)...\(range.upperBound)")
      }
    }
    guard minimumShare >= 0, minimumShare < 1 else {
      throw ProbeOptionsError.wrongValue(
        key: "minimum_share", reason: "\(minimumShare) is not in 0..<1")
    }
  }
}

/// An error of a recipe.
public enum ProbeOptionsError: Error, Equatable {
  /// The text is no JSON object.
  case notAnObject
  /// Task or model are missing.
  case noTask(known: [String])
  /// A key means nothing.
  case unknownKey(String, known: [String])
  /// A value cannot be.
  case wrongValue(key: String, reason: String)
  /// A context for a model that has no look-back, or whose settings say it.
  case noLookBack(model: String)
}

extension ProbeOptionsError: ApusError {
  public var exitStatus: ExitStatus { .usage }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .notAnObject: "The recipe is no JSON object. Compare it with those in Recipes."
    case .noTask(let known):
      "The recipe has no 'model', or no 'task' out of \(known.joined(separator: ", ")). Add them."
    case .unknownKey(let key, let known):
      """
      The recipe's key '\(key)' means nothing.\(suggestion(for: key, among: known)) \
      Known keys: \(known.joined(separator: ", ")).
      """
    case .wrongValue(let key, let reason):
      "The probe's '\(key)' cannot be used: \(reason). Give another value."
    case .noLookBack(let model):
      "A context changes nothing: \(model) has no look-back beyond its settings. Leave it out."
    }
  }
}
