import ApusData
import ApusModels
import ApusTensor
import Foundation

/// A baseline on disk: its name, what it is asked, and the rows it is fitted to. A rule is fitted again when
/// it is needed, which takes no parameters and gives the same bits; of a pretrained one the weights are there.
public struct BaselineFolder: Sendable {
  /// The folder.
  public let path: String
  /// How a file is read and how its rows are measured.
  let recipe: FeatureRecipe
  /// The column it forecasts; empty when there was one only.
  let target: String
  let card: BaselineCard
  let history: [TimeSeries]
  /// What validation taught about its quantiles.
  let correction: ConformalCorrection?
  /// The weights of one that came trained; nil of the others.
  let pretrained: PretrainedFolder?

  init(_ card: FolderCard?, config: JSONValue?, weights: FolderWeights) throws {
    let path = weights.folder
    guard let card, let baseline = card.baseline, let recipe = card.recipe else {
      throw ModelFolderError.damaged(
        path: path + "/" + FolderFiles.card, reason: "it has no baseline or no recipe")
    }
    pretrained = config.flatMap { PretrainedFolder(config: $0, weights: weights) }
    if pretrained == nil { _ = try baseline.baseline() }
    try baseline.task.validate()
    (self.path, self.recipe, target) = (path, recipe, card.target ?? "")
    correction = try card.correction(
      horizon: baseline.task.horizon, levels: baseline.task.levels, in: path)
    self.card = baseline
    history = try (card.history ?? []).map { try $0.series(in: path) }
  }

  /// The name of the baseline, such as "garch-t".
  public var name: String { card.name }

  /// Makes the forecaster.
  ///
  /// - Throws: `BaselineError` for a name that this version does not know, or what is wrong with the weights
  ///   of one that came trained.
  func load() throws -> Model {
    Model(
      try pretrained?.load(named: name) ?? card.baseline(), task: card.task,
      lookback: card.lookback, recipe: recipe, target: target, history: history,
      correction: correction)
  }
}

/// What `apus.json` says of a baseline.
struct BaselineCard: Codable {
  var name: String
  /// Values that the linear ones read.
  var lookback: Int
  var task: ForecastTask

  func baseline() throws -> Baseline {
    try Baseline.named(name, lookback: min(max(lookback, 1), 65536))
  }
}

/// Rows of one series in `apus.json`. Numbers are words of one text: shortest to the bit, and not a line
/// each.
struct StoredSeries: Codable {
  /// A column beside the target.
  struct Column: Codable {
    var name: String
    var values: String
  }

  var id: String
  /// Seconds since 1970.
  var times: String
  var values: String
  var columns: [Column]
  /// The rows of which only such columns are known; nil where there are none.
  var future: Future?

  /// Rows behind the last value.
  struct Future: Codable {
    var times: String
    var columns: [Column]
  }

  init(_ series: TimeSeries) {
    func text(_ values: [Double]) -> String { values.map { "\($0)" }.joined(separator: " ") }
    id = series.id
    times = series.timestamps.map { "\($0.secondsSinceEpoch)" }.joined(separator: " ")
    values = text(series.values)
    func columns(_ covariates: [Covariate]) -> [Column] {
      covariates.map { Column(name: $0.name, values: text($0.values)) }
    }
    self.columns = columns(series.covariates)
    guard !series.future.isEmpty else { return }
    future = Future(
      times: series.future.timestamps.map { "\($0.secondsSinceEpoch)" }.joined(separator: " "),
      columns: columns(series.future.covariates))
  }

  /// The rows, checked.
  func series(in folder: String) throws -> TimeSeries {
    func numbers(_ text: String) -> [Double] {
      text.split(separator: " ").compactMap { Double($0) }
    }
    func moments(_ text: String) -> [Timestamp] {
      text.split(separator: " ").compactMap { Int64($0) }.map { Timestamp(secondsSinceEpoch: $0) }
    }
    let (stamps, later) = (moments(times), moments(future?.times ?? ""))
    let known = future?.columns.map { Covariate(name: $0.name, values: numbers($0.values)) } ?? []
    let (target, beside) = (numbers(values), columns.map { numbers($0.values) })
    let limits = Timestamp(.distantPast)...Timestamp(.distantFuture)
    guard target.count == stamps.count, beside.allSatisfy({ $0.count == stamps.count }),
      known.allSatisfy({ $0.values.count == later.count }),
      zip(stamps + later, (stamps + later).dropFirst()).allSatisfy(<),
      (stamps + later).allSatisfy(limits.contains)
    else {
      throw ModelFolderError.damaged(
        path: folder + "/" + FolderFiles.card,
        reason: "the rows of series '\(id)' do not ascend, or some are incomplete")
    }
    var series = TimeSeries(
      id: id, timestamps: stamps, values: target,
      covariates: zip(columns, beside).map { Covariate(name: $0.name, values: $1) })
    (series.future.timestamps, series.future.covariates) = (later, known)
    return series
  }
}
