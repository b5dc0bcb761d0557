/// Sums of products inside all windows of some series: all that linear least squares needs.
///
/// Neighboring windows share all values but two, so that each product sum follows from the one
/// before it on its diagonal, `S[i+1, j+1] = S[i, j] - first + next`; W windows of M values cost
/// W·M + M² operations instead of W·M².
struct WindowMoments {
  /// The length of a window, M.
  let length: Int
  /// The number of windows, W.
  private(set) var count = 0.0
  /// `Σ w_i`, `[M]`.
  private(set) var sums: [Double]
  /// `Σ w_i w_j` for j ≥ i, `[M][M]`.
  private(set) var products: [[Double]]

  init(length: Int) {
    self.length = length
    sums = [Double](repeating: 0, count: length)
    products = [[Double]](repeating: sums, count: length)
  }

  /// Adds the windows that start in `starts`; the last one ends inside `series`.
  mutating func add(_ series: [Double], starts: Range<Int>) {
    guard !starts.isEmpty else { return }
    let (first, next) = (starts.lowerBound, starts.upperBound)
    count += Double(starts.count)
    var sum = series[starts].reduce(0, +)
    var above: [Double] = (0..<length).map { offset in
      var product = 0.0
      for start in starts { product += series[start] * series[start + offset] }
      return product
    }
    for i in 0..<length {
      sums[i] += sum
      for j in i..<length { products[i][j] += above[j - i] }
      guard i + 1 < length else { break }
      sum += series[next + i] - series[first + i]
      for offset in 0..<(length - i - 1) {
        above[offset] +=
          series[next + i] * series[next + i + offset]
          - series[first + i] * series[first + i + offset]
      }
    }
  }

  /// The moments of the windows of both.
  static func + (first: WindowMoments, second: WindowMoments) -> WindowMoments {
    var result = first
    result.count += second.count
    for i in 0..<first.length {
      result.sums[i] += second.sums[i]
      for j in i..<first.length { result.products[i][j] += second.products[i][j] }
    }
    return result
  }

  /// The mean of `w_i w_j`, each taken relative to `w_anchor` if there is an anchor.
  func product(_ i: Int, _ j: Int, relativeTo anchor: Int?) -> Double {
    guard let a = anchor else { return raw(i, j) / count }
    return (raw(i, j) - raw(i, a) - raw(a, j) + raw(a, a)) / count
  }

  /// The mean of `w_i`, taken relative to `w_anchor` if there is an anchor.
  func mean(_ i: Int, relativeTo anchor: Int?) -> Double {
    (sums[i] - (anchor.map { sums[$0] } ?? 0)) / count
  }

  private func raw(_ i: Int, _ j: Int) -> Double { i <= j ? products[i][j] : products[j][i] }
}
