import Apus
import ApusEvaluation
import Foundation
import Rainbow
import TextTable

/// Progress of a comparison on standard error: one line, rewritten on a terminal.
final class ComparisonPrinter {
  private let isQuiet: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private var lastShown = ContinuousClock.now - .seconds(60)
  private var lastPhase = ""

  init(isQuiet: Bool) { self.isQuiet = isQuiet }

  func show(_ progress: WorkProgress) {
    guard !isQuiet else { return }
    let now = ContinuousClock.now
    let pause: Swift.Duration = isTerminal ? .milliseconds(200) : .seconds(10)
    guard progress.phase != lastPhase || now - lastShown >= pause else { return }
    (lastShown, lastPhase) = (now, progress.phase)
    let left = progress.secondsLeft.map { ", about \(Int($0.rounded(.up))) s left" } ?? ""
    let line =
      "\(Int((progress.share * 100).rounded())) %  \(progress.phase): \(progress.detail)\(left)"
    FileHandle.standardError.write(Data((isTerminal ? "\r\u{1B}[K" + line : line + "\n").utf8))
  }

  func finish() {
    if isTerminal, !isQuiet { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
  }
}

/// The leaderboard as a table for a terminal.
struct LeaderboardPrinter {
  let record: ComparisonRecord

  init(_ record: ComparisonRecord) { self.record = record }

  func print() {
    let table = TextTable<ComparisonRow> { row in
      [
        Column(title: "name", value: row.name),
        Column(title: "kind", value: row.kind.rawValue),
        Column(title: record.task.lossName, value: number(row.loss, "%.6g")),
        Column(
          title: "skill", value: row.skill.map(Figures.skill) ?? "–"),
        Column(
          title: "95 % interval",
          value: row.interval.map(Figures.skills) ?? "–"),
        Column(title: "p", value: row.pValue.map(Figures.probability) ?? "–"),
        Column(title: "train s", value: number(row.seconds, "%.1f")),
        Column(title: "parameters", value: row.parameters.map(String.init) ?? "–"),
        Column(title: "status", value: row.status.rawValue),
      ]
    }
    table.print(record.ranked, style: Style.plain)
    for row in record.rows where row.message != nil {
      Swift.print("\(row.name): \(row.message ?? "")")
    }
  }

  private func number(_ value: Double?, _ format: String) -> String {
    value.map { String(format: format, $0) } ?? "–"
  }
}

/// Where the data is that ships with the project.
enum Sample {
  /// The S&P 500 sample: under the working directory, or beside the executable and up its tree.
  static func path() throws -> String {
    let name = "Samples/sp500.csv"
    var folders = [FileManager.default.currentDirectoryPath]
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
    while folder.path != "/" {
      folder.deleteLastPathComponent()
      folders.append(folder.path)
    }
    for folder in folders where FileManager.default.fileExists(atPath: folder + "/" + name) {
      return folder + "/" + name
    }
    throw ModelFolderError.missingFile(
      path: name, purpose: "the sample; give DATA, or run in the project's folder")
  }
}
