import ApusModels
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Chronos-2", .tags(.golden))
struct Chronos2Tests {
  private static func model(_ fixture: PretrainedFixture) throws -> Chronos2 {
    try Chronos2(Chronos2Config(json: fixture.json), checkpoint: fixture.checkpoint)
  }

  /// The series of a group in the fixture.
  private static func group(_ fixture: PretrainedFixture, _ name: String) throws
    -> [Chronos2.Variate]
  {
    let (past, future) = (
      try fixture.tensor("context.\(name)"), try fixture.tensor("future.\(name)")
    )
    let (rows, steps) = (past.shape[1], future.shape[1])
    return (0..<past.shape[0]).map { series in
      Chronos2.Variate(
        Array(past.values[series * rows..<(series + 1) * rows]),
        future: Array(future.values[series * steps..<(series + 1) * steps]))
    }
  }

  @Test(
    "quantiles equal those of the package",
    arguments: ["full", "long", "short", "one", "odd", "gaps", "constant", "small"])
  func equalsPackage(name: String) throws {
    let fixture = try PretrainedFixture("chronos-2")
    let context = try fixture.tensor("context.\(name)").values
    let steps = try fixture.tensor("quantiles.\(name)").shape[1]
    let rows = try Self.model(fixture).quantiles(of: [.init(context)], steps: steps)[0]
    try fixture.expect(rows, equal: "quantiles.\(name)", context: context)
  }

  @Test(
    "series of a group see each other, and covariates of the past and of the future",
    arguments: ["pair", "known"])
  func groups(name: String) throws {
    let fixture = try PretrainedFixture("chronos-2")
    let group = try Self.group(fixture, name)
    let expected = try fixture.tensor("quantiles.\(name)")  // [targets, Q, P]
    let (targets, levels, steps) = (expected.shape[0], expected.shape[1], expected.shape[2])
    let found = try Self.model(fixture).quantiles(of: group, steps: steps)
    for target in 0..<targets {
      let own = Array(
        expected.values[target * levels * steps..<(target + 1) * levels * steps])
      let present = group[target].values.filter(\.isFinite)
      let span = Double((present.max() ?? 0) - (present.min() ?? 0))
      let size = Double(present.map(abs).max() ?? 0)
      let rows = found[target]
      expectClose(
        (0..<levels).flatMap { level in rows.map { $0[level] } }, own,
        absolute: 2e-5 * span + 1e-6 * size)
    }
    let alone = try Self.model(fixture).quantiles(of: [group[0]], steps: steps)[0]
    #expect(zip(alone, found[0]).contains { $0 != $1 })
  }

  @Test("the order of a group's series does not matter")
  func order() throws {
    let fixture = try PretrainedFixture("chronos-2")
    let group = try Self.group(fixture, "known")
    let model = try Self.model(fixture)
    let (one, other) = (
      model.quantiles(of: group, steps: 8), model.quantiles(of: group.reversed(), steps: 8)
    )
    expectClose(one[0].flatMap { $0 }, other[2].flatMap { $0 }, absolute: 1e-3)
  }

  @Test("is a baseline by the path of its folder")
  func isBaseline() throws { try PretrainedFixture("chronos-2").expectBaseline() }

  @Test("refuses folders whose weights do not fit")
  func refusesFolders() throws {
    try PretrainedFixture("chronos-2").expectRefusals(
      "encoder.block.1.layer.1.self_attention.k.weight")
  }

  @Test(
    "refuses configurations that it cannot compute",
    arguments: [
      #"{"d_model": 0}"#, #"{"d_kv": 5}"#, #"{"d_kv": 512}"#, #"{"num_layers": -1}"#,
      #"{"num_heads": 9999999999999999999}"#, #"{"rope_theta": 0}"#, #"{"rope_theta": "big"}"#,
      #"{"feed_forward_proj": "gated-gelu"}"#, #"{"layer_norm_epsilon": -1}"#,
      #"{"chronos_config": {"input_patch_stride": 8}}"#,
      #"{"chronos_config": {"output_patch_size": 8}}"#,
      #"{"chronos_config": {"max_output_patches": 0}}"#,
      #"{"chronos_config": {"context_length": 1e30}}"#,
      #"{"chronos_config": {"time_encoding_scale": 0}}"#,
      #"{"chronos_config": {"quantiles": [0.9, 0.1]}}"#, #"{"chronos_config": [1]}"#,
    ])
  func refuses(json: String) {
    #expect(throws: ConfigError.self) { try Chronos2Config(json: Data(json.utf8)) }
  }
}
