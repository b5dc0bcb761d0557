public import ApusData
import ApusEvaluation
import ApusModels
import ApusTensor

/// How the table of a file is made.
public struct LongHorizonOptions: Codable, Sendable, Hashable {
  /// Names of ``LongHorizonBaseline``, architectures, or paths of `config.json`s.
  public var models = LongHorizonBaseline.allCases.map(\.rawValue)
  /// Where training, validation and test lie. Default: seven, one and two tenths.
  public var split = LongHorizonSplit.fractions
  /// Rows that a forecast reads, L. Default: 96.
  public var context = 96
  /// Rows ahead, H. Default: 96.
  public var horizon = 96
  /// Rows of a season. Default: what the times say.
  public var season: Int?
  /// When a training run ends. Default: after 1,000 steps.
  public var budget = Budget.steps(1000)
  /// The seeds; every model is trained once with each. Default: 0, 1 and 2.
  public var seeds: [UInt64] = [0, 1, 2]
  /// Width of the backbones. Default: 64.
  public var width = 64
  /// Blocks of the backbones, each one layer, or two of Mamba. Default: 2.
  public var layers = 2
  /// Rows that each row is shown with, and that its forecast starts from; 0 for none. Default: the
  /// usual ones of a forecaster.
  public var window: Int?
  /// Windows of one step. Default: 8.
  public var batch = 8
  /// The peak of the learning rate. Default: the usual one of forecasters.
  public var learningRate: Double?
  /// Quantile levels that are learned; the forecast is that nearest to one half.
  public var levels = [0.1, 0.5, 0.9]

  /// Creates the default options.
  public init() {}
}

/// The errors of one forecaster.
public struct LongHorizonRow: Codable, Sendable, Hashable {
  /// One training run.
  public struct Run: Codable, Sendable, Hashable {
    /// The seed.
    public var seed: UInt64
    /// The errors on test.
    public var score: LongHorizonScore
    /// Steps made.
    public var steps: Int
    /// Wall seconds of the training.
    public var seconds: Double
    /// The validation whose weights were judged.
    public var best: TrainingRecord.Best?
  }

  /// The name.
  public var name: String
  /// The errors on test, the mean over seeds.
  public var score: LongHorizonScore
  /// The standard deviation of the mean squared error over seeds; nil for fewer than two.
  public var deviation: Double?
  /// The ridge that validation chose, of linear maps.
  public var ridge: Double?
  /// Numbers that training chose, of models.
  public var parameters: Int?
  /// One for each seed; none for baselines.
  public var runs: [Run] = []
}

/// The table of one file.
public struct LongHorizonReport: Codable, Sendable {
  /// The file and its fingerprint.
  public var source: DataSource
  /// How it was made.
  public var options: LongHorizonOptions
  /// Rows of a season that were taken.
  public var season: Int
  /// Channels.
  public var channels: Int
  /// Windows of each channel in training, validation and test.
  public var windows: [Int]
  /// One for each forecaster that applies, in the order of the options.
  public var rows: [LongHorizonRow]
  /// Where it was made.
  public var machine: MachineDescription
}

/// The protocol of published tables of long-horizon forecasts: every window of test, of stride 1, every
/// column a channel, errors in standard units of the training rows. No window is dropped.
///
///     var options = LongHorizonOptions()
///     options.split = .ettHourly
///     let report = try await LongHorizonBenchmark(table, source: source, options: options).run()
public struct LongHorizonBenchmark: Sendable {
  private let data: LongHorizonData
  private let source: DataSource
  private let options: LongHorizonOptions
  private let season: Int

  /// Prepares the table of a file; nothing is fitted before ``run(progress:)``.
  ///
  /// - Parameters:
  ///   - table: Series of common times, each a channel.
  ///   - source: The file and its fingerprint, for the report.
  ///   - options: Models, split and sizes.
  /// - Throws: ``LongHorizonError``.
  public init(_ table: SeriesTable, source: DataSource, options: LongHorizonOptions) throws {
    (self.source, self.options) = (source, options)
    season = options.season ?? table.cadence.seasonLength
    data = try LongHorizonData(
      table, split: options.split, context: options.context, horizon: options.horizon)
  }

  /// Fits and judges every forecaster.
  ///
  /// - Parameter progress: Called after every step of training, and awaited.
  /// - Returns: The table.
  /// - Throws: ``LongHorizonError/unknown(_:)`` and `ConfigError` before anything is fitted,
  ///   ``TrainingError``; ``Interruption`` when the Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> LongHorizonReport {
    try await Interruption.naming("benchmark") {
      let contenders = try options.models.map { try contender($0) }
      var rows: [LongHorizonRow] = []
      for (number, contender) in contenders.enumerated() {
        let share = { (own: Double) in (Double(number) + own) / Double(contenders.count) }
        switch contender {
        case .baseline(let baseline):
          await progress(WorkProgress(phase: baseline.rawValue, share: share(0), secondsLeft: nil))
          guard let found = try baseline.score(data, season: season) else { continue }
          rows.append(
            LongHorizonRow(name: baseline.rawValue, score: found.score, ridge: found.ridge))
        case .model(let choice):
          rows.append(
            try await row(choice) { state in
              var state = state
              state.share = share(state.share)
              await progress(state)
            })
        }
      }
      return LongHorizonReport(
        source: source, options: options, season: season, channels: data.channels,
        windows: Split.Part.allCases.map { data.windows($0) }, rows: rows, machine: .current)
    }
  }

  private enum Contender {
    case baseline(LongHorizonBaseline)
    case model(ModelChoice)
  }

  private func contender(_ name: String) throws -> Contender {
    if let baseline = LongHorizonBaseline(rawValue: name) { return .baseline(baseline) }
    do { return .model(try ModelChoice(name)) } catch ConfigError.unknownModelType {
      throw LongHorizonError.unknown(name)
    }
  }

  /// Trains a model with every seed.
  private func row(
    _ choice: ModelChoice, progress: @escaping (WorkProgress) async -> Void
  ) async throws -> LongHorizonRow {
    var runs: [LongHorizonRow.Run] = []
    var parameters = 0
    for (number, seed) in options.seeds.enumerated() {
      let model = try await LongHorizonModel.trained(
        choice, on: data, options: options, seed: seed
      ) { state in
        await progress(
          WorkProgress(
            phase: "\(choice.name), seed \(number + 1) of \(options.seeds.count)",
            share: (Double(number) + state.share) / Double(options.seeds.count),
            secondsLeft: nil, detail: state.losses))
      }
      parameters = model.forecaster.parameters.reduce(0) { $0 + $1.value.count }
      runs.append(
        LongHorizonRow.Run(
          seed: seed, score: try model.score(data), steps: model.record.steps,
          seconds: model.record.seconds, best: model.record.best))
    }
    let errors = runs.map(\.score.mse)
    let mean = Metrics.mean(errors)
    let score = LongHorizonScore(
      mse: mean, mae: Metrics.mean(runs.map(\.score.mae)), windows: data.windows(.test))
    let squares = errors.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return LongHorizonRow(
      name: choice.name, score: score,
      deviation: runs.count > 1 ? (squares / Double(runs.count - 1)).squareRoot() : nil,
      parameters: parameters, runs: runs)
  }
}
