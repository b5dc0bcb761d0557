public import ApusEvaluation
import ApusModels
public import ApusTensor
public import Foundation

/// The cost of a token by the length of the sequence, trained and run, for models of one size.
public struct CostByLength: Codable, Sendable {
  /// A task that is measured at every length.
  public enum Task: String, Codable, Sendable, CaseIterable {
    /// Forward, loss, backward and AdamW over the whole sequence.
    case train
    /// Reading the sequence, piece by piece, with the state carried along.
    case prefill
    /// One further token after so many.
    case decode
  }

  /// The machine.
  public var machine: MachineDescription
  /// D and blocks of every backbone.
  public var width: Int
  /// Blocks of the models.
  public var blocks: Int
  /// The lines of each task, by its name.
  public var tasks: [String: [CostLine]]

  /// These figures, and those that an earlier measurement has of other models and tasks.
  ///
  /// - Parameter earlier: What ``json()`` gave.
  /// - Returns: Both, models in the order of the registry.
  /// - Throws: ``CostError``.
  public func joined(with earlier: Data) throws -> CostByLength {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    guard let old = try? decoder.decode(CostByLength.self, from: earlier) else {
      throw CostError.noMeasurement
    }
    guard old.machine == machine, (old.width, old.blocks) == (width, blocks) else {
      throw CostError.otherConditions
    }
    var all = self
    all.tasks = old.tasks.merging(tasks) { before, now in
      let fresh = Set(now.map(\.name))
      return Architecture.all.compactMap { one in
        (fresh.contains(one.name) ? now : before).first { $0.name == one.name }
      }
    }
    return all
  }

  /// The result as JSON.
  public func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  /// The result as an SVG file, one panel per task.
  public func chart() -> String {
    costChart(
      Task.allCases.compactMap { task in tasks[task.rawValue].map { (task.rawValue, $0) } },
      caption: "Cost of a token by length: width \(width), \(blocks) blocks, batch 1, f32, "
        + "\(machine.threads) threads, \(machine.isa), \(machine.processor)")
  }
}

/// Why measurements cannot be joined.
public enum CostError: Error, Equatable {
  /// The earlier file holds something else.
  case noMeasurement
  /// Another machine, width or number of blocks.
  case otherConditions
}

extension CostError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what to do.
  public var description: String {
    switch self {
    case .noMeasurement:
      "The file to be updated is no measurement of costs by length. Give another --output."
    case .otherConditions:
      "The file to be updated is of another machine, or of another width or number of blocks. Give the "
        + "same sizes, or another --output."
    }
  }
}
