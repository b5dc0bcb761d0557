import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Covariates known ahead", .steadyMachine)
struct FutureCovariateTests {
  private static func error(
    _ table: SeriesTable, _ name: String, future: [String]
  ) async throws -> Double {
    var options = BacktestOptions()
    (options.training.horizon, options.training.measure) = (6, .level)
    (options.training.context, options.training.width, options.training.layers) = (12, 16, 1)
    options.training.budget = .steps(60)
    options.training.future = future
    (options.windows, options.step) = (3, 3)
    let result = try await Backtest(
      table, choices: [try ForecasterChoice(name)], options: options
    ).run()
    let summary = try #require(result.summaries.first)
    return try #require(summary.metrics.first { $0.name == "MASE" }?.value)
  }

  @Test(
    "that lift sales by 40 % make each forecaster better by a fifth at least",
    arguments: [
      "naive", "seasonal-naive", "drift", "mean", "climatology", "ets", "theta", "arima", "mstl",
      "ols", "nlinear", "seasonal-ridge", "lstm", "mamba", "transformer",
    ])
  func promotion(name: String) async throws {
    let table = try PromotionPanel.table(products: 12, rows: 96)
    let without = try await Self.error(table, name, future: [])
    let with = try await Self.error(table, name, future: ["promotion"])
    #expect(with < 0.8 * without, "\(name): \(with) against \(without)")
  }

  @Test("boosted trees read them too")
  func trees() async throws {
    let table = try PromotionPanel.table(products: 4, rows: 180)
    let without = try await Self.error(table, "boosted-trees", future: [])
    let with = try await Self.error(table, "boosted-trees", future: ["promotion"])
    #expect(with < 0.8 * without, "\(with) against \(without)")
  }

  @Test(
    "that are noise do no harm beyond 2 %",
    arguments: ["ets", "seasonal-ridge", "theta", "lstm", "mamba"])
  func noise(name: String) async throws {
    for seed in UInt64(1)...3 {
      let table = try PromotionPanel.table(products: 10, rows: 96, lift: 0, seed: seed)
      let without = try await Self.error(table, name, future: [])
      let with = try await Self.error(table, name, future: ["noise", "promotion"])
      #expect(with < 1.02 * without, "\(name), seed \(seed): \(with) against \(without)")
    }
  }

  /// A model that was trained a little on all rows.
  private static func trained(_ table: SeriesTable, in folder: String) async throws -> Model {
    var options = ModelTrainingOptions(.architecture(try Architecture.named("mamba")))
    (options.horizon, options.budget, options.measure) = (6, .steps(30), .level)
    (options.context, options.width, options.layers) = (12, 16, 1)
    options.future = ["promotion"]
    _ = try await ForecastTraining(table, source: DataSource(table), options: options)
      .run(output: folder + "/model")
    return try Model(at: folder + "/model")
  }

  private static func baseline(_ table: SeriesTable, in folder: String) throws -> Model {
    var options = ComparisonOptions()
    (options.horizon, options.measure, options.future) = (6, .level, ["promotion"])
    let file = DataFile(table)
    _ = try file.fit(baseline: "ets", options: options, output: folder + "/ets")
    return try Model(at: folder + "/ets")
  }

  @Test("enter the forecast of their own month: 40 % up with a promotion, whatever the rest")
  func ownStep() async throws {
    let table = try PromotionPanel.table(products: 12)
    try await withTemporaryFolder { folder in
      for model in [
        try await Self.trained(table, in: folder), try Self.baseline(table, in: folder),
      ] {
        func medians(_ promotion: [Double]) throws -> [Double] {
          var changed = table
          for index in changed.series.indices {
            changed.series[index].future = try KnownFuture(
              dates: (60..<66).map(PromotionPanel.month),
              covariates: [Covariate(name: "promotion", values: promotion)])
          }
          return try model.forecast(after: changed).rows.map(\.median)
        }
        let (none, third) = (
          try medians([0, 0, 0, 0, 0, 0]), try medians([0, 0, 1, 0, 0, 0])
        )
        #expect(none.count == 72)
        for (place, pair) in zip(none, third).enumerated() {
          let lift = pair.1 / pair.0
          if place % 6 == 2 {
            #expect(abs(lift - 1.4) < 0.12, "\(model.name), \(place): \(lift)")
          } else {
            #expect(pair.0 == pair.1, "\(model.name), \(place)")
          }
        }
      }
    }
  }

  @Test("are kept in the folder with the rows ahead, and a stream gives the same as a file")
  func stream() async throws {
    let table = try PromotionPanel.table(products: 3)
    try await withTemporaryFolder { folder in
      for model in [
        try await Self.trained(table, in: folder), try Self.baseline(table, in: folder),
      ] {
        #expect(model.history == table.series, "\(model.name)")
        let expected = try model.forecast(after: table).rows
        #expect(try model.forecast().rows == expected)
        // A row more, and what is known of the month behind those that were known.
        let series = table.series[1]
        var longer = series
        longer.timestamps.append(series.future.timestamps[0])
        longer.values.append(123)
        for column in 0..<2 {
          longer.covariates[column].values.append(series.future.covariates[column].values[0])
        }
        longer.future = try KnownFuture(
          dates: (61..<67).map(PromotionPanel.month),
          covariates: series.future.covariates.map { column in
            Covariate(name: column.name, values: Array(column.values.dropFirst()) + [1])
          })
        var stream = try model.stream(of: series.id)
        let beside = longer.covariates.map { $0.values[60] }
        #expect(throws: KnownFutureError.self) {
          try stream.push(123, covariates: beside, at: PromotionPanel.month(60))
        }
        stream.know(["promotion": 1], at: PromotionPanel.month(66))
        let live = try stream.push(123, covariates: beside, at: PromotionPanel.month(60))
        guard !model.forecasters.isEmpty else {
          #expect(live.count == 6)  // a baseline keeps its parameters while it streams
          continue
        }
        var one = table
        one.series = [longer]
        let batch = try model.forecast(after: one).rows
        #expect(live.map(\.date) == batch.map(\.date))
        for (found, row) in zip(live, batch) {
          #expect(abs(found.median - row.median) < 1e-4 * row.median)
        }
      }
    }
  }

  @Test("that are missing ahead are named with column, series and the first time")
  func missing() throws {
    var table = try PromotionPanel.table(products: 2)
    try withTemporaryFolder { folder in
      let model = try Self.baseline(table, in: folder)
      table.series[1].future.covariates[0].values[3] = .nan
      let error = try #require(throws: KnownFutureError.self) {
        try model.forecast(after: table)
      }
      #expect(
        error.description.contains("'promotion' of series 'product 1' has no number at 2024-04-01"),
        "\(error)")
      table.series[1].future = KnownFuture()
      let none = try #require(throws: KnownFutureError.self) { try model.forecast(after: table) }
      #expect(none.description.contains("at 2024-01-01"), "\(none)")
    }
  }

  @Test("that are missing in the past count as the mean, and change no other row")
  func gaps() async throws {
    var table = try PromotionPanel.table(products: 12)
    let whole = try await Self.error(table, "ets", future: ["promotion"])
    for index in table.series.indices {
      for row in stride(from: index, to: 50, by: 10) {
        table.series[index].covariates[0].values[row] = .nan
      }
    }
    let partly = try await Self.error(table, "ets", future: ["promotion"])
    let none = try await Self.error(table, "ets", future: [])
    #expect(partly < 0.85 * none && partly < 1.2 * whole, "\(partly), \(whole), \(none)")
  }
}

extension FutureCovariateTests {
  /// The panel as a file: a promotion in words, a region for each product, and rows ahead.
  static func file(rows: Int = 60) throws -> (text: String, ahead: String) {
    let panel = try PromotionPanel.table(products: 8, rows: rows)
    var (text, ahead) = ("month,product,region,kind,units\n", "month,product,kind\n")
    for (number, series) in panel.series.enumerated() {
      let region = number % 2 == 0 ? "north" : "south"
      let promotion = series.covariates[0].values + series.future.covariates[0].values
      for (row, promoted) in promotion.enumerated() {
        let month = Timestamp(PromotionPanel.month(row))
        let kind = promoted == 1 ? "flyer" : "none"
        let value = row < rows ? "\(series.values[row])" : ""
        text += "\(month),\(series.id),\(region),\(kind),\(value)\n"
        if row >= rows { ahead += "\(month),\(series.id),\(kind)\n" }
      }
    }
    return (text, ahead)
  }

  @Test(
    "of words and statics go from the file to the folder, and from a second file to the forecast")
  func words() async throws {
    let (text, ahead) = try Self.file()
    try await withTemporaryFolder { folder in
      let (whole, past) = (folder + "/whole.csv", folder + "/past.csv")
      try text.write(toFile: whole, atomically: true, encoding: .utf8)
      let lines = text.split(separator: "\n").filter { !$0.hasSuffix(",") }
      try lines.joined(separator: "\n").write(toFile: past, atomically: true, encoding: .utf8)
      try ahead.write(toFile: folder + "/ahead.csv", atomically: true, encoding: .utf8)
      var reading = SeriesOptions()
      (reading.future, reading.statics) = (["kind"], ["region"])
      let data = try DataFile(whole, reading: reading)
      var options = ModelTrainingOptions(.architecture(try Architecture.named("lstm")))
      (options.horizon, options.budget, options.measure) = (6, .steps(20), .level)
      (options.context, options.width, options.layers) = (12, 16, 1)
      (options.future, options.covariates) = (["kind"], ["region"])
      _ = try await data.train(options, output: folder + "/model")
      let model = try ModelFolder.open(folder + "/model")
      let one = try FutureForecast(model, readingCSVAt: whole)
      let two = try FutureForecast(model, readingCSVAt: past, futureAt: folder + "/ahead.csv")
      #expect(one.rows == two.rows && one.rows.count == 48)
      let error = try #require(throws: KnownFutureError.self) {
        try FutureForecast(model, readingCSVAt: past)
      }
      #expect(error.description.contains("'kind=none' of series 'product 0'"), "\(error)")
      // Line by line, the rows ahead from the folder: as a forecast from the same rows.
      var lineByLine = try LineForecasts(model)
      var last: LineForecast?
      for line in lines where line.hasPrefix("month") || line.contains(",product 7,") {
        last = try lineByLine.push(String(line)) ?? last
      }
      let found = try #require(last?.quantiles)
      for (step, row) in one.rows.suffix(6).enumerated() {
        for (live, batch) in zip(found[step], row.quantiles) {
          #expect(abs(live - batch) < 1e-3 * abs(batch))
        }
      }
    }
  }
}
