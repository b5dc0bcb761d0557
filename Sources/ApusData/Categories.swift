/// A column of words as numbers: for each class that is known one column, 1 where the row is of the class. A word
/// that is not known is of no class, and so are those beyond the most frequent of training; an empty cell is
/// missing.
struct CategoryColumn {
  /// The name of the column.
  let name: String
  /// The words that are known, the most frequent first.
  let classes: [String]

  /// More classes than this teach little and cost a column each.
  static let most = 32

  init(name: String, classes: [String]) { (self.name, self.classes) = (name, classes) }

  /// Takes the classes of a column from all of its cells.
  init(_ layout: CSVLayout, _ column: Int) {
    var counts: [String: Int] = [:]
    for row in layout.rows.indices {
      let word = Self.word(layout.text(row, column))
      if !word.isEmpty { counts[word, default: 0] += 1 }
    }
    let ranked = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    self.init(name: layout.names[column], classes: ranked.prefix(Self.most).map(\.key))
  }

  /// The names of its columns: `region=north`.
  var names: [String] { classes.map { "\(name)=\($0)" } }

  /// The numbers of a cell, one for each class; NaN where it is empty.
  func numbers(_ cell: String) -> [Double] {
    let word = Self.word(cell)
    return classes.map { word.isEmpty ? .nan : $0 == word ? 1 : 0 }
  }

  /// The columns of a whole table.
  func covariates(_ layout: CSVLayout, _ column: Int) -> [Covariate] {
    var columns = names.map { Covariate(name: $0, values: []) }
    for row in layout.rows.indices {
      for (place, number) in numbers(layout.text(row, column)).enumerated() {
        columns[place].values.append(number)
      }
    }
    return columns
  }

  private static func word(_ cell: String) -> String { cell.trimmed }
}
