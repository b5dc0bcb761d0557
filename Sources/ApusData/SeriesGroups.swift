/// The rows of one series of a table.
struct SeriesGroup {
  /// Its name; nil where the table has no column of names.
  let label: String?
  /// Its rows in the order of the file.
  var rows: [Int]
}

extension SeriesGroup {
  /// The rows of each series, in the order in which the file first names them; rows without a time are left
  /// out.
  ///
  /// - Parameters:
  ///   - layout: The table.
  ///   - keys: Columns that name series together; without any there is one series.
  ///   - stamps: The time of each row.
  /// - Returns: The groups, none of them empty.
  static func all(_ layout: CSVLayout, keys: [Int], stamps: [Timestamp?]) -> [SeriesGroup] {
    let dated = stamps.indices.filter { stamps[$0] != nil }
    guard !keys.isEmpty else { return [SeriesGroup(label: nil, rows: dated)] }
    // Series by the hash of their names; of equal hashes the names are looked at.
    var places: [UInt64: [Int]] = [:]
    var groups: [SeriesGroup] = []
    var last: (row: Int, place: Int)?
    for row in dated {
      if let last, same(layout, keys, row, last.row) {
        groups[last.place].rows.append(row)
        continue
      }
      let hash = hash(layout, keys, row)
      let known = places[hash]?.first { same(layout, keys, row, groups[$0].rows[0]) }
      let place = known ?? groups.count
      if known == nil {
        let label = keys.map { layout.text(row, $0) }.joined(separator: "/")
        groups.append(SeriesGroup(label: label, rows: []))
        places[hash, default: []].append(place)
      }
      groups[place].rows.append(row)
      last = (row, place)
    }
    return groups
  }

  private static func same(_ layout: CSVLayout, _ keys: [Int], _ one: Int, _ other: Int) -> Bool {
    for key in keys where layout.cell(one, key) != layout.cell(other, key) { return false }
    return true
  }

  private static func hash(_ layout: CSVLayout, _ keys: [Int], _ row: Int) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
    for key in keys {
      for byte in layout.cell(row, key) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      hash = (hash ^ 0x1F) &* 0x100_0000_01B3
    }
    return hash
  }
}
