/// The series with each missing value replaced by the last one before it.
///
/// Missing values at the start stay NaN, since filling them would look into the future.
func filledForward(_ series: [Double]) -> [Double] {
  var last = Double.nan
  return series.map { value in
    if value.isFinite { last = value }
    return last
  }
}

/// Sums of the values present, so that the mean over any window costs one subtraction.
struct RunningSums {
  private var sums = [0.0]
  private var counts = [0]
  /// Taken off before summing, so that a far level does not eat the digits.
  private var offset = 0.0

  init(_ series: [Double]) {
    offset = series.first(where: \.isFinite) ?? 0
    for value in series {
      let isPresent = value.isFinite
      sums.append(sums[sums.count - 1] + (isPresent ? value - offset : 0))
      counts.append(counts[counts.count - 1] + (isPresent ? 1 : 0))
    }
  }

  /// The mean of the values present in `range`; nil when all are missing.
  func mean(_ range: Range<Int>) -> Double? {
    let count = counts[range.upperBound] - counts[range.lowerBound]
    guard count > 0 else { return nil }
    return offset + (sums[range.upperBound] - sums[range.lowerBound]) / Double(count)
  }
}

/// The same sums for values that come one by one: means over the last of them.
struct TrailingSums {
  /// How many of the last values a mean may cover; nil for all.
  private let most: Int?
  private var (sum, count) = (0.0, 0)
  /// What ``sum`` and ``count`` were before each of the last values, oldest first from `start` on.
  private var before: [(sum: Double, count: Int)] = []
  private var start = 0
  private var offset: Double?

  init(last most: Int?) { self.most = most }

  mutating func push(_ value: Double) {
    if let most {
      if before.count < most {
        before.append((sum, count))
      } else {
        before[start] = (sum, count)
        start = (start + 1) % most
      }
    }
    guard value.isFinite else { return }
    if offset == nil { offset = value }
    sum += value - (offset ?? 0)
    count += 1
  }

  /// The mean of the values present among the last `window`, which may be more than there are.
  func mean(last window: Int? = nil) -> Double? {
    var (base, seen) = (0.0, 0)
    if let window, window < before.count || window == most, !before.isEmpty {
      (base, seen) = before[(start + before.count - min(window, before.count)) % before.count]
    }
    guard count > seen else { return nil }
    return (offset ?? 0) + (sum - base) / Double(count - seen)
  }
}

/// The smallest and the largest value seen so far.
struct RunningRange {
  private var (low, high) = (Double.infinity, -Double.infinity)

  mutating func push(_ value: Double) {
    if value.isFinite { (low, high) = (min(low, value), max(high, value)) }
  }

  /// The nearest number to `value` inside the range, if there is one.
  func clamp(_ value: Double) -> Double { low <= high ? min(max(value, low), high) : value }
}

/// A thousandth of the root mean square of the values present.
///
/// Scales never fall below it, so that a stretch of zeros cannot make a residual infinite.
func smallestScale(of values: [Double]) -> Double {
  let present = values.filter(\.isFinite)
  let largest = present.reduce(0) { max($0, abs($1)) }
  guard largest > 0 else { return 0 }
  let sum = present.reduce(0) { $0 + ($1 / largest) * ($1 / largest) }
  return 1e-3 * largest * (sum / Double(present.count)).squareRoot()
}
