/// Tells columns that describe a row from those that measure something: counters, flags, categories, parts of
/// the calendar. Features are read beside the target, but are no target unless a person says so.
struct Features {
  private let layout: CSVLayout
  private let facts: [ColumnFacts]
  /// Some rows with their time.
  private let sample: [(row: Int, time: CivilTime, stamp: Timestamp)]

  init(_ layout: CSVLayout, facts: [ColumnFacts], stamps: [Timestamp?]) {
    self.layout = layout
    self.facts = facts
    sample = layout.sampleRows(400).compactMap { row in
      guard row < stamps.count, let stamp = stamps[row] else { return nil }
      return (row, stamp.civil, stamp)
    }
  }

  func isFeature(_ column: Int) -> Bool {
    let fact = facts[column]
    guard ColumnNames.targetRank(layout.names[column]) == nil else { return false }
    if fact.isCounter { return true }
    guard fact.isInteger else { return false }
    if fact.count >= 20, fact.distinct <= 2, fact.low == 0, fact.high <= 1 { return true }
    if fact.count >= max(24, fact.distinct * 8), fact.low >= 0, fact.high <= 12 { return true }
    return isCalendar(column)
  }

  /// Whether the numbers follow from the time of their rows.
  private func isCalendar(_ column: Int) -> Bool {
    guard sample.count >= 20, let values = facts[column].numbers?.values else { return false }
    let parts: [(CivilTime, Timestamp) -> Int] = [
      { time, _ in time.year }, { time, _ in time.month }, { time, _ in time.day },
      { time, _ in time.hour }, { time, _ in time.minute }, { time, _ in (time.month + 2) / 3 },
      { time, _ in time.dayOfYear }, { _, stamp in stamp.weekday },
      { _, stamp in (stamp.weekday + 1) % 7 }, { _, stamp in (stamp.weekday + 1) % 7 + 1 },
      { time, _ in (time.dayOfYear - 1) / 7 }, { time, _ in time.month / 3 % 4 },
    ]
    return parts.contains { part in
      guard let first = sample.first else { return false }
      let shift = values[first.row] - Double(part(first.time, first.stamp))
      let isConstant = Set(sample.map { part($0.time, $0.stamp) }).count == 1
      return !isConstant
        && sample.allSatisfy { values[$0.row] - Double(part($0.time, $0.stamp)) == shift }
    }
  }
}
