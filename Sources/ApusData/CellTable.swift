/// A CSV with a header as cells of text, for tables whose columns are known by name.
package struct CellTable: Sendable {
  /// The names of the columns.
  package let names: [String]
  /// The cells of every row, as many as there are names.
  package let rows: [[String]]
  /// The line of every row, from 1.
  package let lines: [Int]

  /// Reads a file whose fields are parted by the comma, semicolon, tab or bar that its header has most of.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - limit: The most bytes. Default: 1 GiB.
  /// - Throws: ``SeriesError`` for a file that cannot be read, is empty, or has a row of another width.
  package init(readingCSVAt path: String, limit: Int = 1 << 30) throws {
    let source = try SourceFile(path: path, limit: limit)
    let header = source.bytes.prefix { $0 != 0x0A }
    let delimiter = ",;\t|".utf8.max { one, other in
      header.count { $0 == one } < header.count { $0 == other }
    }
    let table = try CSVTable(source, delimiter: delimiter ?? 0x2C)
    guard table.rowCount > 0 else { throw SeriesError.empty(file: source.name) }
    func cells(_ row: Int) -> [String] {
      (0..<table.fieldCount(row: row)).map { table.text(row: row, column: $0) }
    }
    names = cells(0)
    var rows: [[String]] = []
    for row in 1..<max(1, table.rowCount) {
      let found = table.fieldCount(row: row)
      guard found == names.count, !table.malformedRows.contains(row) else {
        throw SeriesError.tooManyBadRows(
          file: source.name, bad: 1, rows: table.rowCount, line: table.lines[row],
          reason: "found \(found) fields, expected \(names.count) as in the header")
      }
      rows.append(cells(row))
    }
    self.rows = rows
    lines = Array(table.lines.dropFirst())
  }
}
