public import ApusTensor

/// Why a baseline could not learn or forecast.
public enum BaselineError: ApusError, Hashable {
  /// A field of the ``ForecastTask`` makes no sense.
  case invalidTask(field: String, found: String, expected: String)
  /// There is no baseline of that name.
  case unknown(name: String, known: [String])
  /// There are too few values, or too few that are not missing.
  case historyTooShort(model: String, found: Int, needed: Int)
  /// A forecast was asked before ``SeriesForecaster/fit(_:task:)``.
  case notFitted(model: String)
  /// The model says nothing about series of this kind.
  case notApplicable(model: String, measure: ForecastTask.Kind)
  /// More steps were asked than the model learned.
  case horizonTooLong(model: String, asked: Int, fitted: Int)
  /// An origin that is not inside the series.
  case originOutside(origin: Int, count: Int)
  /// All values before the origin are missing.
  case nothingBeforeOrigin(model: String, origin: Int)
  /// The numbers left the range of Double.
  case notFinite(model: String, origin: Int)

  public var exitStatus: ExitStatus { .badData }

  public var description: String {
    switch self {
    case .invalidTask(let field, let found, let expected):
      "The forecast task has \(field) \(found), but it must be \(expected)."
    case .unknown(let name, let known):
      "There is no baseline '\(name)'. Choose one of \(known.joined(separator: ", "))."
    case .historyTooShort(let model, let found, let needed):
      """
      '\(model)' found \(found) usable values or windows, but needs at least \(needed). \
      Give it a longer training history or a shorter horizon or look-back.
      """
    case .notFitted(let model):
      "'\(model)' was asked for a forecast before it was fitted. Call fit first."
    case .notApplicable(let model, let measure):
      "'\(model)' cannot forecast a series of \(measure.rawValue). Leave it out of this comparison."
    case .horizonTooLong(let model, let asked, let fitted):
      "'\(model)' was asked for \(asked) steps, but learned \(fitted). Fit it on the longer horizon."
    case .originOutside(let origin, let count):
      "Origin \(origin) lies outside the series; expected 1 to \(count)."
    case .nothingBeforeOrigin(let model, let origin):
      "'\(model)' finds no value before origin \(origin). Start later in the series."
    case .notFinite(let model, let origin):
      """
      '\(model)' left the range of numbers at origin \(origin). \
      Look for absurdly large values in the series.
      """
    }
  }
}
