import ApusModels
import ApusNN
public import Foundation
public import ApusTensor

/// The result of a speed measurement, as `apus bench --json` prints it.
public struct SpeedResult: Codable, Sendable {
  /// The measured task: train, prefill, decode, step, attention, scan or experts.
  public var task: String
  /// The architecture or kernel.
  public var name: String
  /// Sequences at once.
  public var batch: Int
  /// Tokens of a sequence.
  public var context: Int
  /// Precision of products.
  public var precision: Precision
  /// Threads of the kernels.
  public var threads: Int
  /// The vector instruction set of the kernels, and that of the products.
  public var isa: String
  /// The instruction set of the products.
  public var productIsa: String
  /// Parameters of the model.
  public var parameters: Int
  /// The best run.
  public var milliseconds: Double
  /// Tokens per second of the best run.
  public var tokensPerSecond: Double
  /// Arithmetic of the mathematics, whatever the code does besides, over time.
  public var gflops: Double
  /// The rate over that of one large matrix product, measured in the same minute.
  public var shareOfLimit: Double
  /// The most bytes of tensors alive at once.
  public var peakBytes: Int
  /// Forward alone, where forward and backward were measured together.
  public var forwardMilliseconds: Double?
  /// Bytes that a model remembers between tokens, at the end of the measurement.
  public var stateBytes: Int?
  /// The time over that of a dense layer of the same arithmetic, where experts were measured.
  public var timeOverDense: Double?

  /// The result as JSON with the published keys.
  public func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}

/// Times random-weight models and single kernels: the best of several runs after a warm-up.
public struct SpeedBenchmark: Sendable {
  /// Sequences at once.
  public var batch = 8
  /// Tokens of each.
  public var context = 256
  /// The precision of products.
  public var precision = Precision.float32
  /// Whether blocks keep only their input in training.
  public var recomputes = false
  /// How many runs the best is taken from.
  public var runs = 5

  /// Creates the default: 8 sequences of 256 tokens, in float, best of 5.
  public init() {}

  /// Optimizer steps of a language model: forward, loss, backward, AdamW.
  ///
  /// - Parameter config: A published `config.json`.
  /// - Returns: The result.
  /// - Throws: `ConfigError`.
  public func training(config: Data) throws -> SpeedResult {
    let model = try LanguageModel(Blueprint(json: config), key: RandomKey(seed: 0))
    let tokens = try randomTokens(for: model)
    var optimizer = AdamW(model.parameters)
    return withProducts(in: precision) {
      let forward = best(runs: max(1, runs / 2)) {
        withoutGradient { _ = model.loss(tokens, targets: tokens) }
      }
      Machine.resetPeakBytes()
      let seconds = best {
        if recomputes {
          withRecomputation { model.loss(tokens, targets: tokens).backward() }
        } else {
          model.loss(tokens, targets: tokens).backward()
        }
        optimizer.update(learningRate: 1e-3, gradientScale: 1)
        for parameter in model.parameters { parameter.clearGradient() }
      }
      return result(
        "train", model, seconds: seconds, operations: 3 * forwardOperations(model),
        forward: forward)
    }
  }

  /// One pass over whole sequences, as when a prompt is read: in pieces of 2,048 tokens, the state
  /// carried from one to the next, so that memory stays bounded however long the prompt is.
  ///
  /// - Parameter config: A published `config.json`.
  /// - Returns: The result; past 16,384 tokens without a warm-up.
  /// - Throws: `ConfigError`.
  public func prefill(config: Data) throws -> SpeedResult {
    let model = try LanguageModel(Blueprint(json: config), key: RandomKey(seed: 0))
    let tokens = try randomTokens(for: model)
    return withProducts(in: precision) {
      withoutGradient {
        Machine.resetPeakBytes()
        var stateBytes = 0
        let seconds = best(warmUp: context <= 16384) {
          var (state, start) = (model.initialState(batch: batch), 0)
          while start < context {
            let end = min(start + Self.promptPiece, context)
            _ = model.logits(piece(of: tokens, start..<end), state: &state)
            start = end
          }
          stateBytes = state.byteCount
        }
        var measured = result(
          "prefill", model, seconds: seconds, operations: forwardOperations(model))
        measured.stateBytes = stateBytes
        return measured
      }
    }
  }

  /// Single tokens after `context` others.
  public func decoding(config: Data) throws -> SpeedResult {
    let model = try LanguageModel(Blueprint(json: config), key: RandomKey(seed: 0))
    let tokens = try randomTokens(for: model)
    return withProducts(in: precision) {
      withoutGradient {
        var state = model.initialState(batch: batch)
        _ = model.logits(tokens, state: &state)
        let next = Tensor([Int32](repeating: 0, count: batch), [batch, 1])
        Machine.resetPeakBytes()
        let steps = 16
        let seconds =
          best {
            var fork = state
            for _ in 0..<steps { _ = model.logits(next, state: &fork) }
          } / Double(steps)
        var measured = result(
          "decode", model, seconds: seconds,
          operations: Double(batch) * model.blueprint.languageTotal.operations(at: context))
        measured.tokensPerSecond = Double(batch) / seconds
        return measured
      }
    }
  }

  /// One row into a forecaster's memory and its quantiles out, as in a live stream: the median of many
  /// steps, not the best.
  ///
  /// - Parameters:
  ///   - architecture: The registered name.
  ///   - width: D.
  ///   - layers: Layers of the backbone.
  /// - Returns: The result; tokens per second are rows per second.
  /// - Throws: `ConfigError`.
  public func step(architecture: String, width: Int, layers: Int) throws -> SpeedResult {
    let config = try ForecasterConfig(
      .named(architecture),
      size: BackboneSize(width: width, layers: layers, context: context), inputs: 8, horizon: 5,
      levels: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
      window: ForecasterConfig.usualWindow(context: context))
    let forecaster = try Forecaster(config, key: RandomKey(seed: 0))
    var state = forecaster.initialState()
    let row = Tensor(normal: [1, 1, forecaster.rowWidth], key: RandomKey(seed: 1))
    Machine.resetPeakBytes()
    let times = withProducts(in: precision) { () -> [Double] in
      for _ in 0..<context { _ = forecaster.quantiles(row, state: &state) }
      return (0..<max(200, 400 * runs)).map { _ in
        let start = ContinuousClock.now
        _ = forecaster.quantiles(row, state: &state)
        return (ContinuousClock.now - start).seconds
      }.sorted()
    }
    let facts = config.backbone.facts
    let total =
      facts.total + .linear(config.inputs, facts.width, bias: true)
      + .linear(config.window, facts.width) + .linear(config.window, config.horizon)
      + .linear(facts.outputWidth, config.horizon * config.levels.count, bias: true)
    var measured = result(
      "step", name: architecture, parameters: total.parameters, seconds: times[times.count / 2],
      operations: total.operations(at: context))
    measured.batch = 1
    measured.tokensPerSecond = 1 / times[times.count / 2]
    return measured
  }

  /// Causal attention, forward and backward, without projections.
  public func attention(heads: Int, headSize: Int) -> SpeedResult {
    let layout = AttentionLayout(heads: heads, headSize: headSize)
    let fused = Tensor(
      normal: [batch, context, layout.fusedSize], key: RandomKey(seed: 0)
    ).tracked()
    let gradient = Tensor(normal: [batch, context, heads * headSize], key: RandomKey(seed: 1))
    let forward = best {
      withoutGradient { _ = fused.attention(layout: layout) }
    }
    Machine.resetPeakBytes()
    let seconds = best {
      fused.attention(layout: layout).backward(gradient: gradient)
      fused.clearGradient()
    }
    // Two products forward and five backward over the causal half.
    let pairs = Double(batch * heads) * Double(context) * Double(context) / 2
    return result(
      "attention", name: "attention \(heads) x \(headSize)", parameters: 0, seconds: seconds,
      operations: 7 * 2 * pairs * Double(headSize), forward: forward)
  }

  /// Mamba's mixer between its projections, forward and backward.
  public func scan(channels: Int, states: Int) -> SpeedResult {
    let rank = (channels / 2 + 15) / 16
    func leaf(_ shape: Shape, _ stream: UInt64) -> Tensor {
      Tensor(normal: shape, deviation: 0.1, key: RandomKey(seed: 0, stream: stream)).tracked()
    }
    let xz = leaf([batch, context, 2 * channels], 1)
    let weights = SelectiveSSMWeights(
      convolution: leaf([channels, 4], 2), convolutionBias: leaf([channels], 3),
      projection: leaf([rank + 2 * states, channels], 4), step: leaf([channels, rank], 5),
      stepBias: leaf([channels], 6), logA: leaf([channels, states], 7), skip: leaf([channels], 8))
    let gradient = Tensor(normal: [batch, context, channels], key: RandomKey(seed: 1))
    let forward = best { withoutGradient { _ = xz.selectiveSSM(weights: weights) } }
    Machine.resetPeakBytes()
    let seconds = best {
      xz.selectiveSSM(weights: weights).backward(gradient: gradient)
      xz.clearGradient()
    }
    let operations =
      Double(batch * context) * Double(channels)
      * (Double(states) * 24 + 6 * Double(2 * rank + 2 * states))
    return result(
      "scan", name: "selective scan \(channels) x \(states)", parameters: 0, seconds: seconds,
      operations: operations, forward: forward)
  }
}

extension SpeedBenchmark {
  /// Tokens of a prompt that are read at once.
  private static let promptPiece = 2048

  /// The ids of some times of every sequence.
  private func piece(of tokens: Tensor, _ times: Range<Int>) -> Tensor {
    guard times.count < context else { return tokens }
    let ids = tokens.integers
    return Tensor(
      (0..<batch).flatMap { row in
        ids[row * context + times.lowerBound..<row * context + times.upperBound]
      },
      [batch, times.count])
  }

  private func randomTokens(for model: LanguageModel) throws -> Tensor {
    if let bound = model.context, context > bound {
      throw ConfigError.invalid(
        key: "--context", value: "\(context)", rule: "the model takes at most \(bound) tokens")
    }
    let ids = Tensor(
      uniform: [batch * context], from: 0, to: Float(model.vocabulary), key: RandomKey(seed: 2)
    ).values.map { Int32(min(Int($0), model.vocabulary - 1)) }
    return Tensor(ids, [batch, context])
  }

  private func forwardOperations(_ model: LanguageModel) -> Double {
    Double(batch) * model.blueprint.languageTotal.operations(context)
  }

  func best(runs: Int? = nil, warmUp: Bool = true, _ body: () -> Void) -> Double {
    if warmUp { body() }
    var least = Double.infinity
    for _ in 0..<(runs ?? self.runs) {
      let start = ContinuousClock.now
      body()
      least = min(least, (ContinuousClock.now - start).seconds)
    }
    return least
  }

  /// The rate of one large product, the limit that others are measured by, in operations a second.
  private func limit() -> Double {
    let size = 1024
    let a = Tensor(normal: [size, size], key: RandomKey(seed: 3))
    let seconds = withoutGradient {
      withProducts(in: precision) { best(runs: 8) { _ = a.linear(weight: a) } }
    }
    return 2 * Double(size * size * size) / seconds
  }

  private func result(
    _ task: String, _ model: LanguageModel, seconds: Double, operations: Double,
    forward: Double? = nil
  ) -> SpeedResult {
    result(
      task, name: model.architecture.name, parameters: model.blueprint.languageTotal.parameters,
      seconds: seconds, operations: operations, forward: forward)
  }

  func result(
    _ task: String, name: String, parameters: Int, seconds: Double, operations: Double,
    forward: Double? = nil
  ) -> SpeedResult {
    let peak = Machine.peakBytes
    let rate = operations / seconds
    return SpeedResult(
      task: task, name: name, batch: batch, context: context, precision: precision,
      threads: Machine.threads, isa: Machine.instructionSet,
      productIsa: Machine.productInstructionSet, parameters: parameters,
      milliseconds: seconds * 1e3, tokensPerSecond: Double(batch * context) / seconds,
      gflops: rate / 1e9, shareOfLimit: rate / limit(), peakBytes: peak,
      forwardMilliseconds: forward.map { $0 * 1e3 })
  }
}

extension Duration {
  /// The duration in seconds.
  package var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
