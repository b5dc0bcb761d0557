import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Ensembles")
struct EnsembleTests {
  /// Two seeds of Mamba and an LSTM, which read rows alike, and a baseline.
  private static func members(
    _ history: TimeSeries, context: Int = 8, levels: [Double] = [0.1, 0.5, 0.9]
  ) throws -> [Model] {
    let recipe = try StreamTests.model("mamba", measure: .level, context: context).recipe
    let trained = try [("mamba", 3), ("mamba", 4), ("lstm", 5)].map { name, seed in
      let config = try ForecasterConfig(
        .named(name), size: BackboneSize(width: 16, layers: 2, context: context),
        inputs: recipe.inputs, horizon: 3, levels: levels, window: 5)
      let forecaster = try Forecaster(config, key: RandomKey(seed: UInt64(seed)))
      for parameter in forecaster.parameters where parameter.name == "head.weight" {
        parameter.set(
          Tensor(normal: parameter.shape, deviation: 0.5, key: RandomKey(seed: UInt64(seed))))
      }
      return Model(
        ModelFolder.SavedForecaster(forecaster: forecaster, recipe: recipe, target: "close"),
        history: [history])
    }
    let ets = Model(
      try Baseline.named("ets", lookback: 8),
      task: ForecastTask(horizon: 3, levels: levels, measure: .level), lookback: 8,
      recipe: recipe, target: "close", history: [history])
    return trained + [ets]
  }

  private static func expectClose(_ found: [[Double]], _ expected: [[Double]]) {
    #expect(found.map(\.count) == expected.map(\.count))
    for (one, other) in zip(found.joined(), expected.joined()) {
      #expect(abs(one - other) <= 1e-12 * max(1, abs(other)))
    }
  }

  /// The weighted mean, number by number.
  private static func mean(_ members: [[[Double]]], _ weights: [Double]) -> [[Double]] {
    let total: Double = weights.reduce(0, +)
    return members[0].indices.map { step -> [Double] in
      members[0][step].indices.map { level -> Double in
        var sum = 0.0
        for (member, weight) in zip(members, weights) { sum += weight * member[step][level] }
        return sum / total
      }
    }
  }

  @Test("forecast the mean of their members' quantiles, in memory and from a folder")
  func mean() throws {
    let series = try StreamTests.prices(100)
    let members = try Self.members(series)
    let weights = [1.0, 2, 2, 5]
    let alone = try members.map { try $0.forecast().series[0].quantiles }
    #expect(Set(alone.map { "\($0)" }).count == 4)
    let expected = Self.mean(alone, weights)
    // The baseline stands before trained ones, and goes behind them.
    let model = try Model(mean: [members[3]] + members[..<3], weights: [5, 1, 2, 2])
    #expect(model.name == "ensemble" && model.horizon == 3 && model.levels == [0.1, 0.5, 0.9])
    #expect(model.members.map(\.name) == ["mamba", "mamba", "lstm", "ets"])
    for (one, other) in zip(model.members.map(\.weight), weights) {
      #expect(abs(one - other / 10) < 1e-15)
    }
    Self.expectClose(try model.forecast().series[0].quantiles, expected)
    // An ensemble may be a member.
    let nested = try Model(
      mean: [try Model(mean: Array(members[..<2]), weights: [1, 2]), members[2], members[3]],
      weights: [3, 2, 5])
    Self.expectClose(try nested.forecast().series[0].quantiles, expected)
    try withTemporaryFolder { folder in
      try model.save(to: folder)
      let loaded = try Model(at: folder)
      #expect(try loaded.forecast().csv() == model.forecast().csv())
      #expect(loaded.members.map(\.weight) == model.members.map(\.weight))
      let inspection = try ModelInspection(at: folder)
      #expect(inspection.canRun && inspection.modelType == "apus_ensemble")
      #expect(
        inspection.architecture == "ensemble of 0.1 mamba, 0.2 mamba, 0.2 lstm, 0.5 ets")
      let counts = members.flatMap(\.forecasters).map { one in
        one.parameters.reduce(0) { $0 + $1.value.count }
      }
      #expect(inspection.parameters == counts.reduce(0, +))
    }
  }

  @Test("stream in batches what they stream line by line, and go on from a snapshot to the bit")
  func streams() throws {
    let series = try StreamTests.prices(90)
    let ensemble = try Model(mean: try Self.members(series.slice(0..<50)))
    let lines =
      ["date,close,volume"]
      + (50..<90).map {
        "\(series.timestamps[$0]),\(series.values[$0]),\(series.covariates[0].values[$0])"
      }
    var whole = LineForecasts(ensemble, keepsRows: true)
    let expected = try lines.compactMap { try whole.push($0) }
    #expect(expected.count == 40 && expected.allSatisfy { $0.quantiles != nil })
    // The last row but those of members, one by one.
    let alone = try Self.members(series.slice(0..<50)).map { member in
      var stream = LineForecasts(member, keepsRows: true)
      return try lines.compactMap { try stream.push($0) }.map(\.quantiles)
    }
    for row in 0..<40 {
      let members = alone.compactMap { $0[row] }
      let mean = Self.mean(members, [1, 1, 1, 1])
      Self.expectClose(try #require(expected[row].quantiles), mean)
    }
    try withTemporaryFolder { folder in
      let path = folder + "/stream.state"
      for cut in [1, 17, 33] {
        var first = LineForecasts(ensemble, keepsRows: true)
        for line in lines.prefix(1 + cut) { _ = try first.push(line) }
        try first.save(to: path)
        var second = LineForecasts(ensemble, keepsRows: true)
        try second.resume(from: path)
        let rest = try lines.compactMap { try second.push($0) }
        #expect(rest == Array(expected[cut...]))
      }
      // Other weights make another model.
      var other = LineForecasts(
        try Model(mean: try Self.members(series.slice(0..<50)), weights: [1, 1, 1, 2]),
        keepsRows: true)
      #expect(throws: SnapshotError.otherModel(path: path)) { try other.resume(from: path) }
    }
  }

  @Test("are refused where members answer different questions, or a file is damaged")
  func refused() throws {
    let series = try StreamTests.prices(60)
    let members = try Self.members(series)
    #expect(throws: ConfigError.self) { try Model(mean: []) }
    #expect(throws: ConfigError.self) { try Model(mean: members, weights: [1, 1, 1]) }
    #expect(throws: ConfigError.self) { try Model(mean: members, weights: [1, 1, 1, -1]) }
    #expect(throws: ConfigError.self) { try Model(mean: members, weights: [0, 0, 0, 0]) }
    let longer = try Self.members(series, context: 16)
    #expect(throws: ConfigError.self) { try Model(mean: [members[0], longer[1]]) }
    let others = try Self.members(series, levels: [0.2, 0.5, 0.8])
    #expect(throws: ConfigError.self) { try Model(mean: [members[0], others[1]]) }
    try withTemporaryFolder { folder in
      try Model(mean: members).save(to: folder)
      let path = folder + "/apus.json"
      let text = try String(contentsOfFile: path, encoding: .utf8)
      for (found, other) in [
        ("\"weight\" : 0.25", "\"weight\" : 0.5"), ("\"weight\" : 0.25", "\"weight\" : -0.25"),
        ("\"horizon\" : 3", "\"horizon\" : 4"), ("\"name\" : \"ets\"", "\"name\" : \"none\""),
      ] {
        let place = try #require(text.range(of: found))
        try Data(text.replacingCharacters(in: place, with: other).utf8)
          .write(to: URL(filePath: path))
        #expect(throws: (any Error).self, "\(other)") { try Model(at: folder) }
      }
    }
  }
}
