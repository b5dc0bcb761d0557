import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Forecasters with a correction of their quantiles")
struct ConformalFolderTests {
  /// Of three steps and three levels, another factor at each step.
  private static var correction: ConformalCorrection {
    let quantiles: [[Double]] = [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]]
    let outcomes = (0..<30).map { row -> [Double] in
      let size = Double(row % 10) / 6 * (row % 2 == 0 ? 1 : -1)
      return [size, 2 * size, 3 * size]
    }
    return ConformalCorrection(
      levels: [0.1, 0.5, 0.9], forecasts: outcomes.map { _ in quantiles }, outcomes: outcomes)
  }

  private static func models(_ series: TimeSeries) throws -> [(plain: Model, corrected: Model)] {
    let saved = try StreamTests.model("mamba", measure: .level)
    let corrected = ModelFolder.SavedForecaster(
      forecaster: saved.forecaster, recipe: saved.recipe, target: "close", correction: correction)
    let task = ForecastTask(horizon: 3, levels: [0.1, 0.5, 0.9], measure: .level)
    func ets(_ correction: ConformalCorrection?) throws -> Model {
      Model(
        try Baseline.named("ets", lookback: 8), task: task, lookback: 8, recipe: saved.recipe,
        target: "close", history: [series], correction: correction)
    }
    return [
      (Model(saved, history: [series]), Model(corrected, history: [series])),
      (try ets(nil), try ets(correction)),
    ]
  }

  @Test("forecast, stream and load the corrected quantiles")
  func everywhere() throws {
    let series = try StreamTests.prices(100)
    let shorter = series.slice(0..<99)
    for (plain, corrected) in try Self.models(series) {
      let before = try plain.forecast().series[0].quantiles
      let expected = Self.correction.applied(to: before)
      #expect(expected != before)
      #expect(try corrected.forecast().series[0].quantiles == expected)
      try withTemporaryFolder { folder in
        try corrected.save(to: folder)
        let loaded = try Model(at: folder)
        #expect(loaded.correction == Self.correction)
        #expect(try loaded.forecast().series[0].quantiles == expected)
        let card = try JSONValue(path: folder + "/apus.json", limit: 1 << 24)
        #expect(card["format"]?.integer == 3)
        // The folder of one without a correction is what it was.
        try plain.save(to: folder)
        #expect(try Model(at: folder).correction == nil)
        #expect(
          try JSONValue(path: folder + "/apus.json", limit: 1 << 24)["format"]?.integer == 2)
      }
      guard plain.baselines.isEmpty else { continue }
      let rows = try [plain, corrected].map { model -> [[Double]] in
        var stream = try Model(
          ModelFolder.SavedForecaster(
            forecaster: try #require(model.forecasters.first), recipe: model.recipe,
            target: "close",
            correction: model.correction), history: [shorter]
        ).stream()
        return try stream.push(
          series.values[99], covariates: [series.covariates[0].values[99]],
          at: series.timestamps[99].date
        ).map(\.quantiles)
      }
      #expect(rows[1] == Self.correction.applied(to: rows[0]))
    }
  }

  @Test("stream from lines and from snapshots what they stream at once")
  func lines() throws {
    let series = try StreamTests.prices(60)
    let lines =
      ["date,close,volume"]
      + (0..<60).map {
        "\(series.timestamps[$0]),\(series.values[$0]),\(series.covariates[0].values[$0])"
      }
    for (plain, corrected) in try Self.models(series.slice(0..<0)) {
      var (one, other) = (
        LineForecasts(plain, keepsRows: true), LineForecasts(corrected, keepsRows: true)
      )
      let before = try lines.compactMap { try one.push($0) }
      let after = try lines.compactMap { try other.push($0) }
      #expect(after.contains { $0.quantiles != nil })
      #expect(after.map(\.quantiles) == before.map { $0.quantiles.map(Self.correction.applied) })
      try withTemporaryFolder { folder in
        var first = LineForecasts(corrected, keepsRows: true)
        for line in lines.prefix(41) { _ = try first.push(line) }
        try first.save(to: folder + "/state")
        var second = LineForecasts(corrected, keepsRows: true)
        try second.resume(from: folder + "/state")
        let rest = try lines.compactMap { try second.push($0) }
        if corrected.baselines.isEmpty { #expect(rest == Array(after.suffix(rest.count))) }
        // One without the correction is another model.
        var third = LineForecasts(plain, keepsRows: true)
        #expect(throws: SnapshotError.otherModel(path: folder + "/state")) {
          try third.resume(from: folder + "/state")
        }
      }
    }
  }

  @Test("are refused where the correction is none of their steps and levels")
  func damaged() throws {
    let series = try StreamTests.prices(60)
    for (_, corrected) in try Self.models(series) {
      try withTemporaryFolder { folder in
        try corrected.save(to: folder)
        let path = folder + "/apus.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let key = try #require(text.range(of: "\"scores\" : ["))
        let broken = text.replacingCharacters(in: key, with: "\"scores\" : [ 7,")
        try Data(broken.utf8).write(to: URL(filePath: path))
        #expect(throws: ModelFolderError.self) { try Model(at: folder) }
      }
    }
  }
}
