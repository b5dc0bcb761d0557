import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Streams of many series and their snapshots")
struct StreamSnapshotTests {
  static let architectures = ["transformer", "mamba", "mamba2", "lstm", "megalodon", "reformer"]

  /// Rows of three series that begin at different times, in an order that changes, with holes.
  private static func lines(_ count: Int = 60) throws -> [String] {
    let series = try (0..<3).map { try StreamTests.prices(count, seed: 20 + UInt64($0)) }
    var lines = ["unique_id,date,close,volume"]
    for row in 0..<count {
      for number in row % 2 == 0 ? [0, 1, 2] : [2, 0, 1] where row >= 5 * number {
        if row == 31, number == 1 { continue }
        let value = row == 17 ? "" : "\(series[number].values[row])"
        lines.append("s\(number),\(series[number].timestamps[row]),\(value),\(row)")
      }
    }
    return lines
  }

  private static func stream(
    _ model: ModelFolder.SavedForecaster, warmUp: Int = 3, keepsRows: Bool = true
  ) -> LineForecasts {
    var options = SeriesOptions()
    options.id = ["unique_id"]
    return LineForecasts(
      Model(model, history: []), options: options, warmUp: warmUp, keepsRows: keepsRows)
  }

  private static func forecasts(
    _ stream: inout LineForecasts, _ lines: some Sequence<String>
  ) throws -> [LineForecast] {
    var found: [LineForecast] = []
    try stream.push(lines) { if case .forecast(let one) = $0 { found.append(one) } }
    return found
  }

  @Test("lines that come together give the bits of lines one by one", arguments: architectures)
  func batches(architecture: String) throws {
    let model = try StreamTests.model(architecture, context: 8, window: 5)
    let lines = try Self.lines()
    var single = Self.stream(model)
    let expected = try lines.compactMap { try single.push($0) }
    #expect(expected.count == lines.count - 1)
    #expect(expected.filter { $0.quantiles == nil }.count >= 9)
    #expect(expected.last?.anomaly != nil)
    var together = Self.stream(model)
    #expect(try Self.forecasts(&together, lines) == expected)
    var some = Self.stream(model)
    var found: [LineForecast] = []
    for start in stride(from: 0, to: lines.count, by: 7) {
      found += try Self.forecasts(&some, lines[start..<min(start + 7, lines.count)])
    }
    #expect(found == expected)
  }

  @Test("patches keep their places when series of a batch are at different ones")
  func patches() throws {
    var model = try StreamTests.model("mamba", context: 8, window: 0)
    var config = model.forecaster.config
    config.patch = 4
    let forecaster = try Forecaster(config, key: RandomKey(seed: 3))
    model = ModelFolder.SavedForecaster(
      forecaster: forecaster, recipe: model.recipe, target: model.target)
    let lines = try Self.lines()
    var (single, together) = (Self.stream(model), Self.stream(model))
    let expected = try lines.compactMap { try single.push($0) }
    #expect(try Self.forecasts(&together, lines) == expected)
  }

  @Test(
    "a stream goes on from its snapshot to the bit, wherever it stood", arguments: architectures,
    [2, 20, 61, 100, 150])
  func resumes(architecture: String, cut: Int) throws {
    let model = try StreamTests.model(architecture, context: 8, window: 5)
    let lines = try Self.lines()
    var whole = Self.stream(model)
    let expected = try Self.forecasts(&whole, lines)
    try withTemporaryFolder { folder in
      let path = folder + "/stream.state"
      var first = Self.stream(model)
      let before = try Self.forecasts(&first, lines[...cut])
      try first.save(to: path)
      var second = Self.stream(model)
      try second.resume(from: path)
      let after = try Self.forecasts(&second, lines)
      #expect(second.passedOver == cut)
      #expect(before + after == expected)
      // Once more from there: a snapshot of what was restored is as good.
      var third = Self.stream(model)
      try third.resume(from: path)
      _ = try Self.forecasts(&third, lines[...(cut + 9)])
      try third.save(to: path)
      var fourth = Self.stream(model)
      try fourth.resume(from: path)
      #expect(try Self.forecasts(&fourth, lines) == Array(expected[(cut + 9)...]))
    }
  }

  @Test("a baseline goes on from the values that it keeps", arguments: ["theta", "ets", "naive"])
  func baseline(name: String) throws {
    let series = try StreamTests.prices(90)
    let table = SeriesTable([series], targetName: "close")
    let recipe = try FeatureRecipe(
      fitting: table, measure: .level, covariates: [], split: Split(table, horizon: 2))
    let model = Model(
      try Baseline.named(name, lookback: 14),
      task: ForecastTask(horizon: 2, levels: [0.1, 0.5, 0.9], seasonLength: 5, measure: .level),
      lookback: 14, recipe: recipe, target: "close", history: [series.slice(0..<50)])
    let lines =
      ["date,close"] + (50..<90).map { "\(series.timestamps[$0]),\(series.values[$0])" }
    var whole = LineForecasts(model, keepsRows: true)
    let expected = try Self.forecasts(&whole, lines)
    try withTemporaryFolder { folder in
      let path = folder + "/stream.state"
      var first = LineForecasts(model, keepsRows: true)
      _ = try Self.forecasts(&first, lines[...20])
      try first.save(to: path)
      var second = LineForecasts(model, keepsRows: true)
      try second.resume(from: path)
      #expect(try Self.forecasts(&second, lines) == Array(expected[20...]))
    }
  }

  @Test("a snapshot of something else, or a damaged one, is refused with a sentence")
  func refuses() throws {
    let model = try StreamTests.model("lstm")
    let lines = try Self.lines()
    try withTemporaryFolder { folder in
      let path = folder + "/stream.state"
      var first = Self.stream(model)
      _ = try Self.forecasts(&first, lines[...40])
      try first.save(to: path)
      var other = Self.stream(try StreamTests.model("lstm", context: 16))
      #expect(throws: SnapshotError.otherModel(path: path)) { try other.resume(from: path) }
      let text = try String(contentsOfFile: path, encoding: .utf8)
      for (old, new) in [
        ("\"format\":1", "\"format\":9"), ("\"count\":", "\"count\":-"),
        ("\"hasBlock\":true", "\"hasBlock\":false"), ("\"hasBlock\":false", "\"hasBlock\":true"),
        ("\"numbers\":\"", "\"numbers\":\"AAAA"), ("\"numbers\":\"", "\"numbers\":\"!"),
        ("\"weights\":[", "\"weights\":[1.0,"), ("\"observations\":", "\"observations\":-"),
        ("\"name\":\"s1\"", "\"name\":\"s0\""), ("{", "["),
      ] where text.contains(old) {
        let bad = text.replacing(old, with: new)
        try bad.write(toFile: path, atomically: false, encoding: .utf8)
        var stream = Self.stream(model)
        let error = #expect(throws: SnapshotError.self, "\(old)") {
          try stream.resume(from: path)
          _ = try Self.forecasts(&stream, lines)
        }
        #expect(error?.description.contains("begin anew") == true)
      }
      try text.write(toFile: path, atomically: false, encoding: .utf8)
      var options = SeriesOptions()
      options.id = ["unique_id"]
      var narrow = LineForecasts(
        Model(model, history: []), options: options, warmUp: 3, keepsRows: true)
      try narrow.resume(from: path)
      #expect(throws: (any Error).self) {
        _ = try Self.forecasts(&narrow, ["unique_id,date,close", "s0,2030-01-01,5"])
      }
    }
  }

  @Test("an anomaly is the normal score of the row, and drift shows errors that grow")
  func surprises() throws {
    let model = try StreamTests.model("lstm", measure: .level, window: 0)
    for parameter in model.forecaster.parameters where parameter.name == "head.weight" {
      parameter.set(Tensor(zeros: parameter.shape))
    }
    let noise = Tensor(normal: [400], key: RandomKey(seed: 6)).values
    let start = try #require(Timestamp(year: 2020, month: 1, day: 1))
    let stamps = try Cadence(.businessDays).stamps(after: start, count: 400)
    var (value, lines) = (1000.0, ["date,close,volume"])
    for row in 0..<400 {
      value += Double(noise[row]) * (row == 200 ? 0 : row < 350 ? 1 : 6) + (row == 200 ? 12 : 0)
      lines.append("\(stamps[row]),\(value),5")
    }
    var stream = LineForecasts(Model(model, history: []))
    let found = try Self.forecasts(&stream, lines)
    #expect(found[..<8].allSatisfy { $0.quantiles == nil && $0.anomaly == nil })
    #expect(found[8].quantiles != nil && found[9].anomaly != nil)
    // Steps of one deviation under a forecast of the past scale: scores are about standard normal.
    let scores = found[20..<200].compactMap(\.anomaly)
    let mean = scores.reduce(0, +) / Double(scores.count)
    let square = scores.reduce(0) { $0 + $1 * $1 } / Double(scores.count)
    #expect(scores.count == 180 && abs(mean) < 0.25 && abs(square - 1) < 0.35)
    let jump = try #require(found[200].anomaly)
    #expect(jump > 8 && jump < 20)
    // The forecast one row before, by hand.
    let quantiles = try #require(found[99].quantiles?[0])
    let close = try #require(Double(lines[101].split(separator: ",")[1]))
    let scale = (quantiles[2] - quantiles[0]) / (2 * 1.281_551_565_544_6)
    if close > quantiles[0], close < quantiles[2] {
      #expect(abs((found[100].anomaly ?? .nan) - (close - quantiles[1]) / scale) < 0.02)
    }
    #expect(found[100].drift == nil && found[199].drift.map { abs($0 - 1) < 0.3 } == true)
    #expect(found[399].drift.map { $0 > 2 } == true)
  }

  @Test("lines are JSON that says what the forecast holds, and CSV of as many cells as its header")
  func format() throws {
    let model = try StreamTests.model("lstm")
    var stream = Self.stream(model, warmUp: 0)
    let forecasts = try Self.forecasts(&stream, try Self.lines())
    let width = stream.format.csvHeader.split(separator: ",").count
    for var forecast in forecasts[..<30] {
      forecast.uniqueId = "a\"\\\u{1}\tü"
      struct Line: Decodable {
        let uniqueId: String?, cutoff: String
        let ds: [String], levels: [Double], quantiles: [[Double]]?
        let anomaly: Double?, drift: Double?
      }
      let line = stream.format.json(forecast)
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
      #expect(
        Set(object.keys) == [
          "anomaly", "cutoff", "drift", "ds", "levels", "quantiles", "unique_id",
        ])
      let read = try JSONValue.decode(Line.self, from: line, name: "line", keys: .snakeCase)
      #expect(read.uniqueId == forecast.uniqueId && read.cutoff == forecast.cutoff)
      #expect(read.quantiles == forecast.quantiles && read.levels == forecast.levels)
      #expect(read.ds == forecast.ds && read.anomaly == forecast.anomaly && read.drift == nil)
      let cells = String(decoding: stream.format.csv(forecast), as: UTF8.self)
      #expect(cells.split(separator: ",", omittingEmptySubsequences: false).count == width)
    }
  }
}
