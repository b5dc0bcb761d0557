public import ApusEvaluation
import ApusModels
import ApusRuntime
import Foundation

/// What a comparison leaves on disk: `report.html`, `leaderboard.json`, `record.json`, and the winner's
/// folder `winner`.
public struct ComparisonFolder: Sendable {
  /// The folder.
  public let path: String

  /// Makes the folder, or checks that it can be written, before hours of work depend on it.
  ///
  /// - Throws: ``ModelFolderError/cannotCreate(path:reason:)``.
  public init(_ path: String) throws {
    self.path = path
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      let probe = URL(fileURLWithPath: path + "/.probe")
      try Data().write(to: probe, options: .atomic)
      try FileManager.default.removeItem(at: probe)
    } catch {
      throw ModelFolderError.cannotCreate(path: path, reason: error.localizedDescription)
    }
  }

  /// The page to look at.
  public var reportPath: String { path + "/report.html" }
  /// The winner's folder.
  public var winnerPath: String { path + "/winner" }

  /// Writes the record, the leaderboard and the report, each as a whole.
  ///
  /// - Throws: ``ModelFolderError/cannotCreate(path:reason:)``.
  public func write(_ record: ComparisonRecord) throws {
    let page = try renderReport(record)
    try write(Data(page.utf8), to: "report.html")
    try write(Leaderboard(record).json(), to: "leaderboard.json")
    try write(record.json(), to: "record.json")
  }

  private func write(_ data: Data, to name: String) throws {
    do {
      try data.write(to: URL(fileURLWithPath: path + "/" + name), options: .atomic)
    } catch {
      throw ModelFolderError.cannotCreate(
        path: path + "/" + name, reason: error.localizedDescription)
    }
  }
}
