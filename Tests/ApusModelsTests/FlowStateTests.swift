import ApusModels
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("FlowState", .tags(.golden))
struct FlowStateTests {
  private static func model(_ fixture: PretrainedFixture) throws -> FlowState {
    try FlowState(FlowStateConfig(json: fixture.json), checkpoint: fixture.checkpoint)
  }

  @Test(
    "quantiles equal those of the package", arguments: ["flowstate", "flowstate-gated"],
    ["full", "long", "short", "odd", "gaps", "constant", "small", "season"])
  func equalsPackage(folder: String, name: String) throws {
    let fixture = try PretrainedFixture(folder)
    let context = try fixture.tensor("context.\(name)").values
    let steps = try fixture.tensor("quantiles.\(name)").shape[1]
    let rows = try Self.model(fixture).quantiles(
      after: context, steps: steps, season: name == "season" ? 12 : 1)
    try fixture.expect(rows, equal: "quantiles.\(name)", context: context)
  }

  @Test("forecasts every number of steps, each like the shorter ones as far as looks agree")
  func horizons() throws {
    let fixture = try PretrainedFixture("flowstate")
    let model = try Self.model(fixture)
    let context = try fixture.tensor("context.odd").values
    let patch = model.quantiles(after: context, steps: 6, season: 1)
    for steps in 1...26 {
      let found = model.quantiles(after: context, steps: steps, season: 1)
      #expect(found.count == steps && found.allSatisfy { $0.allSatisfy(\.isFinite) })
      // The first patch is one look, whatever follows.
      expectClose(
        found.prefix(6).flatMap { $0 }, patch.prefix(steps).flatMap { $0 }, absolute: 1e-4)
    }
  }

  @Test(
    "a stream goes on with its states: as the package up to its context, and on the last rows beyond"
  )
  func streams() throws {
    let fixture = try PretrainedFixture("flowstate")
    let model = try Self.model(fixture)
    var baseline = try Baseline.named(fixture.path, lookback: 1)
    let task = ForecastTask(horizon: 4, levels: [0.1, 0.3, 0.5, 0.7, 0.9], measure: .level)
    try baseline.fit([], task: task)
    let series = try fixture.tensor("context.long").values  // 400 of them; the model reads 160
    var stream = try baseline.stream(task)
    for (row, value) in series.enumerated() {
      stream.push(Double(value))
      guard row < 160 || row % 37 == 0 else { continue }
      let found = try stream.forecast().quantiles.flatMap { $0 }.map { Float($0) }
      // Which rows a forecast rests on: all so far, or from where the older state began.
      let past = series.prefix(row + 1)
      let candidates = row < 160 ? [row + 1] : Array(80...160)
      let distances = candidates.map { count in
        let expected = model.quantiles(after: Array(past.suffix(count)), steps: 4, season: 1)
        return zip(found, expected.flatMap { $0.sorted() }).map { abs($0 - $1) }.max() ?? 0
      }
      #expect((distances.min() ?? 1) < 1e-3, "row \(row)")
    }
  }

  @Test("a season says how long steps are")
  func seasons() throws {
    let fixture = try PretrainedFixture("flowstate")
    let model = try Self.model(fixture)
    var baseline = try Baseline.named(fixture.path, lookback: 1)
    let task = ForecastTask(
      horizon: 7, levels: [0.1, 0.3, 0.5, 0.7, 0.9], seasonLength: 12, measure: .level)
    try baseline.fit([], task: task)
    // At twice the length of a step the model reads 76 values for 7 steps.
    let context = Array(try fixture.tensor("context.season").values.prefix(76))
    let found = try baseline.forecasts(
      context.map(Double.init), origins: [context.count], task: task)[0]
    let expected = model.quantiles(after: context, steps: 7, season: 12)
    expectClose(
      found.quantiles.flatMap { $0 }.map { Float($0) }, expected.flatMap { $0.sorted() },
      absolute: 1e-3)
  }

  @Test("is a baseline by the path of its folder", arguments: ["flowstate", "flowstate-gated"])
  func isBaseline(folder: String) throws { try PretrainedFixture(folder).expectBaseline() }

  @Test("refuses folders whose weights do not fit")
  func refusesFolders() throws {
    try PretrainedFixture("flowstate").expectRefusals("model.encoder.layers.1.ssm.B_tilde_i")
  }

  @Test(
    "refuses configurations that it cannot compute",
    arguments: [
      #"{"context_length": 0}"#, #"{"context_length": 1e99}"#, #"{"scale_factor": 0}"#,
      #"{"scale_factor": -1}"#, #"{"scale_factor": 1e9}"#, #"{"scale_factor": "one"}"#,
      #"{"with_missing": false}"#, #"{"embedding_feature_dim": -8}"#,
      #"{"encoder_num_layers": 100000}"#, #"{"encoder_state_dim": 0}"#, #"{"mlp_type": "wide"}"#,
      #"{"decoder_patch_len": 0}"#, #"{"decoder_dim": 0}"#, #"{"decoder_dim": 1000000000000}"#,
      #"{"decoder_type": "spline"}"#, #"{"decoder_type": "four", "decoder_dim": 8}"#,
      #"{"quantiles": [0, 0.5]}"#, #"{"quantiles": {"0.5": 1}}"#,
    ])
  func refuses(json: String) {
    #expect(throws: ConfigError.self) { try FlowStateConfig(json: Data(json.utf8)) }
  }
}
