package import ApusEvaluation
package import ApusRuntime
import ApusTensor
import Foundation

/// What a comparison leaves on disk: `report.html`, `leaderboard.json`, `record.json`, `trials.jsonl`,
/// the folder `winner` of what is recommended, and of series its `forecast.csv`.
public struct ComparisonFolder: Sendable {
  /// The folder.
  public let path: String

  /// Makes the folder, or checks that it can be written, before hours of work depend on it.
  ///
  /// - Parameters:
  ///   - path: The folder.
  ///   - resume: Whether runs of an interrupted comparison stay, to go on from. Default: no, they go.
  /// - Throws: `ModelFolderError.cannotCreate(path:reason:)`, `FileError`.
  public init(_ path: String, resume: Bool = false) throws {
    self.path = path
    try ModelFolder.prepare(path)
    if !resume { try Files().removeTree(runsPath) }
  }

  /// The page to look at.
  public var reportPath: String { path + "/report.html" }
  /// The folder of the runs while the comparison lasts, from whose checkpoints it can go on.
  var runsPath: String { path + "/runs" }
  /// The file with a line for each training run of this comparison and of those before it.
  var trialsPath: String { path + "/" + TrialCount.file }
  /// The folder of what is recommended.
  public var winnerPath: String { path + "/winner" }

  /// Writes the record, the leaderboard, the report, the forecast and the winner's folder: all of one
  /// run, replaced together.
  ///
  /// - Parameters:
  ///   - record: What was found.
  ///   - winner: The files of what is recommended; nil when everything failed.
  ///   - forecast: What it says about the time ahead; nil for a text.
  /// - Throws: `FileError`; what stood there before stands.
  package func write(
    _ record: ComparisonRecord, winner: FolderContents?, forecast: FutureForecast? = nil
  ) throws {
    let page = try renderReport(record)
    try Files().commit(to: path) { draft in
      try draft.write("report.html", page.utf8)
      try draft.write("leaderboard.json", Leaderboard(record).json())
      try draft.write("record.json", record.json())
      try forecast.map { try draft.write("forecast.csv", Data(($0.csv() + "\n").utf8)) }
      try winner?.write(to: draft, in: "winner/")
    }
    try Files().removeTree(runsPath)
    // That of an earlier run does not belong to this report.
    if winner == nil { try Files().removeTree(winnerPath) }
  }
}
