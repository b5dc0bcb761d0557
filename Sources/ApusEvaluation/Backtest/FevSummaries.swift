import ApusData
public import ApusTensor

/// Errors of several models over several tasks, in the columns of fev's evaluation summaries.
///
/// A row for each task and model: `model_name`, `test_error`, and the columns that together name a task, of
/// which a file needs not have all. Shchur et al., 2025, *fev-bench: A Realistic Benchmark for Time Series
/// Forecasting*, arXiv:2509.26468.
public struct FevSummaries: Sendable, Equatable {
  /// The columns that name a task.
  public static let taskColumns = [
    "dataset_path", "dataset_config", "horizon", "initial_cutoff", "min_context_length",
    "max_context_length", "seasonality", "eval_metric", "extra_metrics", "quantile_levels",
    "id_column", "timestamp_column", "target", "generate_univariate_targets_from",
    "known_dynamic_columns", "past_dynamic_columns", "static_columns",
  ]

  /// The number of tasks.
  public let tasks: Int
  /// By model, in the order of the file, one error for each task; nil where it failed.
  public let errors: [(name: String, errors: [Double?])]

  public static func == (one: FevSummaries, other: FevSummaries) -> Bool {
    one.tasks == other.tasks && one.errors.map(\.name) == other.errors.map(\.name)
      && one.errors.map(\.errors) == other.errors.map(\.errors)
  }

  /// Reads a file.
  ///
  /// - Parameter path: A CSV.
  /// - Throws: `SeriesError`, ``FevError``.
  public init(readingCSVAt path: String) throws {
    let cells = try CellTable(readingCSVAt: path)
    func column(_ name: String) throws -> Int {
      guard let place = cells.names.firstIndex(of: name) else {
        throw FevError.missingColumn(file: path, column: name)
      }
      return place
    }
    let (model, error) = (try column("model_name"), try column("test_error"))
    let keys = Self.taskColumns.compactMap { cells.names.firstIndex(of: $0) }
    guard !keys.isEmpty else { throw FevError.missingColumn(file: path, column: "dataset_path") }
    var (tasks, models, names) = ([[String]: Int](), [String: [Int: Double?]](), [String]())
    for (row, line) in zip(cells.rows, cells.lines) {
      let key = keys.map { row[$0] }
      let task = tasks[key] ?? tasks.count
      tasks[key] = task
      let (name, text) = (row[model], row[error].lowercased())
      if models[name] == nil { names.append(name) }
      guard models[name]?[task] == nil else {
        throw FevError.repeated(file: path, line: line, model: name)
      }
      let isMissing = ["", "nan", "na", "null", "inf", "none"].contains(text)
      let found = isMissing ? nil : Double(text)
      guard isMissing || found.map({ $0 >= 0 }) ?? false else {
        throw FevError.badError(file: path, line: line, found: row[error])
      }
      models[name, default: [:]][task] = .some(found)
    }
    self.tasks = tasks.count
    errors = names.map { name in
      (name, (0..<tasks.count).map { task in models[name]?[task] ?? nil })
    }
  }

  /// Skill and win rate of every model.
  ///
  /// - Parameters:
  ///   - baseline: The model that errors are compared with; nil for the seasonal naive forecast.
  ///   - seed: Seed of the bootstrap over tasks. Default: 0.
  /// - Returns: A row for each model.
  /// - Throws: ``FevError/noBaseline(asked:known:)``, ``MetricError`` where the baseline failed.
  public func skill(over baseline: String? = nil, seed: UInt64 = 0) throws -> TaskSkill {
    let usual = ["seasonal_naive", "seasonal-naive", "SeasonalNaive", "Seasonal Naive"]
    let known = errors.map(\.name)
    guard
      let bar = baseline.map({ known.contains($0) ? $0 : nil })
        ?? usual.first(where: known.contains)
    else { throw FevError.noBaseline(asked: baseline, known: known) }
    var generator = PhiloxGenerator(RandomKey(seed: seed))
    return try TaskSkill(errors: errors, baseline: bar, using: &generator)
  }
}

/// An error of a file of evaluation summaries.
public enum FevError: Error, Equatable, Sendable {
  /// A column is not there.
  case missingColumn(file: String, column: String)
  /// A model has two errors in one task.
  case repeated(file: String, line: Int, model: String)
  /// A cell is no error.
  case badError(file: String, line: Int, found: String)
  /// The model to compare with is not there.
  case noBaseline(asked: String?, known: [String])
}

extension FevError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .missingColumn(let file, let column):
      """
      \(file): found no column '\(column)', expected an evaluation summary of fev with model_name, \
      test_error and columns such as dataset_path that name the task.
      """
    case .repeated(let file, let line, let model):
      """
      \(file), line \(line): found a second error of '\(model)' in one task, expected one; leave one out, \
      or add the column that tells the tasks apart.
      """
    case .badError(let file, let line, let found):
      """
      \(file), line \(line): found '\(found.prefix(40))' in column 'test_error', expected a number from 0 \
      up, or nothing where the model failed.
      """
    case .noBaseline(let asked, let known):
      """
      Found no model '\(asked ?? "seasonal_naive")' to compare with, expected one of \
      \(known.prefix(12).joined(separator: ", ")); name it with --baseline.
      """
    }
  }
}
