/// The names of columns from one or more lines above the rows.
struct HeaderNames {
  /// One name per column; empty where the file has none.
  var names: [String] = []
  /// The series of each column, where one line names what is measured and another of what; nil for columns
  /// that belong to all, such as the time.
  var entities: [String?] = []
  /// What was assumed, as sentences.
  var notes: [String] = []

  /// Whether columns belong to several series.
  var hasEntities: Bool { entities.contains { $0 != nil } }

  /// Reads the lines of names.
  ///
  /// - Parameters:
  ///   - lines: The cells of each line, from the top.
  ///   - first: The number of the first line in the file, for remarks.
  init(_ lines: [[String]], first: Int) {
    guard let top = lines.first else { return }
    names = top
    guard lines.count > 1 else { return }
    let width = lines.map(\.count).max() ?? 0
    var levels = lines.map { $0 + Array(repeating: "", count: width - $0.count) }
    var index: [Int: String] = [:]
    // `Date,,,`: a line that names only the columns of the rows.
    if let last = levels.last, let filled = last.firstIndex(where: { !$0.isEmpty }),
      last[(filled + 1)...].allSatisfy(\.isEmpty), width > 1
    {
      index[filled] = last[filled]
      levels.removeLast()
    }
    let labelled = (0..<width).filter { column in
      index[column] == nil && (index.isEmpty ? column > 0 || !levels[0][0].isEmpty : true)
    }
    for level in levels.indices.dropLast() { Self.fill(&levels[level], in: labelled) }
    let shared = index.keys.first ?? (Self.isTimeColumn(levels) ? 0 : nil)
    settle(levels, shared: shared, index: index, first: first)
  }

  /// The first column is named in one line alone, or as a time.
  private static func isTimeColumn(_ levels: [[String]]) -> Bool {
    levels.contains { ColumnNames.isTime($0.first ?? "") }
      || levels.count { !($0.first ?? "").isEmpty } < levels.count
  }

  /// Gives a name of a merged cell to the empty cells behind it.
  private static func fill(_ level: inout [String], in columns: [Int]) {
    var last = ""
    for column in columns {
      if level[column].isEmpty { level[column] = last } else { last = level[column] }
    }
  }

  private mutating func settle(
    _ levels: [[String]], shared: Int?, index: [Int: String], first: Int
  ) {
    let width = levels.first?.count ?? 0
    let columns = (0..<width).filter { $0 != shared }
    names = (0..<width).map { column in
      if let shared, column == shared {
        return index[column] ?? levels.map { $0[column] }.first { ColumnNames.isTime($0) }
          ?? levels.map { $0[column] }.last { !$0.isEmpty } ?? ""
      }
      return levels.map { $0[column] }.filter { !$0.isEmpty }.joined(separator: " ")
    }
    entities = Array(repeating: nil, count: width)
    guard levels.count == 2, columns.count > 0 else {
      if levels.count == 1 { names = (0..<width).map { index[$0] ?? levels[0][$0] } }
      return
    }
    let (top, low) = (columns.map { levels[0][$0] }, columns.map { levels[1][$0] })
    func isUnique(_ labels: [String]) -> Bool { Set(labels).count == labels.count }
    func bars(_ labels: [String]) -> Int {
      Set(labels.compactMap { PriceColumn(columnName: $0) }).count
    }
    let isGrid = isUnique(zip(top, low).map { "\($0)\u{0}\($1)" })
    if isGrid, max(bars(top), bars(low)) >= 2 {
      let fields = bars(top) >= bars(low) ? 0 : 1
      for column in columns {
        names[column] = levels[fields][column]
        entities[column] = levels[1 - fields][column]
      }
      notes.append(
        "Line \(first + fields) names what is measured, line \(first + 1 - fields) of which series."
      )
    } else if isUnique(top), !top.contains("") {
      for column in columns { names[column] = levels[0][column] }
      notes.append("Line \(first + 1) stands below the names and was taken as units or remarks.")
    } else if isUnique(low), !low.contains("") {
      for column in columns { names[column] = levels[1][column] }
      notes.append("Line \(first) stands above the names and was taken as a title.")
    } else {
      notes.append("Names of \(levels.count) lines were joined.")
    }
  }
}
