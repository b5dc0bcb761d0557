public import ApusTensor
public import ApusData
import ApusModels

/// How the quantiles of a forecast are laid out as the columns of a table: the median, then the central
/// intervals that the levels give, widest first.
///
/// Levels 0.1, 0.5 and 0.9 of a model called mamba make `mamba`, `mamba-lo-80` and `mamba-hi-80`.
package struct ForecastColumns: Sendable {
  /// The names, and the number of the quantile that stands under each.
  package let all: [(name: String, quantile: Int)]

  package init(model: String, levels: [Double]) {
    let middle =
      levels.indices.min { abs(levels[$0] - 0.5) < abs(levels[$1] - 0.5) } ?? levels.startIndex
    var all = [(name: model, quantile: middle)]
    for (low, level) in levels.enumerated() where level < 0.5 {
      guard let high = levels.indices.first(where: { abs(levels[$0] + level - 1) < 1e-9 }) else {
        continue
      }
      let share = shortText((1 - 2 * level) * 100)
      all += [("\(model)-lo-\(share)", low), ("\(model)-hi-\(share)", high)]
    }
    self.all = all
  }

  /// The cells of one step ahead.
  package func cells(_ quantiles: [Double]) -> [String] { all.map { "\(quantiles[$0.quantile])" } }
}

/// A whole number without a point, others with up to two digits behind it.
private func shortText(_ value: Double) -> String {
  let hundredths = Int((value * 100).rounded())
  return hundredths % 100 == 0 ? "\(hundredths / 100)" : "\(Double(hundredths) / 100)"
}

/// A field of a CSV line, quoted where it has to be.
///
/// - Parameters:
///   - text: The field.
///   - guardsFormulas: Whether a text that begins as spreadsheets' formulas do, and is no number, gets an
///     apostrophe before it.
/// - Returns: The field as it is written.
package func csvField(_ text: String, guardsFormulas: Bool) -> String {
  let isFormula = text.utf8.first.map("=+-@\t\r".utf8.contains) ?? false && Double(text) == nil
  let text = guardsFormulas && isFormula ? "'" + text : text
  // By scalars: to a String a quote with an accent, or CR with LF, is another character.
  guard text.unicodeScalars.contains(where: ",\"\n\r".unicodeScalars.contains) else { return text }
  let doubled = text.unicodeScalars.flatMap { $0 == "\"" ? [$0, $0] : [$0] }
  return "\"" + String(String.UnicodeScalarView(doubled)) + "\""
}

extension Cadence {
  /// A stamp as it is written: a day, a moment where rows follow each other within days, or the number of
  /// a step where there is no clock; all of one series in one form.
  package func text(_ stamp: Timestamp) -> String {
    if frequency == .steps { return "\(stamp.secondsSinceEpoch)" }
    let text = "\(stamp)"
    guard case .seconds = frequency, !text.contains("T") else { return text }
    return text + "T00:00:00"  // midnight among hours
  }
}

extension Measure {
  /// Quantiles `[P][Q]` that the measure can have: a variance is never negative.
  func possible(_ quantiles: [[Double]]) -> [[Double]] {
    self == .volatility ? quantiles.map { $0.map { max(0, $0) } } : quantiles
  }
}

extension SeriesOptions {
  /// The same options, with what the training of a model found about its file where nothing else is
  /// said.
  public func completed(by model: ForecasterFolder) -> SeriesOptions {
    completed(by: model.recipe, target: model.target)
  }

  /// The same of a model in memory.
  public func completed(by model: Model) -> SeriesOptions {
    completed(by: model.recipe, target: model.target)
  }

  private func completed(by recipe: FeatureRecipe, target: String) -> SeriesOptions {
    var options = self
    options.format = recipe.table
    if options.targets.isEmpty, !target.isEmpty { options.targets = [target] }
    if options.future.isEmpty { options.future = recipe.knownNames }
    if options.longerSeasons.isEmpty, !recipe.cadence.longerSeasons.isEmpty {
      (options.season, options.longerSeasons) = (
        recipe.cadence.season, recipe.cadence.longerSeasons
      )
    }
    return options
  }
}

/// Why there is no forecast.
public enum ForecastError: Error, Equatable {
  /// The series has no value to start from, or never moved.
  case noHistory(series: String, rows: Int)
  /// Rows follow each other otherwise than those that the model was trained on.
  case otherFrequency(found: String, expected: String)
  /// A level was asked for that the forecast has no quantile of.
  case noLevel(asked: Double, known: [Double])
  /// An expert reads columns that are known ahead, which a stream of a composition does not have.
  case expertKnowsAhead
  /// Rows ahead were given to a model that reads none.
  case nothingKnown(model: String)
  /// A series was asked for that the model keeps no rows of.
  case noSeries(asked: String?, known: [String])
  /// A row does not lie after the last one.
  case notLater(found: Timestamp, last: Timestamp)
}

extension ForecastError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .noHistory(let series, let rows):
      """
      Series '\(series)': found \(rows) rows without a value that moves, expected some history; \
      leave it out or give more rows.
      """
    case .otherFrequency(let found, let expected):
      """
      Found rows that come \(found), but the model was trained on rows that come \(expected). \
      Give rows of that frequency, or train a model on these.
      """
    case .noLevel(let asked, let known):
      "The forecast has no quantile of level \(asked); its levels are \(known)."
    case .expertKnowsAhead:
      """
      An expert of the composition reads columns that are known ahead, which its stream does not have. \
      Use apus forecast, or compose experts that were trained without them.
      """
    case .nothingKnown(let model):
      """
      Found a file of rows ahead, but '\(model)' was fitted without columns that are known ahead. Leave \
      --future-data out, or name the columns with --future when it is trained.
      """
    case .noSeries(let asked, let known):
      """
      The model keeps \(known.isEmpty ? "no rows" : "rows of \(known.joined(separator: ", "))"), but \
      \(asked.map { "'\($0)'" } ?? "one series") was asked for. Give a table, or name one of them.
      """
    case .notLater(let found, let last):
      "Found a row at \(found), expected one after \(last), the last that was taken in."
    }
  }
}
