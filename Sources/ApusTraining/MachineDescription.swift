import Foundation
import ApusTensor

/// The version of Apus.
public enum ApusVersion {
  /// As in the changelog.
  public static let current = "0.1.0"
}

/// The machine and the program, as `apus env` and run records show them.
public struct MachineDescription: Codable, Sendable, Equatable {
  /// The version of Apus.
  public var apus: String
  /// The operating system.
  public var system: String
  /// The name of the processor.
  public var processor: String
  /// Cores of the processor.
  public var cores: Int
  /// Threads of the kernels.
  public var threads: Int
  /// Bytes of main memory.
  public var memoryBytes: UInt64
  /// The vector instruction set of the kernels, and those to choose from.
  public var isa: String
  /// The vector instruction sets to choose from.
  public var availableIsas: [String]
  /// The instruction set of the matrix products.
  public var productIsa: String
  /// Whether the processor multiplies bfloat16.
  public var bfloat16Products: Bool

  /// This machine, now.
  public static var current: MachineDescription {
    let process = ProcessInfo.processInfo
    return MachineDescription(
      apus: ApusVersion.current, system: process.operatingSystemVersionString,
      processor: processorName, cores: process.activeProcessorCount, threads: Machine.threads,
      memoryBytes: process.physicalMemory, isa: Machine.instructionSet,
      availableIsas: Machine.availableInstructionSets, productIsa: Machine.productInstructionSet,
      bfloat16Products: Machine.hasBFloat16Products)
  }

  /// Names and values, one per line of a listing.
  public var lines: [(name: String, value: String)] {
    [
      ("apus", apus), ("system", system), ("processor", processor), ("cores", "\(cores)"),
      ("threads", "\(threads)"), ("memory", "\(memoryBytes / 1_073_741_824) GiB"),
      ("kernels", "\(isa) (available: \(availableIsas.joined(separator: ", ")))"),
      ("matrix products", "oneDNN with \(productIsa)"),
      ("bfloat16 products", bfloat16Products ? "in hardware" : "not in hardware: f32 instead"),
    ]
  }

  private static var processorName: String {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    for line in text.split(separator: "\n") where line.hasPrefix("model name") {
      return line.split(separator: ":").dropFirst().joined(separator: ":")
        .trimmingCharacters(in: .whitespaces)
    }
    return "unnamed"
  }
}
