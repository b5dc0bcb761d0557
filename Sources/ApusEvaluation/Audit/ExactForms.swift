/// Relations that hold in every row: a series shifted, but for a factor and a constant, or a statistic of a
/// window of it.
struct ExactForms {
  let column: [Double]
  let series: [Double]
  /// The first lead that is the future.
  let first: Int
  /// How far apart two numbers may be that are printed or summed otherwise.
  private let tolerance: Double
  /// How far printed numbers of the column and of the series may be off; 0 where that would tell nothing.
  private let rounding: [Double]
  /// Rows that a shift is tried at before all others: the smallest and the largest value of the column in
  /// its middle, and one between.
  private let probes: [Int]

  init(column: [Double], series: [Double], first: Int) {
    (self.column, self.series, self.first) = (column, series, first)
    let steps = zip(column.dropFirst(), column).map { $0 - $1 }
    let step = AuditStatistics.variance(steps).squareRoot()
    // Numbers that were printed are rounded; where rounding is as wide as the steps it tells nothing.
    let printed = [column, series].map { 0.6 / Self.power(AuditStatistics.decimals($0)) }
    let tells = printed.reduce(0, +) < 0.02 * step
    rounding = tells ? printed : [0, 0]
    let size = column.reduce(0) { max($0, abs($1)) }
    tolerance = tells ? printed.reduce(0, +) : 1e-9 * size
    let middle = column.count / 3..<column.count - column.count / 3
    let least = middle.min { column[$0] < column[$1] } ?? 0
    let most = middle.max { column[$0] < column[$1] } ?? 0
    let between = middle.min { one, other in
      let center = (column[least] + column[most]) / 2
      return abs(column[one] - center) < abs(column[other] - center)
    }
    probes = [least, most, between ?? least]
  }

  private static func power(_ decimals: Int) -> Double {
    (0..<decimals).reduce(1.0) { power, _ in power * 10 }
  }

  /// Whether the column has values enough that a relation is no accident.
  var canTell: Bool { column.count >= 12 && Set(column).count > 8 && Set(series).count > 8 }

  /// The form that holds, honest ones first; nil for none. ``LookAhead/Answer/honest`` for one of the past.
  func answer() -> LookAhead.Answer? {
    let reach = max(1, min(100, column.count / 3))
    if (-reach..<first).contains(where: { matches(shift: $0) }) { return .honest }
    for past in [first - 1, first - 2] {
      if window((0..<reach).map { past - $0 }) != nil { return .honest }
    }
    if let lead = (max(1, first)...reach).first(where: { matches(shift: $0) }) {
      return .shift(rows: lead)
    }
    let sides = (0..<2 * reach).map { $0 % 2 == 0 ? -$0 / 2 : ($0 + 1) / 2 }
    // Around the row, ahead of it with it and without, and for the target of the same row up to it.
    var widening = [sides, sides.map { -$0 }, Array(0..<reach), Array(1..<reach + 1)]
    if first == 0 { widening.append((0..<reach).map { -$0 }) }
    for offsets in widening {
      if let found = window(offsets, from: first) { return found }
    }
    return nil
  }

  /// Whether every row is a straight line of the series so many rows ahead.
  func matches(shift: Int) -> Bool {
    let inside = max(0, -shift)..<min(column.count, column.count - shift)
    guard inside.count >= 12, fits(shift) else { return false }
    // Two rows that differ give the line; all others have to lie on it.
    guard let least = inside.min(by: { series[$0 + shift] < series[$1 + shift] }),
      let most = inside.max(by: { series[$0 + shift] < series[$1 + shift] }),
      series[most + shift] > series[least + shift]
    else { return false }
    let slope = (column[most] - column[least]) / (series[most + shift] - series[least + shift])
    guard slope != 0 else { return false }
    let allowed = max(tolerance, 2 * rounding[0] + 2 * abs(slope) * rounding[1])
    return inside.allSatisfy { row in
      abs(column[least] + slope * (series[row + shift] - series[least + shift]) - column[row])
        <= allowed
    }
  }

  /// Whether three rows may lie on a line.
  private func fits(_ shift: Int) -> Bool {
    guard probes.allSatisfy({ series.indices.contains($0 + shift) }) else { return true }
    let (x, s) = (probes.map { column[$0] }, probes.map { series[$0 + shift] })
    let (one, other) = ((x[0] - x[2]) * (s[1] - s[2]), (x[1] - x[2]) * (s[0] - s[2]))
    let spread = abs(s[1] - s[2]) + abs(s[0] - s[2])
    let allowed =
      4 * max(tolerance, rounding[0]) * spread
      + 4 * rounding[1] * (abs(x[0] - x[2]) + abs(x[1] - x[2]))
    return abs(one - other) <= allowed + 1e-9 * (abs(one) + abs(other))
  }

  // MARK: Windows

  private enum Statistic: String, CaseIterable {
    case mean, sum, median
    case least = "smallest value"
    case most = "largest value"
    case deviation
    case sampleDeviation = "sample deviation"
  }

  /// A window that takes in one row after the other.
  private struct Window {
    /// Ascending.
    private(set) var values: [Double] = []
    private var sum = 0.0
    /// Mean and squares about it, as they grow. Welford, 1962.
    private var mean = 0.0
    private var squares = 0.0

    mutating func add(_ value: Double) {
      var (low, high) = (0, values.count)
      while low < high {
        let middle = (low + high) / 2
        if values[middle] < value { low = middle + 1 } else { high = middle }
      }
      values.insert(value, at: low)
      sum += value
      let distance = value - mean
      mean += distance / Double(values.count)
      squares += distance * (value - mean)
    }

    func value(_ statistic: Statistic) -> Double {
      let count = values.count
      return switch statistic {
      case .mean: mean
      case .sum: sum
      case .median: (values[count / 2] + values[(count - 1) / 2]) / 2
      case .least: values[0]
      case .most: values[count - 1]
      case .deviation: max(0, squares / Double(count)).squareRoot()
      case .sampleDeviation: max(0, squares / Double(max(1, count - 1))).squareRoot()
      }
    }
  }

  /// The window, grown by offsets from a row in turn, of which every row has a statistic.
  ///
  /// - Parameters:
  ///   - offsets: The rows that a window takes in, counted from its own.
  ///   - first: The least offset that a window has to reach. Default: any.
  /// - Returns: The form; nil for none.
  private func window(_ offsets: [Int], from first: Int = .min) -> LookAhead.Answer? {
    let row = column.count / 2
    var window = Window()
    var (low, high) = (offsets[0], offsets[0])
    for (place, offset) in offsets.enumerated() {
      guard series.indices.contains(row + offset) else { break }
      window.add(series[row + offset])
      (low, high) = (min(low, offset), max(high, offset))
      guard place > 0, high >= first else { continue }
      for statistic in Statistic.allCases
      where abs(window.value(statistic) - column[row]) <= tolerance && holds(statistic, low...high)
      {
        return .window(statistic: statistic.rawValue, before: -low, after: high)
      }
    }
    return nil
  }

  /// Whether every row has the statistic of the window from `span` around it.
  private func holds(_ statistic: Statistic, _ span: ClosedRange<Int>) -> Bool {
    let inside = max(0, -span.lowerBound)..<column.count - max(0, span.upperBound)
    guard inside.count >= 12 else { return false }
    return inside.allSatisfy { row in
      var window = Window()
      for place in row + span.lowerBound...row + span.upperBound { window.add(series[place]) }
      return abs(window.value(statistic) - column[row]) <= tolerance
    }
  }
}
