import ApusModels
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// A folder of a tiny pretrained forecaster, and what its package made of some contexts.
struct PretrainedFixture {
  let path: String
  private let golden: [String: Tensor]

  init(_ name: String) throws {
    path = try fixturePath("pretrained/" + name)
    golden = try Safetensors.load(path + "/case.safetensors")
  }

  var json: Data { get throws { try Data(contentsOf: URL(filePath: path + "/config.json")) } }

  var checkpoint: [String: Tensor] {
    get throws { try Safetensors.load(path + "/model.safetensors") }
  }

  /// `context.<name>`, `quantiles.<name>` and the like.
  func tensor(_ name: String) throws -> Tensor { try #require(golden[name]) }

  /// Compares quantiles `[P][Q]` with those of the package, `[Q, P]`: the error is at most 2e-5 of what the
  /// model scales by, and rounding to float where it scales back. Where `scalesBySize`, that is the size of
  /// a flat context; else its span, 0.
  func expect(
    _ rows: [[Float]], equal name: String, context: [Float], scalesBySize: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let expected = try tensor(name)
    let (levels, steps) = (expected.shape[0], expected.shape[1])
    try #require(rows.count == steps && rows.allSatisfy { $0.count == levels })
    let present = context.suffix(160).filter(\.isFinite)
    let span = Double((present.max() ?? 0) - (present.min() ?? 0))
    let size = Double(present.map(abs).max() ?? 0)
    expectClose(
      (0..<levels).flatMap { level in rows.map { $0[level] } }, expected.values,
      absolute: 2e-5 * (scalesBySize && span == 0 ? size : span) + 1e-6 * size,
      sourceLocation: sourceLocation)
  }

  /// Seventy values that are no package's.
  static let series = (0..<70).map { (row: Int) -> Double in
    row % 11 == 3 ? .nan : 50 + 10 * sin(Double(row) * 0.7)
  }

  /// What every pretrained baseline does: it gives its model's quantiles at all levels, does not see what comes
  /// after an origin, scales with its series, keeps volatilities above 0, and streams as it forecasts.
  func expectBaseline(sourceLocation: SourceLocation = #_sourceLocation) throws {
    var baseline = try Baseline.named(path, lookback: 3)
    #expect(baseline.name == path, sourceLocation: sourceLocation)
    let task = ForecastTask(horizon: 9, levels: [0.05, 0.3, 0.4, 0.95], measure: .level)
    try baseline.fit([], task: task)
    let (series, origins) = (Self.series, [1, 17, 40, 70])
    let found = try baseline.forecasts(series, origins: origins, task: task)
    let changed = series.enumerated().map { $0 < 40 ? $1 : -999 }
    let scaled = try baseline.forecasts(series.map { 1000 * $0 }, origins: origins, task: task)
    #expect(
      try baseline.forecasts(changed, origins: [40], task: task) == [found[2]],
      sourceLocation: sourceLocation)
    for (forecast, larger) in zip(found, scaled).dropFirst() {
      #expect(forecast.quantiles.count == 9 && forecast.mean.count == 9)
      #expect(forecast.quantiles.allSatisfy { $0.count == 4 && $0 == $0.sorted() })
      for (one, other) in zip(forecast.mean, larger.mean) {
        #expect(abs(1000 * one - other) < 1e-3 * abs(other) + 1, sourceLocation: sourceLocation)
      }
    }
    var stream = try baseline.stream(task)
    for (row, value) in series.enumerated() {
      stream.push(value)
      if let place = origins.firstIndex(of: row + 1) {
        #expect(try stream.forecast() == found[place], sourceLocation: sourceLocation)
      }
    }
    let variances = (0..<60).map { (row: Int) -> Double in
      row % 9 == 0 ? 0 : 0.01 * (1.2 + sin(Double(row)))
    }
    let positive = ForecastTask(horizon: 10, measure: .volatility)
    try baseline.fit([], task: positive)
    let forecast = try baseline.forecasts(variances, origins: [60], task: positive)[0]
    #expect(
      forecast.quantiles.allSatisfy { $0.allSatisfy { $0 > 0 } }, sourceLocation: sourceLocation)
  }

  /// What every folder refuses: without its weights, with one of another shape, with one too few or many.
  func expectRefusals(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    try withTemporaryFolder { folder in
      try json.write(to: URL(filePath: folder + "/config.json"))
      func refuses(_ tensors: [String: Tensor]?) throws {
        if let tensors { try Safetensors.save(tensors, to: folder + "/model.safetensors") }
        #expect(throws: (any Error).self, sourceLocation: sourceLocation) {
          try Baseline.pretrained(at: folder)
        }
      }
      try refuses(nil)
      var tensors = try checkpoint
      let weight = try #require(tensors[name])
      tensors[name] = nil
      try refuses(tensors)
      tensors[name] = Tensor(zeros: [1, 1])
      try refuses(tensors)
      tensors[name] = weight
      tensors["none.such"] = weight
      try refuses(tensors)
      tensors["none.such"] = nil
      try Safetensors.save(tensors, to: folder + "/model.safetensors")
      #expect(try Baseline.pretrained(at: folder).name == folder, sourceLocation: sourceLocation)
    }
  }
}
