/// One window: which series, and the last row of its input.
public struct Window: Hashable, Sendable {
  /// Number of the series in its table.
  public let series: Int
  /// The last input row, t: inputs are `(t-L, t]`, targets `(t, t+H]`.
  public let origin: Int

  /// Creates a window.
  public init(series: Int, origin: Int) {
    self.series = series
    self.origin = origin
  }

  /// Rows of input.
  public func inputs(lookBack: Int) -> Range<Int> { origin + 1 - lookBack..<origin + 1 }

  /// Rows of targets.
  public func targets(horizon: Int) -> Range<Int> { origin + 1..<origin + 1 + horizon }
}

/// All windows of a part, in order of series, then time.
///
/// Inputs may reach back into earlier parts, targets stay inside theirs. No window is ever dropped to fill a
/// batch: the last batch is shorter.
public struct WindowIndex: Sendable {
  /// Rows of input, L.
  public let lookBack: Int
  /// Rows of target, H.
  public let horizon: Int
  /// The windows left out because a target is missing.
  public let skipped: Int
  private let seriesNumbers: [Int32]
  private let origins: [Int32]

  /// Enumerates the windows of a part.
  ///
  /// - Parameters:
  ///   - split: Says which rows belong to the part, and the horizon.
  ///   - part: Train, validation or test.
  ///   - lookBack: Rows of input, L, at least 1. Series shorter than `L + H` have no window.
  ///   - stride: Steps from one origin to the next, at least 1; starts at the first origin of each series.
  ///   - table: When given, windows with a missing value among their targets are left out and counted.
  /// - Precondition: `lookBack` and `stride` are at least 1.
  public init(
    split: Split, part: Split.Part, lookBack: Int, stride: Int = 1,
    skippingMissingIn table: SeriesTable? = nil
  ) {
    precondition(lookBack >= 1 && stride >= 1, "WindowIndex: look-back and stride start at 1")
    self.lookBack = lookBack
    horizon = split.horizon
    var (numbers, rows, skipped) = ([Int32](), [Int32](), 0)
    for series in split.rows.indices {
      let range = split.origins(part, series: series, lookBack: lookBack)
      let missing = table.map { MissingRun($0.series[series].values) }
      for origin in Swift.stride(from: range.lowerBound, to: range.upperBound, by: stride) {
        if missing?.contains(origin + 1..<origin + 1 + split.horizon) == true {
          skipped += 1
          continue
        }
        numbers.append(Int32(truncatingIfNeeded: series))
        rows.append(Int32(truncatingIfNeeded: origin))
      }
    }
    seriesNumbers = numbers
    origins = rows
    self.skipped = skipped
  }

  /// Finds missing values in ranges that move forward.
  private struct MissingRun {
    private let before: [Int]

    init(_ values: [Double]) {
      var counts = [0]
      counts.reserveCapacity(values.count + 1)
      for value in values { counts.append(counts[counts.count - 1] + (value.isNaN ? 1 : 0)) }
      before = counts
    }

    func contains(_ range: Range<Int>) -> Bool {
      before[range.upperBound] > before[range.lowerBound]
    }
  }
}

extension WindowIndex: RandomAccessCollection {
  /// 0.
  public var startIndex: Int { 0 }
  /// The number of windows.
  public var endIndex: Int { origins.count }
  /// Window number `index`.
  public subscript(index: Int) -> Window {
    Window(series: Int(seriesNumbers[index]), origin: Int(origins[index]))
  }

  /// The windows in batches of `size`; the last may be shorter, none is dropped.
  ///
  /// - Precondition: `size` is at least 1.
  public func batches(of size: Int) -> [Range<Int>] {
    precondition(size >= 1, "WindowIndex: a batch holds at least one window")
    return Swift.stride(from: 0, to: count, by: size).map { $0..<Swift.min($0 + size, count) }
  }
}
