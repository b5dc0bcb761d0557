import Apus
import ApusTensor
import ArgumentParser
import Foundation

/// `apus bench`: the speed of random-weight models and kernels, and published tables of errors.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measures the speed of models and kernels, and the error of forecasts.",
    discussion: """
      EXAMPLE: apus bench train --config config.json --batch 8 --context 256 --precision bf16

      The config is a published config.json of any model_type that `apus models` lists. The figure is \
      the best of several runs after a warm-up; the share of the limit is measured against one large \
      matrix product in the same minute.
      """,
    subcommands: [
      Train.self, Prefill.self, Decode.self, Step.self, Attention.self, Scan.self, Experts.self,
      BenchForecastCommand.self, BenchVolatilityCommand.self, BenchReadCommand.self,
    ])

  /// How many sequences are measured at once.
  struct Sequences: ParsableArguments {
    @Option(parsing: .unconditional, help: "Sequences at once.")
    var batch = 8

    func validate() throws { try requireRange([("--batch", batch, 1...65536)]) }
  }

  /// How matrix products are made.
  struct Products: ParsableArguments {
    @Option(help: "Precision of matrix products: f32 or bf16.")
    var precision = Precision.float32
  }

  /// What every measurement takes.
  struct Shared: ParsableArguments {
    @Option(parsing: .unconditional, help: "Tokens of each sequence.")
    var context = 256
    @Option(parsing: .unconditional, help: "Runs to take the best of.")
    var runs = 5
    @OptionGroup var machine: MachineOptions

    func validate() throws {
      try requireRange([("--context", context, 1...4_194_304), ("--runs", runs, 1...1000)])
    }

    /// Measures and prints.
    func print(
      _ sequences: Sequences? = nil, _ products: Products? = nil,
      _ measure: (inout SpeedBenchmark) throws -> SpeedResult
    ) throws {
      machine.apply()
      var benchmark = SpeedBenchmark()
      (benchmark.context, benchmark.runs) = (context, runs)
      benchmark.batch = sequences?.batch ?? benchmark.batch
      benchmark.precision = products?.precision ?? benchmark.precision
      let result = try measure(&benchmark)
      try Printer.results.print(machine.json ? try result.json() : line(result))
    }

    private func line(_ result: SpeedResult) -> String {
      func rounded(_ value: Double, _ digits: Int) -> String {
        String(format: "%.\(digits)f", value)
      }
      let forward = result.forwardMilliseconds.map { " (forward \(rounded($0, 2)) ms)" } ?? ""
      let state = result.stateBytes.map { ", state \($0) bytes" } ?? ""
      let dense = result.timeOverDense.map { ", \(rounded($0, 2)) of a dense layer's time" } ?? ""
      return """
        \(result.name) \(result.task), \(result.batch) x \(result.context), \
        \(result.precision.rawValue), \(result.threads) threads, \(result.isa): \
        \(rounded(result.tokensPerSecond, 0)) tokens/s, \(rounded(result.milliseconds, 2)) ms\(forward), \
        \(rounded(result.gflops, 1)) GFLOP/s (\(rounded(result.shareOfLimit * 100, 0)) % of the limit), \
        peak \(rounded(Double(result.peakBytes) / 1_048_576, 0)) MiB\(state)\(dense)
        """
    }
  }

  /// The configuration of the model that is measured.
  struct ModelFile: ParsableArguments {
    @Option(help: "A published config.json.")
    var config: String

    /// Its content.
    func content() throws -> Data { Data(try Files.contents(of: config, limit: 16 << 20)) }
  }

  struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "train", abstract: "Steps of training.",
      discussion: "EXAMPLE: apus bench train --config config.json --precision bf16")
    @OptionGroup var model: ModelFile
    @Flag(help: "Train with blocks that keep only their input: less memory, one more forward pass.")
    var recompute = false
    @OptionGroup var sequences: Sequences
    @OptionGroup var products: Products
    @OptionGroup var shared: Shared

    func run() throws {
      try shared.print(sequences, products) {
        $0.recomputes = recompute
        return try $0.training(config: model.content())
      }
    }
  }

  struct Prefill: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "prefill", abstract: "Reading a prompt.",
      discussion: "EXAMPLE: apus bench prefill --config config.json --context 4096")
    @OptionGroup var model: ModelFile
    @OptionGroup var sequences: Sequences
    @OptionGroup var products: Products
    @OptionGroup var shared: Shared

    func run() throws {
      try shared.print(sequences, products) { try $0.prefill(config: model.content()) }
    }
  }

  struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "decode", abstract: "One token after another.",
      discussion: "EXAMPLE: apus bench decode --config config.json --batch 1")
    @OptionGroup var model: ModelFile
    @OptionGroup var sequences: Sequences
    @OptionGroup var products: Products
    @OptionGroup var shared: Shared

    func run() throws {
      try shared.print(sequences, products) { try $0.decoding(config: model.content()) }
    }
  }

  struct Step: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "step", abstract: "One live row through a forecaster.",
      discussion: "EXAMPLE: apus bench step --model mamba --width 128 --layers 4")
    @Option(help: "Architecture of the forecaster.")
    var model = "mamba"
    @Option(parsing: .unconditional, help: "Width of the forecaster.")
    var width = 128
    @Option(parsing: .unconditional, help: "Layers of the forecaster.")
    var layers = 4
    @OptionGroup var products: Products
    @OptionGroup var shared: Shared

    func validate() throws {
      try requireRange([("--width", width, 1...8192), ("--layers", layers, 1...256)])
    }

    func run() throws {
      try shared.print(nil, products) {
        try $0.step(architecture: model, width: width, layers: layers)
      }
    }
  }

  struct Attention: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "attention", abstract: "The kernel of exact attention.",
      discussion: "EXAMPLE: apus bench attention --heads 8 --head-size 64 --context 2048")
    @Option(parsing: .unconditional, help: "Heads.")
    var heads = 8
    @Option(parsing: .unconditional, help: "Features of a head.")
    var headSize = 64
    @OptionGroup var sequences: Sequences
    @OptionGroup var shared: Shared

    func validate() throws {
      try requireRange([("--heads", heads, 1...1024), ("--head-size", headSize, 1...256)])
    }

    func run() throws {
      try shared.print(sequences) { $0.attention(heads: heads, headSize: headSize) }
    }
  }

  struct Scan: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "scan", abstract: "The kernel of the selective scan.",
      discussion: "EXAMPLE: apus bench scan --channels 512 --states 16 --context 2048")
    @Option(parsing: .unconditional, help: "Channels.")
    var channels = 512
    @Option(parsing: .unconditional, help: "States of a channel.")
    var states = 16
    @OptionGroup var sequences: Sequences
    @OptionGroup var shared: Shared

    func validate() throws {
      try requireRange([("--channels", channels, 1...65536), ("--states", states, 1...1024)])
    }

    func run() throws {
      try shared.print(sequences) { $0.scan(channels: channels, states: states) }
    }
  }

  struct Experts: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "experts", abstract: "A layer of experts beside a dense one of the same work.",
      discussion: "EXAMPLE: apus bench experts --width 128 --experts 16 --per-token 4")
    @Option(parsing: .unconditional, help: "Width of the layer.")
    var width = 128
    @Option(parsing: .unconditional, help: "Experts of the layer.")
    var experts = 16
    @Option(parsing: .unconditional, help: "Experts of a token.")
    var perToken = 4
    @Option(parsing: .unconditional, help: "Features inside an expert. Default: the width.")
    var hidden: Int?
    @OptionGroup var sequences: Sequences
    @OptionGroup var products: Products
    @OptionGroup var shared: Shared

    func validate() throws {
      try requireRange([
        ("--width", width, 1...8192), ("--experts", experts, 1...1024),
        ("--per-token", perToken, 1...max(1, experts)), ("--hidden", hidden, 1...65536),
      ])
    }

    func run() throws {
      try shared.print(sequences, products) {
        $0.experts(width: width, hidden: hidden ?? width, experts: experts, perToken: perToken)
      }
    }
  }
}
