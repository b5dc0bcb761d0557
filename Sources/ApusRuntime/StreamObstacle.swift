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
    guard recipe.table != nil else { return "it is no table with a row for each time" }
    guard let file = FileHandle(forReadingAtPath: path) else { return "it cannot be opened" }
    defer { try? file.close() }
    var reader = LineForecasts.reader(of: self, recipes: [recipe], options: options)
    var lines = LineReader(descriptor: file.fileDescriptor)
    var reason = "it has no row"
    do {
      for _ in 0..<Self.mostFirstLines {
        guard let line = try lines.next() else { break }
        do {
          if try !reader.line(line).rows.isEmpty { return nil }
        } catch let error as RowError { reason = error.problem }
      }
      return reason
    } catch SeriesError.noSuchColumn(_, _, _) {
      return "one line does not name the columns that it reads"
    } catch { return "\(error)" }
  }

  /// So many lines are looked at: titles and names stand above the rows.
  private static let mostFirstLines = 64
}
