import ApusModels
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("TiRex", .tags(.golden))
struct TiRexTests {
  private static let contexts = [
    "full", "long", "short", "one", "odd", "gaps", "constant", "small",
  ]

  private static func model(_ fixture: PretrainedFixture) throws -> TiRex {
    try TiRex(TiRexConfig(json: fixture.json), checkpoint: fixture.checkpoint)
  }

  @Test(
    "quantiles equal those of the package, where it does not round to bfloat16", arguments: contexts
  )
  func equalsPackage(name: String) throws {
    let fixture = try PretrainedFixture("tirex")
    let context = try fixture.tensor("context.\(name)").values
    let steps = try fixture.tensor("quantiles.\(name)").shape[1]
    let rows = try Self.model(fixture).quantiles(after: [context], steps: steps)[0]
    try fixture.expect(
      rows, equal: "quantiles.\(name)", context: context, scalesBySize: true)
  }

  @Test("the package's own rounding moves its quantiles by far more", arguments: ["odd", "full"])
  func rounding(name: String) throws {
    let fixture = try PretrainedFixture("tirex")
    let (exact, rounded) = (
      try fixture.tensor("quantiles.\(name)").values, try fixture.tensor("rounded.\(name)").values
    )
    let context = try fixture.tensor("context.\(name)").values.suffix(160)
    let span = Double((context.max() ?? 0) - (context.min() ?? 0))
    let worst = zip(exact, rounded).map { Double(abs($0 - $1)) }.max() ?? 0
    #expect(worst > 1e-4 * span && worst < 0.05 * span)
  }

  @Test("a batch gives what each context gives alone")
  func batches() throws {
    let fixture = try PretrainedFixture("tirex")
    let model = try Self.model(fixture)
    let contexts = try Self.contexts.map { try fixture.tensor("context.\($0)").values }
    let many = (0..<5).flatMap { _ in contexts }  // more than pass together
    let found = model.quantiles(after: many, steps: 11)
    #expect(found.count == 40)
    for (number, context) in contexts.enumerated() {
      let alone = model.quantiles(after: [context], steps: 11)[0]
      for place in stride(from: number, to: many.count, by: contexts.count) {
        expectClose(found[place].flatMap { $0 }, alone.flatMap { $0 }, absolute: 1e-4)
      }
    }
  }

  @Test("is a baseline by the path of its folder")
  func isBaseline() throws { try PretrainedFixture("tirex").expectBaseline() }

  @Test("refuses folders whose weights do not fit")
  func refusesFolders() throws {
    try PretrainedFixture("tirex").expectRefusals("blocks.1.slstm_layer.igate.weight")
  }

  @Test(
    "refuses configurations that it cannot compute",
    arguments: [
      #"{"input_patch_size": 0}"#, #"{"output_patch_size": 16}"#, #"{"train_ctx_len": 2047}"#,
      #"{"train_ctx_len": 1e300}"#, #"{"train_ctx_len": -32}"#, #"{"quantiles": []}"#,
      #"{"quantiles": [0.5, 0.5]}"#, #"{"quantiles": "all"}"#, #"{"input_ff_dim": 99999999999}"#,
      #"{"block_kwargs": {"num_blocks": 0}}"#, #"{"block_kwargs": {"num_blocks": -3}}"#,
      #"{"block_kwargs": {"num_blocks": 2000000}}"#, #"{"block_kwargs": {"num_heads": 3}}"#,
      #"{"block_kwargs": {"embedding_dim": "wide"}}"#, #"{"block_kwargs": {"num_heads": 0}}"#,
      #"{"block_kwargs": {"ffn_proj_factor": 1e18}}"#, #"{"block_kwargs": 3}"#,
    ])
  func refuses(json: String) {
    #expect(throws: ConfigError.self) { try TiRexConfig(json: Data(json.utf8)) }
  }
}
