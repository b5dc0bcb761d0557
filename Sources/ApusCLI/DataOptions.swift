import Apus
import ArgumentParser
import Foundation

/// The user's statements about the columns of a table.
struct ColumnOptions: ParsableArguments {
  @Option(
    help: "The column to forecast, or several separated by commas, * for all; else inferred.")
  var target: String?
  @Option(help: "The column that names the series of a long table.")
  var id: String?
  @Option(help: "The column of the time.")
  var time: String?
  @Flag(
    inversion: .prefixedNo,
    help: "Whether 03/04/2015 is the 3rd of April; inferred when left out.")
  var dayFirst: Bool?

  /// The same for the library.
  var reading: SeriesOptions {
    var reading = SeriesOptions()
    reading.targets = target.map(commaSeparated) ?? []
    (reading.id, reading.time, reading.dayFirst) = (id, time, dayFirst)
    return reading
  }
}

/// How cells of CSV are written.
struct CellOptions: ParsableArguments {
  @Flag(
    inversion: .prefixedNo,
    help: """
      In CSV, put an apostrophe before a name that a spreadsheet would take for a formula: one that \
      begins with =, +, -, @, a tab or a line end and is no number. JSON has names as they are.
      """)
  var formulaGuard = true
}

/// What a file of data holds.
enum DataKind: String, ExpressibleByArgument, CaseIterable {
  case series, text

  /// The kind that was asked for, or else what the file's name says.
  init(_ asked: DataKind?, path: String) {
    self = asked ?? (path.hasSuffix(".txt") || path.hasSuffix(".md") ? .text : .series)
  }
}

/// What a forecaster is asked for; all of it is of series alone.
struct ForecastOptions: ParsableArguments {
  @OptionGroup var columns: ColumnOptions
  @Option(parsing: .unconditional, help: "Rows ahead, for series; 5 when left out.")
  var horizon: Int?
  @Option(
    parsing: .unconditional, help: "Rows that make one token, for series; it divides the context.")
  var patch: Int?
  @Option(help: "What is forecast: returns, volatility or level; inferred when left out.")
  var measure: Measure?
  @Option(help: "Columns that models read beside the target, separated by commas.")
  var covariates: String?

  func validate() throws {
    try requireRange([("--horizon", horizon, 4096), ("--patch", patch, 1024)])
  }

  /// Refuses them where a text is read: none is taken and then ignored.
  func require(_ kind: DataKind, path: String) throws {
    let given = [
      ("--target", columns.target != nil), ("--id", columns.id != nil),
      ("--time", columns.time != nil), ("--day-first", columns.dayFirst != nil),
      ("--horizon", horizon != nil), ("--patch", patch != nil), ("--measure", measure != nil),
      ("--covariates", covariates != nil),
    ]
    guard kind == .text, let (name, _) = given.first(where: \.1) else { return }
    throw UsageError(
      "\(name) is for series, but '\(path)' is read as a text. Leave it out, or add --kind series.")
  }
}

/// The words of a list as people type it.
func commaSeparated(_ text: String) -> [String] {
  text.split(separator: ",").map(\.trimmed).filter { !$0.isEmpty }
}

/// Refuses numbers outside of what an option can be.
func requireRange(_ options: [(name: String, value: Int?, most: Int)]) throws {
  for (name, value, most) in options {
    guard let value, !(1...most).contains(value) else { continue }
    throw ValidationError("\(name) is \(value), but it must be in 1...\(most).")
  }
}

/// Writes to standard output at once.
///
/// - Throws: `FileError` when it cannot be written, as on a full disk.
func emit(_ text: String, end: String = "\n") throws {
  do {
    try FileHandle.standardOutput.write(contentsOf: Data((text + end).utf8))
  } catch {
    throw FileError("write", "standard output")
  }
}

/// Cuts the name off a path.
func fileName(_ path: String) -> String { URL(fileURLWithPath: path).lastPathComponent }
