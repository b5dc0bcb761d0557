import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Forecasters of every head")
struct HeadFolderTests {
  static let heads: [ForecastHead] = [.quantiles, .studentT, .mixture(components: 2), .counts]

  /// Days with few sales and a promotion that is known ahead.
  static func sales(_ count: Int, seed: UInt64 = 2) throws -> TimeSeries {
    var generator = PhiloxGenerator(RandomKey(seed: seed))
    let start = try #require(Timestamp(year: 2023, month: 1, day: 1))
    let promotion = (0..<count).map { Double($0 / 5 % 3 == 0 ? 1 : 0) }
    let values = promotion.map { promotion -> Double in
      let most = promotion > 0 ? 9 : 3
      return Double(max(0, Int.random(in: -most...most, using: &generator)))
    }
    return TimeSeries(
      id: "s", timestamps: try [start] + Cadence(.days(1)).stamps(after: start, count: count - 1),
      values: values, covariates: [Covariate(name: "promotion", values: promotion)])
  }

  static func model(_ head: ForecastHead) throws -> ModelFolder.SavedForecaster {
    var table = SeriesTable([try sales(150)], targetName: "sales")
    table.cadence = Cadence(.days(1))
    let recipe = try FeatureRecipe(
      fitting: table, measure: .level, covariates: [], future: ["promotion"],
      split: try Split(table, horizon: 3), window: 5, kind: head == .counts ? .count : nil)
    let config = try ForecasterConfig(
      .named("lstm"), size: BackboneSize(width: 16, layers: 2, context: 8),
      inputs: recipe.inputs, horizon: 3, levels: [0.1, 0.5, 0.9], window: 5,
      known: recipe.known?.count ?? 0, head: head)
    let forecaster = try Forecaster(config, key: RandomKey(seed: 3))
    for parameter in forecaster.parameters where parameter.name == "head.weight" {
      parameter.set(Tensor(normal: parameter.shape, deviation: 0.8, key: RandomKey(seed: 4)))
    }
    return ModelFolder.SavedForecaster(forecaster: forecaster, recipe: recipe, target: "sales")
  }

  /// What is known of three days after a row.
  private static func ahead(_ series: TimeSeries, after row: Int) -> RowsAhead {
    let rows = row + 1..<min(row + 4, series.count)
    return RowsAhead(
      stamps: Array(series.timestamps[rows]),
      columns: rows.map { [series.covariates[0].values[$0]] })
  }

  @Test("row by row as a whole series", arguments: heads)
  func streams(head: ForecastHead) throws {
    let model = try Self.model(head)
    let series = try Self.sales(60, seed: 9)
    let frame = try model.recipe.frame(series)
    let batch = SeriesForecast(model.forecaster, frame: frame, rows: 0..<frame.count)
    var stream = ForecastStream(model.forecaster, recipe: model.recipe, series: "s")
    for row in 0..<frame.count - 3 {
      let forecast = try stream.push(
        series.values[row], covariates: [series.covariates[0].values[row]],
        at: series.timestamps[row], ahead: Self.ahead(series, after: row))
      for (one, other) in zip(forecast.joined(), batch.quantiles[row].joined()) {
        #expect(abs(one - other) <= (head == .counts ? 0 : 1e-4), "row \(row)")
        if head == .counts { #expect(one >= 0 && one == one.rounded()) }
      }
    }
    #expect(Set(batch.quantiles.joined().joined()).count > 5)
  }

  @Test("saved, loaded and asked they forecast the same bits", arguments: heads)
  func saved(head: ForecastHead) throws {
    let saved = try Self.model(head)
    let whole = try Self.sales(100)
    var table = SeriesTable([whole.slice(0..<97)], targetName: "sales")
    table.cadence = Cadence(.days(1))
    table.series[0].future.timestamps = Array(whole.timestamps[97...])
    table.series[0].future.covariates = [
      Covariate(name: "promotion", values: Array(whole.covariates[0].values[97...]))
    ]
    let model = Model(saved, history: [table.series[0]])
    let expected = try model.forecast(after: table).series[0].quantiles
    try withTemporaryFolder { folder in
      try model.save(to: folder)
      let loaded = try Model(at: folder)
      #expect(loaded.forecasters[0].config.head == head)
      #expect(try loaded.forecast(after: table).series[0].quantiles == expected)
      let card = try String(contentsOfFile: folder + "/apus.json", encoding: .utf8)
      #expect(card.contains("\"head\"") == (head != .quantiles))
      guard head == .counts else { return }
      // The head of counts reads rows that are seen as counts.
      let other = card.replacing("\"head\" : \"counts\"", with: "\"head\" : \"student-t\"")
      #expect(other != card)
      try Data(other.utf8).write(to: URL(filePath: folder + "/apus.json"))
      #expect(throws: ModelFolderError.self) { try Model(at: folder) }
    }
  }

  @Test("zeros alone have a forecast of counts")
  func zeros() throws {
    let model = try Self.model(.counts)
    var series = try Self.sales(40)
    series.values = series.values.map { _ in 0 }
    let frame = try model.recipe.frame(series)
    #expect(frame.isScaled.allSatisfy { $0 } && frame.scales.allSatisfy { $0 == 1 })
    let quantiles = SeriesForecast(model.forecaster, frame: frame, rows: 39..<40).quantiles[0]
    #expect(quantiles.joined().allSatisfy { $0 >= 0 && $0 == $0.rounded() })
  }

  @Test("counts are seen as they are, with their season and what is known ahead")
  func frame() throws {
    let counted = try Self.model(.counts).recipe.frame(try Self.sales(60))
    let level = try Self.model(.quantiles).recipe.frame(try Self.sales(60))
    #expect(try counted.values == Self.sales(60).values)
    #expect(counted.locations.allSatisfy { $0 == 0 } && level.locations.contains { $0 != 0 })
    #expect((0..<60).allSatisfy { counted.measured($0) == counted.values[$0] })
    // One more than the mean of the rows so far, the last of which count most.
    let (first, second) = (counted.values[0], counted.values[1])
    #expect(counted.scales[0] == 1 + first)
    #expect(abs(counted.scales[1] - (1 + (0.94 * first + second) / 1.94)) < 1e-12)
  }
}
