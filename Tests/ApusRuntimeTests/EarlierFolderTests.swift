import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// What the version before wrote, by `Scripts/make-folder-fixtures`, and what it computed from it.
@Suite("Folders of the version before")
struct EarlierFolderTests {
  static let folder = (try? fixturePath("before")) ?? ""
  static let forecasters =
    (try? Files.names(in: folder).filter { $0.hasPrefix("forecaster-") }.sorted()) ?? []

  static func text(_ name: String) throws -> String {
    String(
      decoding: try #require(FileManager.default.contents(atPath: "\(folder)/\(name)")),
      as: UTF8.self)
  }

  /// Words by word: numbers to 1e-5 of their size, everything else equal.
  static func expectSame(_ found: String, _ expected: String, _ name: String) {
    func words(_ text: String) -> [Substring] {
      text.split { ",[]\n\t:{}".contains($0) }
    }
    let (one, other) = (words(found), words(expected))
    #expect(one.count == other.count, "\(name)")
    for (a, b) in zip(one, other) where a != b {
      let (x, y) = (Double(a) ?? .nan, Double(b) ?? .nan)
      #expect(abs(x - y) <= 1e-5 * max(abs(y), 0.01), "\(name): \(a), expected \(b)")
    }
  }

  @Test("forecast as they did", arguments: forecasters)
  func forecast(name: String) throws {
    let folder = try ModelFolder.open("\(Self.folder)/\(name)")
    let forecast = try FutureForecast(folder, readingCSVAt: Self.folder + "/series.csv")
    Self.expectSame(forecast.csv() + "\n", try Self.text("\(name)/expected-forecast.csv"), name)
    var lines = try LineForecasts(folder, warmUp: 0)
    let format = lines.format
    var found: [String] = []
    for line in try Self.text("series.csv").split(separator: "\n").prefix(40) {
      guard let forecast = try lines.push(String(line)) else { continue }
      // Their lines had neither of the two.
      let text = String(decoding: format.json(forecast), as: UTF8.self)
      found.append(text.replacing(#/"(anomaly|drift)":[^,]+,/#, with: ""))
    }
    Self.expectSame(
      found.suffix(3).joined(separator: "\n") + "\n",
      try Self.text("\(name)/expected-stream.jsonl"),
      name)
  }

  @Test("keep their weights to the bit when they are saved again", arguments: forecasters)
  func resaved(name: String) throws {
    let saved = try ModelFolder.open("\(Self.folder)/\(name)").forecaster().load()
    let old = try Safetensors.load("\(Self.folder)/\(name)")
    try withTemporaryFolder { folder in
      try ModelFolder.save(
        saved.forecaster, recipe: saved.recipe, target: saved.target, to: folder)
      let new = try Safetensors.load(folder)
      #expect(new.keys.sorted() == old.keys.sorted())
      for (key, tensor) in old { expectSameBits(new[key]?.values ?? [], tensor.values, key) }
      let again = try ModelFolder.open(folder)
      let forecast = try FutureForecast(again, readingCSVAt: Self.folder + "/series.csv")
      Self.expectSame(forecast.csv() + "\n", try Self.text("\(name)/expected-forecast.csv"), name)
      #expect(try again.forecaster().recipe == saved.recipe)
    }
  }

  @Test("score as they did", arguments: ["language-mamba", "language-transformer"])
  func score(name: String) throws {
    let scores = try TokenScores(
      ofFile: Self.folder + "/tokens.json", modelAt: "\(Self.folder)/\(name)")
    let lines = zip(scores.tokens, scores.logProbabilities).enumerated().map { place, score in
      "\(place)\t\(score.0)\t\(score.1.map { "\($0)" } ?? "")\n"
    }
    Self.expectSame(lines.joined(), try Self.text("\(name)/expected-score.txt"), name)
  }

  @Test("route as they did")
  func composition() throws {
    let folder = try ModelFolder.open(Self.folder + "/composition")
    let forecast = try FutureForecast(folder, readingCSVAt: Self.folder + "/series.csv")
    Self.expectSame(
      forecast.csv() + "\n", try Self.text("composition/expected-forecast.csv"), "composition")
  }
}
