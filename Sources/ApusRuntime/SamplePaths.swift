public import ApusData
import ApusModels
public import ApusTensor
import Foundation

/// Joint draws of the steps ahead of every series: what intervals of single steps do not tell, such as how far a sum
/// over them may go.
///
/// Each step is distributed as its forecast says: between two quantiles, and beyond the outermost ones, the quantile
/// function is a line in the normal score of the probability. How steps go together is learned from past forecasts
/// of the same forecaster: the places of what came, in the distributions that were forecast, are ranked step by step
/// and become normal scores, whose correlations a Gaussian copula has (Clark et al., 2004, *The Schaake Shuffle*, has the
/// idea; Schefzik, Thorarinsdottir and Gneiting, 2013, *Uncertainty Quantification in Complex Simulation Models Using
/// Ensemble Copula Coupling*, arXiv:1302.7149). A head that forecasts all steps at once has no other way: to feed draws
/// of one step back into the model would give the later steps other distributions than those that are printed.
public struct SamplePaths: Encodable, Sendable {
  /// One series.
  public struct Series: Encodable, Sendable {
    /// Its name.
    public var uniqueId: String
    /// The times of the P steps ahead.
    public var ds: [String]
    /// Draws `[N][P]`, in units of the measure.
    public var paths: [[Double]]
    /// Of returns the levels that they lead to from the last one, `[N][P]`; nil of other measures.
    public var levels: [[Double]]?
    /// Quantiles of the sum over the P steps, at the levels of the forecast.
    public var sum: [Double]
  }

  /// The architecture, or the name of the baseline.
  public let model: String
  /// The quantity that is forecast.
  public let measure: Measure
  /// The quantile levels of ``Series/sum``.
  public let quantileLevels: [Double]
  /// How many past forecasts tell how steps go together.
  public let origins: Int
  /// The series, in the order of the table.
  public let series: [Series]

  /// The fewest past forecasts that tell how steps go together.
  public static let fewestOrigins = 20
  /// About how many are looked at, of all series together, the last ones.
  static let mostOrigins = 512

  /// Draws paths.
  ///
  /// - Parameters:
  ///   - model: A trained model, a baseline or an ensemble.
  ///   - table: The rows as read, not yet measured.
  ///   - count: Paths, N, at least 1.
  ///   - seed: Decides the draws. Default: 0.
  /// - Throws: What `FutureForecast` throws, and ``PathError``.
  public init(_ model: Model, table: SeriesTable, count: Int, seed: UInt64 = 0) throws {
    let forecast = try FutureForecast(model, table: table)
    let scores = try PastScores(model, table: table)
    guard scores.rows.count >= Self.fewestOrigins || model.horizon == 1 else {
      throw PathError.tooFewOrigins(found: scores.rows.count, needed: Self.fewestOrigins)
    }
    let shape = JointScores(scores.rows, horizon: model.horizon)
    var series: [Series] = []
    for (number, one) in forecast.series.enumerated() {
      let raw = table.series.first { $0.id == one.uniqueId }
      let isNonNegative =
        model.measure == .volatility
        || (model.measure == .level && raw?.values.allSatisfy { !($0 < 0) } == true)
      let margins = one.quantiles.map { StepMargin($0, levels: forecast.levels) }
      let paths = shape.draw(max(1, count), key: RandomKey(seed: seed, stream: UInt64(number) + 1))
        .map { scores in
          zip(margins, scores).map { margin, score in
            isNonNegative ? max(0, margin.value(at: score)) : margin.value(at: score)
          }
        }
      let sums = paths.map { $0.reduce(0, +) }.sorted()
      series.append(
        Series(
          uniqueId: one.uniqueId, ds: one.ds, paths: paths,
          levels: model.measure == .returns ? Self.levels(paths, after: raw) : nil,
          sum: forecast.levels.map { Self.quantile($0, of: sums) }))
    }
    (self.model, measure, quantileLevels) = (forecast.model, forecast.measure, forecast.levels)
    (origins, self.series) = (scores.rows.count, series)
  }

  /// Draws paths after the last row of every series of a file, read as the model's training read its own.
  ///
  /// - Parameters:
  ///   - folder: A forecaster, a baseline, an ensemble, or a pretrained forecaster.
  ///   - count: Paths, N, at least 1.
  ///   - seed: Decides the draws. Default: 0.
  ///   - path: A CSV with the columns that the model was trained on.
  ///   - future: A CSV with times and columns that are known ahead. Default: those of `path` are all.
  ///   - options: What is known about the columns; the target is the model's where none is named.
  ///   - question: What a pretrained forecaster as published is asked. Default: the next five rows.
  /// - Throws: What `FutureForecast` throws, and ``PathError``.
  public init(
    _ folder: ModelFolder, count: Int, seed: UInt64 = 0, readingCSVAt path: String,
    futureAt future: String? = nil, options: SeriesOptions = SeriesOptions(),
    question: PretrainedQuestion = PretrainedQuestion()
  ) throws {
    if case .composition = folder.contents { throw PathError.composition(path: folder.path) }
    let (model, table) = try FutureForecast.asked(
      folder, readingCSVAt: path, futureAt: future, options: options, question: question)
    try self.init(model, table: table, count: count, seed: seed)
  }

  /// Levels that logarithmic returns lead to from the last present one.
  private static func levels(_ paths: [[Double]], after series: TimeSeries?) -> [[Double]]? {
    guard let last = series?.values.last(where: \.isFinite) else { return nil }
    return paths.map { path in
      var sum = 0.0
      return path.map { step in
        sum += step
        return last * exp(sum)
      }
    }
  }

  /// The quantile of sorted values, on the line between the two next to it.
  private static func quantile(_ level: Double, of sorted: [Double]) -> Double {
    let place = level * Double(sorted.count - 1)
    let low = min(max(Int(place), 0), sorted.count - 1)
    let high = min(low + 1, sorted.count - 1)
    return sorted[low] + (place - Double(low)) * (sorted[high] - sorted[low])
  }

  /// A table with a header: `unique_id`, `path` from 1, `ds`, the draw under the model's name, and of returns `level`.
  ///
  /// - Parameter guardsFormulas: As in `FutureForecast`. Default: true.
  /// - Returns: The lines of the table.
  public func csv(guardsFormulas: Bool = true) -> String {
    var header = ["unique_id", "path", "ds", csvField(model, guardsFormulas: guardsFormulas)]
    if measure == .returns { header.append("level") }
    var lines = [header.joined(separator: ",")]
    for one in series {
      let name = csvField(one.uniqueId, guardsFormulas: guardsFormulas)
      for (number, path) in one.paths.enumerated() {
        for step in path.indices {
          var line = "\(name),\(number + 1),\(one.ds[step]),\(path[step])"
          if let levels = one.levels { line += ",\(levels[number][step])" }
          lines.append(line)
        }
      }
    }
    return lines.joined(separator: "\n")
  }

  /// What the sums over the steps may come to, a sentence for each series.
  public var notes: [String] {
    guard let low = quantileLevels.first, let high = quantileLevels.last, low < high else {
      return []
    }
    let share = Int(((high - low) * 100).rounded())
    return series.compactMap { one in
      guard let first = one.sum.first, let last = one.sum.last else { return nil }
      let name = series.count > 1 ? " of series '\(one.uniqueId)'" : ""
      return
        "The sum over \(one.ds.count) steps\(name) is in \(share) % of paths between \(short(first)) and \(short(last))."
    }
  }
}

/// Four significant digits.
private func short(_ value: Double) -> String { String(format: "%.4g", value) }

/// An error of drawing paths.
public enum PathError: ApusError, Equatable {
  /// The rows hold too few past forecasts with all that came after them.
  case tooFewOrigins(found: Int, needed: Int)
  /// The folder holds several models, between which each series is routed.
  case composition(path: String)

  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .tooFewOrigins(let found, let needed):
      """
      The rows hold \(found) past forecast\(found == 1 ? "" : "s") with all that came after, but \(needed) are needed \
      to tell how steps go together. Give more rows, or leave --paths out.
      """
    case .composition(let path):
      "'\(path)' is a composition, and paths are drawn of one model. Give the folder of one of its experts."
    }
  }
}
