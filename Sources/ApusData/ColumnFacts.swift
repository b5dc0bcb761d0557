/// What the cells of one column are, by all of them.
struct ColumnFacts {
  /// Its numbers, where most of its cells are numbers.
  let numbers: NumberColumn?
  /// Whether every number is whole.
  let isInteger: Bool
  /// The smallest and the largest number; 0 without any.
  let low: Double
  /// See ``low``.
  let high: Double
  /// Whether numbers rise, or fall, from each row to the next.
  let isMonotonic: Bool
  /// Whether numbers never fall.
  let isSorted: Bool
  /// Whether each number is one more than the one above it.
  let isCounter: Bool
  /// Rows that hold a number.
  let count: Int
  /// Different numbers, at most ``distinctLimit``.
  let distinct: Int

  /// Beyond so many, different numbers are not counted on.
  static let distinctLimit = 64

  var isNumeric: Bool { numbers != nil }

  /// Looks at every cell; a column of which a sample holds no number is one of text.
  init(_ layout: CSVLayout, _ column: Int) {
    let sample = layout.sample(column, limit: 300)
    let style = layout.styles[column]
    var (hits, bad) = (0, 0)
    for cell in sample {
      switch style.parse(cell) {
      case .number: hits += 1
      case .bad: bad += 1
      case .missing: break
      }
    }
    let hasNumbers = hits > 0 && hits >= bad
    numbers = hasNumbers ? NumberColumn(layout, column, style: style) : nil
    var (low, high) = (Double.infinity, -Double.infinity)
    var (isInteger, rises, falls, counts, climbs) = (true, true, true, true, true)
    var count = 0
    var last = Double.nan
    var seen: Set<Double> = []
    for value in numbers?.values ?? [] where !value.isNaN {
      count += 1
      low = min(low, value)
      high = max(high, value)
      if isInteger, value != value.rounded(.towardZero) { isInteger = false }
      if count > 1 {
        rises = rises && value > last
        falls = falls && value < last
        counts = counts && value == last + 1
        climbs = climbs && value >= last
      }
      if seen.count < Self.distinctLimit { seen.insert(value) }
      last = value
    }
    self.count = count
    distinct = seen.count
    self.isInteger = isInteger && count > 0
    self.low = count > 0 ? low : 0
    self.high = count > 0 ? high : 0
    isMonotonic = count >= 10 && (rises || falls)
    isSorted = count >= 10 && climbs
    isCounter = count >= 10 && counts
  }
}
