import ApusEvaluation
import ApusTensor
import Foundation

/// Every training run of the comparisons of a folder, a line of JSON each: how many things were tried is
/// what corrections for many tries need to know.
///
/// The file is replaced as a whole after each run, so that a crash leaves the lines before or after. A run of
/// the same key, such as one that was resumed, takes the place of its line. Lines that cannot be read, of a
/// later version or a damaged disk, stay as they are and are not counted.
final class TrialLog {
  private let path: String?
  private var lines: [(key: String?, text: String)] = []
  private var here: [Trial] = []

  /// Opens the log.
  ///
  /// - Parameter path: The file, which need not be there; nil for one that is kept in memory.
  /// - Throws: `FileError`.
  init(_ path: String?) throws {
    self.path = path
    guard let path, Files.kind(of: path) != nil else { return }
    let text = String(decoding: try Files.contents(of: path, limit: Self.mostBytes), as: UTF8.self)
    lines = text.split(separator: "\n").map { line in
      let trial = try? Self.decoder.decode(Trial.self, from: Data(line.utf8))
      return (trial?.key, String(line))
    }
  }

  private static let mostBytes = 1 << 28

  /// How many there are.
  var count: TrialCount {
    TrialCount(
      here: Set(here.map(\.key)).count, logged: Set(lines.compactMap(\.key)).count)
  }

  /// Takes in a run that ended.
  ///
  /// - Throws: `FileError`; what stood in the file before stands.
  func record(_ trial: Trial) throws {
    here.removeAll { $0.key == trial.key }
    here.append(trial)
    try set([trial])
  }

  /// Adds the test losses of models that were judged.
  ///
  /// - Parameters:
  ///   - rows: The rows of the table.
  ///   - seeds: The seeds of their losses.
  /// - Throws: `FileError`.
  func judge(_ rows: [ComparisonRow], seeds: [UInt64]) throws {
    var judged: [Trial] = []
    for row in rows {
      for (seed, loss) in zip(seeds, row.lossBySeed ?? []) {
        // The last run of a model and seed is the one that was judged.
        guard let place = here.lastIndex(where: { $0.model == row.name && $0.seed == seed }) else {
          continue
        }
        here[place].testLoss = loss
        judged.append(here[place])
      }
    }
    try set(judged)
  }

  private func set(_ trials: [Trial]) throws {
    for trial in trials {
      let text = String(decoding: try Self.encoder.encode(trial), as: UTF8.self)
      if let place = lines.firstIndex(where: { $0.key == trial.key }) {
        lines[place].text = text
      } else {
        lines.append((trial.key, text))
      }
    }
    guard let path, !trials.isEmpty else { return }
    try Files().replace(path, with: lines.map { $0.text + "\n" }.joined().utf8)
  }

  private static let encoder: JSONEncoder = {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return encoder
  }()

  private static let decoder: JSONDecoder = {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return decoder
  }()
}

extension Trial {
  /// A run as its training ended.
  ///
  /// - Parameters:
  ///   - model: The name of the model.
  ///   - identity: Model and data; `.none` where the model could not be made.
  ///   - trainer: How it was trained.
  ///   - settings: What else is worth telling, by name.
  ///   - status: How it ended.
  ///   - record: Its training; nil where there was none.
  init(
    _ model: String, identity: TaskIdentity, trainer: TrainerOptions, settings: [String: String],
    status: ComparisonRow.Status, record: TrainingRecord?
  ) {
    var settings = settings
    settings["learning_rate"] = "\(trainer.schedule.peak)"
    settings["budget_seconds"] = trainer.budget.seconds.map { "\($0)" }
    settings["budget_steps"] = trainer.budget.steps.map { "\($0)" }
    let parts =
      [model, identity.configuration, identity.dataSHA256, "\(trainer.seed)"]
      + settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    let digest = Digest.sha256(of: Data(parts.joined(separator: "\u{0}").utf8))
    self.init(
      key: String(digest.prefix(16)), model: model, settings: settings, seed: trainer.seed,
      status: status, steps: record?.steps ?? 0, seconds: record?.seconds ?? 0,
      validationLoss: record?.best?.validationLoss)
  }
}
