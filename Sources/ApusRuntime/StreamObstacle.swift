package import ApusData
import ApusTensor
import Foundation

extension Model {
  /// Why a stream cannot read the rows of a file that the model was fitted to.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - options: What is known about its columns.
  /// - Returns: A part of a sentence; nil where one of the first lines is read as a row.
  package func streamObstacle(inFileAt path: String, options: SeriesOptions) -> String? {
    guard let format = recipe.table else { return "it is no table with a row for each time" }
    if case .header = format.time { return "it has a row for each series" }
    guard let file = FileHandle(forReadingAtPath: path) else { return "it cannot be opened" }
    defer { try? file.close() }
    var reader = LineForecasts.reader(of: self, recipes: [recipe], options: options)
    var lines = LineReader(descriptor: file.fileDescriptor)
    var reason = "it has no row"
    do {
      for _ in 0..<Self.mostFirstLines {
        guard let line = try lines.next() else { break }
        do {
          if try reader.row(line) != nil { return nil }
        } catch let error as RowError { reason = error.problem }
      }
      return reason
    } catch SeriesError.noSuchColumn(_, _, _) {
      return "a stream reads one column of values"
    } catch { return "\(error)" }
  }

  /// So many lines are looked at: titles and names stand above the rows.
  private static let mostFirstLines = 64
}
