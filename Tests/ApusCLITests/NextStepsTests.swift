import Foundation
import Testing

@Suite("What compare prints to go on with")
struct NextStepsTests {
  /// Days of a shop with a week and a promotion that nobody can guess.
  private static func shop(rows: Range<Int>, isKnown: Bool = true) -> String {
    let day = { (row: Int) in
      Date(timeIntervalSince1970: 1_609_459_200 + 86_400 * Double(row))
        .formatted(.iso8601.year().month().day())
    }
    func promotion(_ row: Int) -> Int { row * row % 11 < 3 ? 1 : 0 }
    let lines = rows.map { row in
      let value = 100 + 10 * Double(row % 7) + 40 * Double(promotion(row)) + Double(row * 7 % 5)
      return "\(day(row))," + (isKnown ? "\(value)," : "") + "\(promotion(row))"
    }
    return ([isKnown ? "Tag,sold units,promo" : "Tag,promo"] + lines).joined(separator: "\n") + "\n"
  }

  /// A value that is the input of the row before, with a little beside it.
  private static func follower(rows: Int) -> String {
    var state: UInt64 = 11
    let inputs = (0...rows).map { _ -> Double in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 40) / Double(1 << 24)
    }
    let lines = (1...rows).map { row in
      "\(row),\(3 + 2 * inputs[row - 1] + 0.02 * Double(row % 7)),\(inputs[row])"
    }
    return (["row,y,x"] + lines).joined(separator: "\n") + "\n"
  }

  /// The commands that a comparison printed, by what they are for, and what it said of those it has none of.
  private static func steps(_ output: String) throws -> [String: String] {
    let lines = output.components(separatedBy: "\n")
    let start = try #require(lines.firstIndex(of: "What to do next:"), "\(output)")
    var steps: [String: String] = [:]
    var title = ""
    for line in lines[(start + 1)...] where !line.isEmpty {
      if line.hasPrefix("  ") {
        steps[title] = String(line.dropFirst(2))
      } else {
        title = String(line.prefix { $0 != ":" })
        steps[title] = line
      }
    }
    return steps
  }

  /// Runs a line as a person does who copies it.
  private static func shell(_ line: String, in folder: String) throws -> CommandResult {
    try run("/bin/sh", ["-c", line], in: folder)
  }

  @Test("forecast, backtest and stream of a baseline run as printed, with a promotion known ahead")
  func baseline() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(Self.shop(rows: 0..<150), to: "the shop's days.csv")
    _ = try folder.write(Self.shop(rows: 150..<154, isKnown: false), to: "ahead.csv")
    let result = try apus(
      [
        "compare", "the shop's days.csv", "--target", "sold units", "--time", "Tag", "--future",
        "promo", "--future-data", "ahead.csv", "--models", "lstm", "--steps", "2", "--seeds", "1",
        "--width", "8", "--context", "14", "--horizon", "4", "--output", "my result", "-q",
      ], in: folder.path)
    #expect(result.status == 0, "\(result.errors)")
    let steps = try Self.steps(result.output)
    let forecast = try Self.shell(try #require(steps["Forecast"]), in: folder.path)
    #expect(forecast.status == 0 && forecast.lines.count == 5, "\(forecast.errors)")
    let written = try String(
      contentsOfFile: folder.path + "/my result/forecast.csv", encoding: .utf8)
    #expect(forecast.output == written)
    // Of 150² to 153² only the last leaves less than 3 over 11: 10 for its weekday, 40 for its promotion.
    let medians = forecast.lines.dropFirst().compactMap { Double($0.split(separator: ",")[2]) }
    try #require(medians.count == 4)
    #expect(abs(medians[3] - medians[2] - 50) < 10, "\(medians)")
    let backtest = try Self.shell(try #require(steps["Backtest"]), in: folder.path)
    #expect(backtest.status == 0 && backtest.output.contains("naive"), "\(backtest.errors)")
    let stream = try Self.shell(try #require(steps["Stream"]), in: folder.path)
    #expect(stream.status == 0 && stream.lines.count == 150, "\(stream.errors)")
    #expect(stream.lines.last?.contains("\"quantiles\":[[") == true)
    // Without the second file nobody knows the promotion of the days ahead.
    let none = try apus(
      [
        "forecast", "--model", "my result/winner", "--data", "the shop's days.csv",
      ], in: folder.path)
    #expect(none.status == 65 && none.errors.contains("--future-data"), "\(none.errors)")
  }

  @Test("those of a model train it again for the backtest, with the options of the comparison")
  func model() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(Self.follower(rows: 420), to: "follower.csv")
    let result = try apus(
      [
        "compare", data, "--target", "y", "--measure", "level", "--covariates", "x", "--models",
        "lstm", "--steps", "300", "--seeds", "1", "--width", "16", "--context=8", "--horizon", "1",
        "--output", folder.path + "/out", "-q",
      ], in: folder.path)
    #expect(result.status == 0 && result.output.contains("lstm beats"), "\(result.output)")
    let steps = try Self.steps(result.output)
    let line = try #require(steps["Backtest"])
    #expect(line.contains("--model lstm,") && line.contains("--context=8 --horizon 1"), "\(line)")
    for name in ["Forecast", "Backtest", "Stream"] {
      let found = try Self.shell(try #require(steps[name]), in: folder.path)
      let rows = ["Forecast": 2, "Backtest": 4, "Stream": 420][name]
      #expect(found.status == 0 && found.lines.count == rows, "\(name): \(found.errors)")
      #expect(!found.errors.contains("too good"))
    }
  }

  @Test(
    "tables with several targets, and with a series in each row, are streamed by what is printed")
  func wide() throws {
    let folder = try TemporaryFolder()
    let lines = (1...90).map { row in
      "\(row),\(5 + sin(Double(row))),\(9 + cos(Double(row * row)))"
    }
    let columns = try folder.write("t,a,b\n" + lines.joined(separator: "\n"), to: "two.csv")
    let names = (1...60).map { "V\($0)" }.joined(separator: ",")
    let series = (0..<5).map { number in
      let values = (1..<60 - number).map { "\(5 + Double(number) + sin(Double($0 * $0)))" }
      return "S\(number)," + values.joined(separator: ",")
        + String(repeating: ",", count: number)
    }
    let rows = try folder.write(
      names + "\n" + series.joined(separator: "\n"), to: "series.csv")
    // A forecast for each column of a line; one for each line that is a series.
    for (data, options, count) in [(columns, ["--target", "a,b"], 180), (rows, [], 5)] {
      let result = try apus(
        ["compare", data] + options + [
          "--measure", "level", "--models", "naive", "--horizon", "2", "--output",
          folder.path + "/out", "-q",
        ], in: folder.path)
      #expect(result.status == 0, "\(result.errors)")
      let steps = try Self.steps(result.output)
      var found: [String: CommandResult] = [:]
      for name in ["Forecast", "Backtest", "Stream"] {
        let one = try Self.shell(try #require(steps[name]), in: folder.path)
        #expect(one.status == 0 && one.lines.count > 3, "\(name): \(one.errors)")
        found[name] = one
      }
      #expect(found["Stream"]?.lines.count == count, "\(found["Stream"]?.errors ?? "")")
      // The last lines of the stream say what the forecast of the file says.
      let last = try #require(found["Stream"]?.lines.last)
      let forecast = try #require(found["Forecast"]?.lines.last?.split(separator: ",")[2])
      let middle = try #require(Double(forecast))
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
      let quantiles = try #require(object["quantiles"] as? [[Double]])
      #expect(abs(quantiles[1][4] - middle) < 1e-9)
    }
  }

  @Test("a file of rows ahead without columns that are known ahead is refused")
  func refused() throws {
    let result = try apus("compare", "--future-data", "ahead.csv")
    #expect(result.status == 64 && result.errors.contains("--future"), "\(result.errors)")
  }
}
