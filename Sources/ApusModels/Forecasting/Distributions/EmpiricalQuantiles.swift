/// The quantile of an ascending sample at `level`, linear between order statistics.
///
/// Definition 7 of Hyndman and Fan, 1996: position `(n - 1) level`. One value is its own every
/// quantile; an empty sample gives NaN.
package func quantile(ofSorted sample: [Double], at level: Double) -> Double {
  guard let last = sample.last else { return .nan }
  let position = level * Double(sample.count - 1)
  let lower = min(max(Int(position), 0), sample.count - 1)
  guard lower + 1 < sample.count else { return last }
  let fraction = position - Double(lower)
  return sample[lower] + fraction * (sample[lower + 1] - sample[lower])
}

/// A sample kept in order while values come and go.
struct SortedSample {
  private(set) var values: [Double] = []

  /// Takes `value` in; NaN is rejected silently, as a missing value has no place in an order.
  mutating func insert(_ value: Double) {
    if value.isFinite { values.insert(value, at: position(of: value)) }
  }

  /// Removes one copy of `value`, if there is one.
  mutating func remove(_ value: Double) {
    guard value.isFinite else { return }
    let index = position(of: value)
    if index < values.count, values[index] == value { values.remove(at: index) }
  }

  /// The index of the first element that is not below `value`.
  private func position(of value: Double) -> Int {
    var (low, high) = (0, values.count)
    while low < high {
      let middle = (low + high) / 2
      if values[middle] < value { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
