import ApusModels
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Speed benchmark", .steadyMachine)
struct SpeedBenchmarkTests {
  private static let config = Data(
    """
    {"model_type": "gpt2", "vocab_size": 40, "n_embd": 16, "n_layer": 3, "n_head": 2,
     "n_positions": 64}
    """.utf8)

  private var benchmark: SpeedBenchmark {
    var benchmark = SpeedBenchmark()
    (benchmark.batch, benchmark.context, benchmark.runs) = (2, 48, 2)
    return benchmark
  }

  @Test("its figures fit together")
  func figures() throws {
    for result in [
      try benchmark.training(config: Self.config), try benchmark.prefill(config: Self.config),
    ] {
      #expect(result.batch == 2 && result.context == 48 && result.name == "transformer")
      #expect(result.parameters == 40 * 16 + 64 * 16 + 3 * (12 * 256 + 13 * 16) + 32)
      let tokens = Double(2 * 48) / (result.milliseconds / 1e3)
      #expect(abs(result.tokensPerSecond / tokens - 1) < 1e-9)
      #expect(result.gflops > 0 && result.shareOfLimit > 0 && result.shareOfLimit < 1.5)
      #expect(result.peakBytes > 4 * result.parameters)
      #expect(result.isa == Machine.instructionSet && result.threads == Machine.threads)
    }
  }

  @Test("recomputation needs less memory")
  func recomputation() throws {
    var deep = benchmark
    deep.context = 64
    let kept = try deep.training(config: Self.config)
    deep.recomputes = true
    let computed = try deep.training(config: Self.config)
    #expect(computed.peakBytes < kept.peakBytes)
  }

  @Test("attention is counted as seven products over the causal half")
  func attention() {
    var benchmark = benchmark
    benchmark.context = 96
    let result = benchmark.attention(heads: 2, headSize: 8)
    let pairs = Double(2 * 2 * 96 * 96 / 2)  // of batch, heads and the causal half
    let operations = 7 * 2 * pairs * 8
    #expect(abs(result.gflops * result.milliseconds * 1e6 / operations - 1) < 1e-9)
  }

  @Test("a context past the model's is refused")
  func context() {
    var long = benchmark
    long.context = 65
    #expect(throws: ConfigError.self) { try long.training(config: Self.config) }
  }

  @Test("its JSON has the published keys")
  func json() throws {
    let text = try benchmark.prefill(config: Self.config).json()
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    for key in ["tokens_per_second", "milliseconds", "gflops", "peak_bytes", "isa"] {
      #expect(object[key] != nil, "\(key)")
    }
    #expect(object["share_of_limit"] != nil)
  }
}
