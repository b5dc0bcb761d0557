import Apus
import ArgumentParser
import Foundation

/// `apus bench`: the speed of random-weight models and kernels.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measures the speed of a random-weight model or of a kernel.",
    discussion: """
      EXAMPLE: apus bench train --config config.json --batch 8 --context 256 --precision bf16

      The config is a published config.json of any model_type that `apus models` lists. The figure is
      the best of several runs after a warm-up; the share of the limit is measured against one large
      matrix product in the same minute.
      """)

  enum Task: String, ExpressibleByArgument, CaseIterable {
    case train, prefill, decode, step, attention, scan, experts
  }

  @Argument(help: "train, prefill, decode, step, attention, scan or experts.")
  var task: Task
  @Option(help: "A config.json; needed by train, prefill and decode.")
  var config: String?
  @Option(parsing: .unconditional, help: "Sequences at once.")
  var batch = 8
  @Option(parsing: .unconditional, help: "Tokens of each sequence.")
  var context = 256
  @Option(help: "Precision of matrix products: f32 or bf16.")
  var precision = Precision.float32
  @Flag(help: "Train with blocks that keep only their input: less memory, one more forward pass.")
  var recompute = false
  @Option(parsing: .unconditional, help: "Runs to take the best of.")
  var runs = 5
  @Option(parsing: .unconditional, help: "Heads, for attention.")
  var heads = 8
  @Option(parsing: .unconditional, help: "Features of a head, for attention.")
  var headSize = 64
  @Option(help: "Architecture of the forecaster, for step.")
  var model = "mamba"
  @Option(
    parsing: .unconditional, help: "Width of the forecaster, for step; of the layer, for experts.")
  var width = 128
  @Option(parsing: .unconditional, help: "Layers of the forecaster, for step.")
  var layers = 4
  @Option(parsing: .unconditional, help: "Channels, for scan.")
  var channels = 512
  @Option(parsing: .unconditional, help: "States of a channel, for scan.")
  var states = 16
  @Option(parsing: .unconditional, help: "Experts of a layer, for experts.")
  var experts = 16
  @Option(parsing: .unconditional, help: "Experts of a token, for experts.")
  var perToken = 4
  @Option(
    parsing: .unconditional,
    help: "Features inside an expert, for experts; the width when not given.")
  var hidden: Int?
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    for (name, value, most) in [
      ("--batch", batch, 65536), ("--context", context, 4_194_304), ("--runs", runs, 1000),
      ("--heads", heads, 1024), ("--head-size", headSize, 256), ("--channels", channels, 65536),
      ("--states", states, 1024), ("--width", width, 8192), ("--layers", layers, 256),
      ("--experts", experts, 1024), ("--per-token", perToken, experts),
      ("--hidden", hidden ?? width, 65536),
    ] where value < 1 || value > most {
      throw ValidationError("\(name) is \(value), but it must be in 1...\(most).")
    }
    if [.train, .prefill, .decode].contains(task), config == nil {
      throw ValidationError("bench \(task.rawValue) needs --config FILE, a published config.json.")
    }
  }

  func run() throws {
    machine.apply()
    var benchmark = SpeedBenchmark()
    (benchmark.batch, benchmark.context) = (batch, context)
    (benchmark.precision, benchmark.runs) = (precision, runs)
    benchmark.recomputes = recompute
    let result: SpeedResult
    switch task {
    case .train: result = try benchmark.training(config: try configData())
    case .prefill: result = try benchmark.prefill(config: try configData())
    case .decode: result = try benchmark.decoding(config: try configData())
    case .step:
      result = try benchmark.step(architecture: model, width: width, layers: layers)
    case .attention: result = benchmark.attention(heads: heads, headSize: headSize)
    case .scan: result = benchmark.scan(channels: channels, states: states)
    case .experts:
      result = benchmark.experts(
        width: width, hidden: hidden ?? width, experts: experts, perToken: perToken)
    }
    print(machine.json ? try result.json() : line(result))
  }

  private func configData() throws -> Data {
    Data(try Files.contents(of: config ?? "", limit: 16 << 20))
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
