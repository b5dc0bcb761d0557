import ApusModels
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Chronos-Bolt", .tags(.golden))
struct ChronosBoltTests {
  private static func model() throws -> ChronosBolt {
    let folder = try fixturePath("pretrained/chronos-bolt")
    let config = try ChronosBoltConfig(
      json: Data(contentsOf: URL(filePath: folder + "/config.json")))
    let checkpoint = try Safetensors.load(folder + "/model.safetensors")
    return try ChronosBolt(config, checkpoint: checkpoint)
  }

  @Test(
    "quantiles equal those of the package",
    arguments: ["full", "long", "short", "one", "odd", "gaps", "constant", "small"])
  func equalsPackage(name: String) throws {
    let model = try Self.model()
    let golden = try Safetensors.load(fixturePath("pretrained/chronos-bolt") + "/case.safetensors")
    let context = try #require(golden["context.\(name)"]).values
    let expected = try #require(golden["quantiles.\(name)"])  // [Q, P]
    let (levels, steps) = (expected.shape[0], expected.shape[1])
    let rows = model.quantiles(after: context, steps: steps)
    let found = (0..<levels).flatMap { level in rows.map { $0[level] } }
    // Of the deviation of what was read: the published model rounds to float where it scales back.
    let present = context.suffix(160).filter(\.isFinite)
    let span = Double((present.max() ?? 0) - (present.min() ?? 0))
    let size = Double(present.map(abs).max() ?? 0)
    expectClose(found, expected.values, absolute: 2e-5 * span + 1e-6 * size)
  }

  @Test("is a baseline by the path of its folder")
  func isBaseline() throws {
    let path = try fixturePath("pretrained/chronos-bolt")
    var baseline = try Baseline.named(path, lookback: 3)
    #expect(baseline.name == path)
    let series = (0..<90).map { (row: Int) -> Double in
      row % 11 == 3 ? .nan : 50 + 10 * sin(Double(row) * 0.7)
    }
    let task = ForecastTask(horizon: 8, levels: [0.05, 0.3, 0.5, 0.95], measure: .level)
    try baseline.fit(series, task: task)
    let forecasts = try baseline.forecasts(series, origins: [1, 40, 90], task: task)
    for (origin, forecast) in zip([1, 40, 90], forecasts) {
      let rows = try Self.model().quantiles(
        after: series.prefix(origin).map { Float($0) }, steps: 8)
      #expect(forecast.quantiles.count == 8)
      for (quantiles, row) in zip(forecast.quantiles, rows) {
        #expect(quantiles == quantiles.sorted() && quantiles.count == 4)
        let sorted = row.sorted().map(Double.init)
        #expect(quantiles[0] == sorted[0] && quantiles[3] == sorted[4])
        #expect(abs(quantiles[1] - sorted[1]) < 1e-6 && abs(quantiles[2] - sorted[2]) < 1e-6)
      }
      #expect(forecast.mean == rows.map { Double($0[2]) })  // the median
    }
  }

  @Test("does not see what comes after an origin, and scales with its series")
  func equivariance() throws {
    var baseline = try Baseline.pretrained(at: fixturePath("pretrained/chronos-bolt"))
    let series = (0..<70).map { (row: Int) -> Double in
      3 + sin(Double(row)) + Double(row * row % 7)
    }
    let task = ForecastTask(horizon: 4, measure: .level)
    try baseline.fit([], task: task)
    let expected = try baseline.forecasts(series, origins: [50], task: task)[0]
    let changed = series.enumerated().map { $0 < 50 ? $1 : -999 }
    #expect(try baseline.forecasts(changed, origins: [50], task: task)[0] == expected)
    let scaled = try baseline.forecasts(
      series.map { 1000 * $0 }, origins: [50], task: task)[0]
    for (one, other) in zip(expected.mean, scaled.mean) {
      #expect(abs(1000 * one - other) < 1e-2 * abs(other) + 1)
    }
  }

  @Test("forecasts volatilities that are not negative")
  func volatilities() throws {
    var baseline = try Baseline.pretrained(at: fixturePath("pretrained/chronos-bolt"))
    let task = ForecastTask(horizon: 10, measure: .volatility)
    try baseline.fit([], task: task)
    let series = (0..<60).map { (row: Int) -> Double in
      row % 9 == 0 ? 0 : 0.01 * (1.2 + sin(Double(row)))
    }
    let forecast = try baseline.forecasts(series, origins: [60], task: task)[0]
    #expect(forecast.quantiles.allSatisfy { $0.allSatisfy { $0 > 0 } })
  }

  @Test(
    "refuses configurations that it cannot compute",
    arguments: [
      #"{"feed_forward_proj": "gated-gelu"}"#, #"{"num_heads": 0}"#,
      #"{"relative_attention_num_buckets": 6}"#, #"{"relative_attention_max_distance": 8}"#,
      #"{"decoder_start_token_id": 5}"#, #"{"chronos_config": {"quantiles": [0.5, 0.2]}}"#,
      #"{"chronos_config": {"input_patch_stride": 0}}"#,
      #"{"chronos_config": {"prediction_length": -1}}"#,
    ])
  func refuses(json: String) {
    #expect(throws: ConfigError.self) { try ChronosBoltConfig(json: Data(json.utf8)) }
  }

  @Test("names what is missing in a folder")
  func brokenFolders() throws {
    try withTemporaryFolder { folder in
      #expect(throws: PretrainedError.notPretrained(path: folder)) {
        try Baseline.pretrained(at: folder)
      }
      let from = try fixturePath("pretrained/chronos-bolt")
      try Data(contentsOf: URL(filePath: from + "/config.json"))
        .write(to: URL(filePath: folder + "/config.json"))
      #expect(throws: (any Error).self) { try Baseline.pretrained(at: folder) }
      #expect(throws: (any Error).self) { try Baseline.named(folder, lookback: 1) }
      var tensors = try Safetensors.load(from + "/model.safetensors")
      tensors["decoder.block.0.layer.1.EncDecAttention.q.weight"] = nil
      try Safetensors.save(tensors, to: folder + "/model.safetensors")
      #expect(throws: (any Error).self) { try Baseline.pretrained(at: folder) }
    }
  }
}
