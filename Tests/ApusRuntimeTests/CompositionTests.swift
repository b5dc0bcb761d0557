import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import Foundation
import Testing

@Suite("Composition of experts")
struct CompositionTests {
  /// Saves two experts and a router that sends the calm to one and the wild to the other.
  private func composition(in folder: String, experts names: [String]) throws -> Composition {
    var entries: [Composition.Expert] = []
    for name in names {
      let saved = try StreamTests.model(name, measure: .level)
      try ModelFolder.save(
        saved.forecaster, recipe: saved.recipe, target: saved.target, to: folder + "/" + name)
      entries.append(Composition.Expert(name: name, path: "../" + name, bytes: 1))
    }
    var examples = RoutedExamples()
    for index in 0..<60 {
      let isTrend = index % 2 == 0
      let values = (0..<8).map { t in
        isTrend ? Double(t) + 0.01 * Double(index % 7) : Double((t * 5 + index) % 3)
      }
      let losses = names.indices.map { ($0 == 0) == isTrend ? 1.0 : 2 }
      examples.append(features: SeriesFeatures.vector(values), losses: losses)
    }
    let composition = Composition(
      task: .forecast, experts: entries,
      router: Router(training: examples, validation: examples, isScaled: true, coverage: 1),
      lookBack: 8, folder: folder + "/panel")
    try composition.save()
    return try ModelFolder.open(folder + "/panel").composition()
  }

  /// Rows that rise for a while, then jump about, then rise again.
  private func table(rows: Int) throws -> String {
    var lines = ["date,close,volume"]
    let start = Timestamp(year: 2018, month: 1, day: 1) ?? Timestamp(secondsSinceEpoch: 0)
    let stamps = try [start] + Cadence(.businessDays).stamps(after: start, count: rows - 1)
    for row in 0..<rows {
      let isTrend = row / 16 % 2 == 0
      let value = isTrend ? 100 + Double(row) : 100 + Double(row * 5 % 3) * 4
      lines.append("\(stamps[row]),\(value),\(1000 + row)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  @Test("a stream gives what a forecast of the table so far gives, expert by expert")
  func streamEqualsBatch() throws {
    try withFolder { folder in
      let composition = try composition(in: folder, experts: ["lstm", "mamba"])
      var options = SeriesOptions()
      options.targets = ["close"]
      var lines = try LineForecasts(composition, options: options, warmUp: 0)
      var used: Set<String> = []
      for (number, line) in try table(rows: 70).split(separator: "\n").enumerated() {
        guard let streamed = try lines.push(String(line)), number % 6 == 3 else { continue }
        let path = folder + "/part.csv"
        try Data(
          table(rows: 70).split(separator: "\n").prefix(number + 1).joined(separator: "\n").utf8
        )
        .write(to: URL(fileURLWithPath: path))
        let part = try SeriesTable(readingCSVAt: path, options: options)
        let forecast = try FutureForecast(composition, table: part)
        let one = try #require(forecast.series.first)
        used.insert(one.expert ?? "")
        let pairs = zip(one.quantiles.joined(), try #require(streamed.quantiles).joined())
        #expect(pairs.allSatisfy { abs($0 - $1) < 1e-4 * max(1, abs($0)) }, "row \(number)")
      }
      #expect(used == ["lstm", "mamba"], "\(used)")
    }
  }

  @Test("with one expert gives what the expert gives, to the bit")
  func single() throws {
    try withFolder { folder in
      let composition = try composition(in: folder, experts: ["mamba"])
      let path = folder + "/data.csv"
      try Data(try table(rows: 45).utf8).write(to: URL(fileURLWithPath: path))
      var options = SeriesOptions()
      options.targets = ["close"]
      let table = try SeriesTable(readingCSVAt: path, options: options)
      let alone = try FutureForecast(try Model(at: folder + "/mamba"), table: table)
      #expect(
        try FutureForecast(composition, table: table).series[0].quantiles
          == alone.series[0].quantiles)
    }
  }

  @Test("damaged files and wrong tasks are named")
  func damaged() throws {
    try withFolder { folder in
      let composition = try composition(in: folder, experts: ["lstm", "mamba"])
      #expect(try composition.expert(1).path == folder + "/panel/../mamba")
      let card = folder + "/panel/coe.json"
      let text = try String(contentsOfFile: card, encoding: .utf8)
      func load(_ change: (String) -> String) throws {
        try Data(change(text).utf8).write(to: URL(fileURLWithPath: card))
        _ = try ModelFolder.open(folder + "/panel").composition()
      }
      #expect(throws: JSONFileError.self) { try load { String($0.prefix(20)) } }
      #expect(throws: JSONFileError.self) { try load { _ in "{}" } }
      #expect(throws: ModelFolderError.self) {
        try load { $0.replacing("\"forecast\"", with: "\"language\"") }
      }
      #expect(throws: ModelFolderError.self) {
        try load { $0.replacing("\"lookBack\" : 8", with: "\"lookBack\" : 0") }
      }
      #expect(throws: RouterError.self) {
        try load {
          $0.replacing(
            "\"experts\" : [", with: #""experts" : [ {"name": "x", "path": "x", "bytes": 1},"#)
        }
      }
      #expect(throws: ModelFolderError.self) {
        try ModelFolder.open(folder + "/none").composition()
      }
    }
  }

  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/apus-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }
}
