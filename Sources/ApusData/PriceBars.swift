/// Four columns side by side that are open, high, low and close of bars, known by what their rows hold.
struct PriceBars {
  /// The column of the open; high, low and close follow it.
  let open: Int
  /// The column of the close.
  var close: Int { open + 3 }

  /// Looks at a sample of rows: high is never below the others and low never above.
  ///
  /// - Parameters:
  ///   - layout: The table.
  ///   - columns: Columns of numbers; nil takes all.
  init?(_ layout: CSVLayout, columns: [Int]? = nil) {
    let rows = layout.sampleRows(2_000)
    let all = columns ?? Array(layout.names.indices)
    for start in all where (0..<4).allSatisfy({ all.contains(start + $0) }) {
      var (seen, kept, moves) = (0, 0, 0)
      for row in rows {
        let cells = (0..<4).compactMap { offset -> Double? in
          let style = layout.styles[start + offset]
          if case .number(let value) = style.parse(layout.cell(row, start + offset)) {
            return value
          }
          return nil
        }
        guard cells.count == 4 else { continue }
        seen += 1
        if cells[1] >= max(cells[0], cells[3]), cells[2] <= min(cells[0], cells[3]), cells[2] > 0 {
          kept += 1
        }
        if cells[1] > cells[2] { moves += 1 }
      }
      if seen >= 20, kept * 100 >= seen * 99, moves * 2 > seen {
        open = start
        return
      }
    }
    return nil
  }

  /// The names of bars for a table that names no columns, which the numbers behind them end: the volume.
  func names(_ layout: CSVLayout) -> [String] {
    var names = layout.names
    for (offset, name) in ["open", "high", "low", "close"].enumerated() {
      names[open + offset] = name
    }
    if close + 1 < names.count, !layout.sample(close + 1, limit: 50).isEmpty,
      layout.sample(close + 1, limit: 50).allSatisfy({ NumberBody($0) != nil })
    {
      names[close + 1] = "volume"
    }
    return names
  }
}
