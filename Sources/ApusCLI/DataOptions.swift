import Apus
import ArgumentParser
import Foundation

/// What the user knows about the columns of a table.
struct ColumnOptions: ParsableArguments {
  @Option(help: "The column to forecast; inferred, or the model's, when left out.")
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
/// - Throws: `FileError` when nobody can take it, as on a full disk.
func emit(_ text: String) throws {
  do {
    try FileHandle.standardOutput.write(contentsOf: Data((text + "\n").utf8))
  } catch {
    throw FileError("write", "standard output")
  }
}

/// Cuts the name off a path.
func fileName(_ path: String) -> String { URL(fileURLWithPath: path).lastPathComponent }
