import Apus
import ArgumentParser
import Foundation

/// `apus convert`: one published folder to another.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Saves a model's folder again, in another type or in shards.",
    discussion: """
      EXAMPLE: apus convert gpt2 --output gpt2-bf16 --dtype bf16 --shard-size 2GB

      Tokenizer and other settings are copied, and config.json keeps the keys of other programs.
      """)

  enum Kind: String, ExpressibleByArgument, CaseIterable {
    case f32, bf16, f16

    var dtype: DType {
      switch self {
      case .f32: .float32
      case .bf16: .bfloat16
      case .f16: .float16
      }
    }
  }

  @Argument(help: "The folder of a language model or an encoder.")
  var model: String
  @Option(help: "The folder to write.")
  var output: String
  @Option(help: "The type of the weights: f32, bf16 or f16.")
  var dtype = Kind.f32
  @Option(help: "The most bytes of one file of weights, such as 500MB or 5GB. Default: one file.")
  var shardSize: String?
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if let shardSize, Self.bytes(shardSize) == nil {
      throw ValidationError("--shard-size is '\(shardSize)', but it must be like 500MB or 5GB.")
    }
  }

  func run() throws {
    machine.apply()
    let format = WeightFormat(
      dtype: dtype.dtype, largestShard: shardSize.flatMap(Self.bytes))
    try ModelFolder.convert(model, to: output, format: format)
    let made = try ModelInspection(at: output)
    guard !machine.json else {
      return try Printer.results.print(
        try jsonText(
          Result(output: output, parameters: made.parameters, bytes: made.bytesOnDisk)))
    }
    try Printer.results.print(
      "\(output): \(made.parameters) parameters, \(made.bytesOnDisk) bytes in \(made.shards.count) files"
    )
  }

  private struct Result: Encodable {
    let output: String
    let parameters, bytes: Int
  }

  /// A number of bytes, with KB, MB or GB in powers of 1000 behind it or not.
  private static func bytes(_ text: String) -> Int? {
    let units = ["GB": 1_000_000_000, "MB": 1_000_000, "KB": 1000, "B": 1, "": 1]
    let number = text.prefix { $0.isASCII && $0.isNumber }
    guard let unit = units[text.dropFirst(number.count).uppercased()],
      let value = Int(number), value > 0
    else { return nil }
    let (bytes, overflow) = value.multipliedReportingOverflow(by: unit)
    return overflow ? nil : bytes
  }
}
