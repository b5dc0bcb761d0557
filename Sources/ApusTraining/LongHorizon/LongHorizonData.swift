public import ApusData
public import ApusTensor

/// Where training, validation and test lie in the tables of long-horizon forecasts.
///
/// Zhou et al., 2021, *Informer*, arXiv:2012.07436, for the ETT sets; Wu et al., 2021, *Autoformer*,
/// arXiv:2106.13008, for the others.
public enum LongHorizonSplit: String, Codable, Sendable, CaseIterable {
  /// 12, 4 and 4 months of 30 days in hours; rows after them are not used.
  case ettHourly = "ett-hourly"
  /// The same months in quarters of an hour.
  case ettMinutely = "ett-minutely"
  /// ⌊0.7 T⌋ rows of training, ⌊0.2 T⌋ of test, and validation between them.
  case fractions

  /// Where the targets of the parts lie.
  ///
  /// - Parameter count: T, the rows of the file.
  /// - Returns: Rows of training, validation and test.
  /// - Throws: ``LongHorizonError/tooFewRows(found:needed:)``.
  func parts(of count: Int) throws(LongHorizonError) -> [Range<Int>] {
    let month: Int
    switch self {
    case .ettHourly: month = 720
    case .ettMinutely: month = 2880
    case .fractions:
      // In whole numbers, as 0.7 T may fall just short of the number that it means.
      let (first, second) = (count * 7 / 10, count - count / 5)
      return [0..<first, first..<second, second..<count]
    }
    guard count >= 20 * month else {
      throw LongHorizonError.tooFewRows(found: count, needed: 20 * month)
    }
    return [0..<12 * month, 12 * month..<16 * month, 16 * month..<20 * month]
  }
}

/// A file as the published tables of long-horizon forecasts read it: every column is a channel, each
/// standardized by its training rows, and every window of stride 1 is forecast.
///
/// Shapes: C channels, T rows, L context, H horizon.
public struct LongHorizonData: Sendable {
  /// Rows that a forecast reads, L.
  public let context: Int
  /// Rows ahead, H.
  public let horizon: Int
  /// The channels in standard units of their training rows, each with T rows and its clock.
  public let table: SeriesTable
  /// Rows of the targets of training, validation and test.
  let parts: [Range<Int>]

  /// Reads a table of channels.
  ///
  /// - Parameters:
  ///   - table: Series of common times, each a channel.
  ///   - split: Where training, validation and test lie.
  ///   - context: Rows that a forecast reads, L.
  ///   - horizon: Rows ahead, H.
  /// - Throws: ``LongHorizonError``.
  public init(
    _ table: SeriesTable, split: LongHorizonSplit, context: Int, horizon: Int
  ) throws(LongHorizonError) {
    (self.context, self.horizon) = (context, horizon)
    let stamps = table.series.first?.timestamps ?? []
    let parts = try split.parts(of: stamps.count)
    self.parts = parts
    let needed = context + horizon + 16
    guard parts[0].count >= needed else {
      throw .shortPart("training", found: parts[0].count, needed: needed)
    }
    for (name, part) in [("validation", parts[1]), ("test", parts[2])] {
      guard part.count >= horizon else {
        throw .shortPart(name, found: part.count, needed: horizon)
      }
    }
    for series in table.series {
      guard series.timestamps == stamps else { throw .otherTimes(channel: series.id) }
      if let row = series.values.prefix(parts[2].upperBound).firstIndex(where: { !$0.isFinite }) {
        throw .missing(channel: series.id, row: row)
      }
    }
    let scaler = StandardScaler(fitting: table.series.map { Array($0.values[parts[0]]) })
    var scaled = table
    scaled.series = table.series.enumerated().map { channel, series in
      TimeSeries(
        id: series.id, timestamps: series.timestamps,
        values: series.values.map { scaler.scaled($0, column: channel) })
    }
    scaled.covariateNames = []
    self.table = scaled
  }

  /// C.
  public var channels: Int { table.series.count }

  /// How many windows of a part each channel has.
  public func windows(_ part: Split.Part) -> Int { targets(part).count }

  /// The rows of a part at which the targets of a window may begin: its inputs, the L rows before,
  /// exist, and its H targets lie in the part.
  func targets(_ part: Split.Part) -> Range<Int> {
    let rows = parts[Split.Part.allCases.firstIndex(of: part) ?? 0]
    let first = max(rows.lowerBound, context)
    return first..<max(first, rows.upperBound - horizon + 1)
  }

  /// The mean errors over all windows of a part, steps and channels.
  ///
  /// - Parameters:
  ///   - part: Validation or test.
  ///   - forecasts: Calls back with each window of a channel: where its targets begin, and H
  ///     forecasts.
  /// - Returns: The errors, and how many windows each channel had.
  func score(
    _ part: Split.Part,
    _ forecasts: (_ channel: Int, _ targets: Range<Int>, _ body: (Int, [Double]) -> Void) throws
      -> Void
  ) rethrows -> LongHorizonScore {
    var (squares, sizes, count) = (0.0, 0.0, 0)
    for channel in 0..<channels {
      let values = table.series[channel].values
      try forecasts(channel, targets(part)) { first, forecast in
        for (step, value) in forecast.enumerated() {
          let error = value - values[first + step]
          squares += error * error
          sizes += abs(error)
        }
        count += 1
      }
    }
    let all = Double(max(1, count * horizon))
    return LongHorizonScore(mse: squares / all, mae: sizes / all, windows: count / max(1, channels))
  }
}

/// Errors in standard units of the training rows, as published tables give them.
public struct LongHorizonScore: Codable, Sendable, Hashable {
  /// The mean squared error over windows, steps and channels.
  public var mse: Double
  /// The mean absolute error over the same.
  public var mae: Double
  /// Windows of each channel; none is left out.
  public var windows: Int
}

/// An error of a file for the protocol of long-horizon forecasts.
public enum LongHorizonError: Error, Equatable {
  /// The split needs more rows.
  case tooFewRows(found: Int, needed: Int)
  /// A part has fewer rows than one window, or training than sixteen.
  case shortPart(String, found: Int, needed: Int)
  /// A channel has other times than the first.
  case otherTimes(channel: String)
  /// A channel lacks a value.
  case missing(channel: String, row: Int)
  /// The file is a text.
  case noSeries
  /// A name is neither a baseline of the protocol nor a model.
  case unknown(String)
}

extension LongHorizonError: ApusError {
  public var exitStatus: ExitStatus {
    if case .unknown = self { .usage } else { .badData }
  }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .tooFewRows(let found, let needed):
      """
      The file has \(found) rows, but this split needs \(needed). \
      Take --split fractions, or the file that the split is for.
      """
    case .shortPart(let part, let found, let needed):
      """
      The \(part) part has \(found) rows, but context and horizon need \(needed). \
      Give more rows, or a shorter context or horizon.
      """
    case .otherTimes(let channel):
      "Column '\(channel)' has other times than the first, but channels share theirs. Leave it out."
    case .missing(let channel, let row):
      """
      Column '\(channel)' has no value in row \(row + 1), but the protocol needs every one. \
      Fill it, or leave the column out.
      """
    case .noSeries: "The file is a text, but the protocol needs a table of series. Give a CSV."
    case .unknown(let name):
      """
      '\(name)' is no model and none of \
      \(LongHorizonBaseline.allCases.map(\.rawValue).joined(separator: ", ")). See apus models.
      """
    }
  }
}
