package import ApusEvaluation
package import ApusRuntime
import ApusTensor
import Foundation

/// What a comparison leaves on disk: `report.html`, `leaderboard.json`, `record.json`, and the winner's
/// folder `winner`.
public struct ComparisonFolder: Sendable {
  /// The folder.
  public let path: String

  /// Makes the folder, or checks that it can be written, before hours of work depend on it.
  ///
  /// - Throws: `ModelFolderError.cannotCreate(path:reason:)`.
  public init(_ path: String) throws {
    self.path = path
    try ModelFolder.prepare(path)
  }

  /// The page to look at.
  public var reportPath: String { path + "/report.html" }
  /// The winner's folder.
  public var winnerPath: String { path + "/winner" }

  /// Writes the record, the leaderboard, the report, and the winner's folder: all of one run, replaced
  /// together.
  ///
  /// - Parameters:
  ///   - record: What was found.
  ///   - winner: The files of the model that validation chose; nil when none survived.
  /// - Throws: `FileError`; what stood there before stands.
  package func write(_ record: ComparisonRecord, winner: FolderContents?) throws {
    let page = try renderReport(record)
    try Files().commit(to: path) { draft in
      try draft.write("report.html", page.utf8)
      try draft.write("leaderboard.json", Leaderboard(record).json())
      try draft.write("record.json", record.json())
      try winner?.write(to: draft, in: "winner/")
    }
    // That of an earlier run does not belong to this report.
    if winner == nil { try Files().removeTree(winnerPath) }
  }
}
