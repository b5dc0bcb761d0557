import ApusTensor

/// A mark between the whole part and the fraction of a number.
public enum DecimalMark: String, Codable, Sendable, CaseIterable {
  /// `1,234.5`.
  case point
  /// `1.234,5`.
  case comma
}

/// What the cells of a column say about the way its numbers are written.
///
/// Every cell counts, and each column has its own: `1.735` beside `112,115` is a decimal, and `1.735`
/// beside `12,5` a thousand.
struct MarkVotes {
  /// Cells that only a decimal point explains, and only a decimal comma.
  var (point, comma) = (0, 0)
  /// Cells that fit both, as `1.735`: three digits behind one mark that could part thousands.
  var (openPoint, openComma) = (0, 0)
  /// Cells of one to three digits without a mark, and of more, which no one who parts thousands writes.
  var (short, long) = (0, 0)
  /// The first cell that fits both readings.
  var openRow: Int?

  /// Takes in a cell.
  mutating func add(_ cell: ArraySlice<UInt8>, row: Int) {
    // Most cells are digits and at most one point: they go the short way.
    var (digits, mark, start) = (0, -1, cell.startIndex)
    if let first = cell.first, first == 0x2D || first == 0x2B { start += 1 }
    for index in start..<cell.endIndex {
      let byte = cell[index]
      if byte >= 0x30, byte <= 0x39 {
        digits += 1
      } else if byte == 0x2E, mark < 0 {
        mark = index
      } else {
        addOther(cell, row: row)
        return
      }
    }
    guard digits > 0 else { return }
    if mark >= 0 {
      addOne(0x2E, cell[start...], row: row)
    } else if digits > 3 {
      long += 1
    } else if digits > 1 || cell[start] != 0x30 {  // a zero is often written without its decimals
      short += 1
    }
  }

  /// Takes in the plain numbers of a column.
  mutating func add(_ plain: DecimalMarks) {
    point += plain.point
    openPoint += plain.open
    short += plain.short
    long += plain.long
    if let first = plain.firstOpen { openRow = min(openRow ?? first, first) }
  }

  private mutating func addOther(_ cell: ArraySlice<UInt8>, row: Int) {
    guard let body = NumberBody(cell)?.digits else { return }
    let points = body.count { $0 == 0x2E }
    let commas = body.count { $0 == 0x2C }
    switch (points, commas) {
    case (0, 0):
      if body.contains(where: NumberBody.neutral.contains) { return }
      if body.count > 3 { long += 1 } else { short += 1 }
    case (1, 0): addOne(0x2E, body, row: row)
    case (0, 1): addOne(0x2C, body, row: row)
    case (2..., 0): if Self.isGrouped(body, 0x2E) { comma += 1 }  // 1.234.567
    case (0, 2...): if Self.isGrouped(body, 0x2C) { point += 1 }  // 1,234,567
    default:
      guard let dot = body.lastIndex(of: 0x2E), let mark = body.lastIndex(of: 0x2C) else { return }
      if dot > mark { point += 1 } else { comma += 1 }
    }
  }

  /// Whether the last separator is followed by three digits, as thousands are; a date is not.
  private static func isGrouped(_ body: ArraySlice<UInt8>, _ separator: UInt8) -> Bool {
    let groups = body.split(separator: separator, omittingEmptySubsequences: false)
    return groups.last?.count == 3
      && groups.dropFirst().dropLast().allSatisfy { (2...3).contains($0.count) }
  }

  private mutating func addOne(_ mark: UInt8, _ body: ArraySlice<UInt8>, row: Int) {
    guard let place = body.firstIndex(of: mark) else { return }
    let whole = body[..<place]
    let isOpen =
      body.endIndex - place == 4 && (1...3).contains(whole.count) && whole.first != 0x30
      && body.allSatisfy { digitValue($0) != nil || $0 == mark }
    if isOpen {
      if mark == 0x2E { openPoint += 1 } else { openComma += 1 }
      if openRow == nil { openRow = row }
    } else if mark == 0x2E {
      point += 1
    } else {
      comma += 1
    }
  }

  /// The decimal mark that the column alone tells; nil where it does not.
  ///
  /// `980` among cells that all have three digits behind the mark: a writer of decimals would not drop them
  /// all at once, one who parts thousands has nothing to part.
  var decided: DecimalMark? {
    if point != comma { return point > comma ? .point : .comma }
    if openPoint > 0, openComma == 0 {
      if long > 0 { return .point }
      if short > 0, openPoint + short >= 20 { return .comma }
    }
    if openComma > 0, openPoint == 0 {
      if long > 0 { return .comma }
      if short > 0, openComma + short >= 20 { return .point }
    }
    return nil
  }

  /// Whether both readings fit a cell, and other columns or a person have to decide.
  var isOpen: Bool { openPoint + openComma > 0 }
}

/// One column of numbers with what became of its cells.
struct NumberColumn {
  /// One per row; NaN where there is none.
  var values: [Double]
  /// Rows whose cell is no number.
  var bad: [Int] = []
  /// Rows whose cell stands for nothing.
  var missing: [Int] = []

  /// Reads every cell of a column.
  init(_ layout: CSVLayout, _ column: Int, style: NumberStyle) {
    if let plain = layout.decimals[column], plain.fits(style) {
      values = plain.values
      for row in plain.others { add(style.parse(layout.cell(row, column)), row: row) }
      return
    }
    values = Array(repeating: .nan, count: layout.rows.count)
    for row in layout.rows.indices {
      add(style.parse(layout.cell(row, column)), row: row)
    }
  }

  private mutating func add(_ cell: NumberCell, row: Int) {
    switch cell {
    case .number(let value): values[row] = value
    case .missing: missing.append(row)
    case .bad: bad.append(row)
    }
  }
}

/// The cells of a column that are an optional sign and digits with at most one point.
struct PlainDecimals {
  /// One per row; NaN where a cell is anything else.
  let values: [Double]
  /// How they are written.
  let marks: DecimalMarks
  /// The rows whose cell is anything else.
  let others: [Int]

  /// Reads every cell of a column.
  init(_ cells: TextCells, _ column: Int) {
    let read = cells.decimals(column)
    (values, marks) = (read.values, read.marks)
    others = read.values.indices.filter { read.values[$0].isNaN }
  }

  /// Whether the numbers are those that a style reads: it has a decimal point, or no number has a mark, and it
  /// takes no number for a missing one.
  func fits(_ style: NumberStyle) -> Bool {
    (!style.usesDecimalComma || marks.point + marks.open == 0)
      && style.missingWords.count <= NumberStyle.usualMissingWords.count
  }
}
