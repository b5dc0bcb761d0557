import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// What the memory of Megalodon is for, at the smallest size that shows it.
@Suite("Megalodon learns")
struct MegalodonLearningTests {
  /// Rows and targets: a level per series in noise, and the mean of all rows so far.
  static func series(seed: UInt64) -> (rows: Tensor, targets: Tensor) {
    let (batch, time) = (16, 48)
    let noise = Tensor.random([batch, time, 1], seed: seed).values
    let levels = Tensor.random([batch], seed: seed &+ 1_000_000).values
    let rows = noise.indices.map { noise[$0] + levels[$0 / time] }
    var targets = rows
    for start in stride(from: 0, to: rows.count, by: time) {
      var sum: Float = 0
      for t in 0..<time {
        sum += rows[start + t]
        targets[start + t] = sum / Float(t + 1)
      }
    }
    return (Tensor(rows, [batch, time, 1]), Tensor(targets, [batch, time, 1]))
  }

  /// Trains, and returns the mean absolute error on fresh series, three windows in and later.
  static func error(of architecture: String) throws -> Double {
    let size = BackboneSize(width: 24, layers: 1, context: 8)
    let model = try Forecaster(
      ForecasterConfig(
        .named(architecture), size: size, inputs: 1, horizon: 1, levels: [0.5]),
      key: RandomKey(seed: 1))
    let weights = Tensor(repeating: 1, [16, 48, 1])
    var optimizer = TestOptimizer(model.parameters)
    for step in 0..<300 as Range<UInt64> {
      let (rows, targets) = series(seed: step)
      model.loss(rows, targets: targets, weights: weights).backward()
      optimizer.update(rate: 0.005 * (1 - Float(step) / 300))
    }
    let (rows, targets) = series(seed: 999)
    let distances = zip(model.quantiles(rows).values, targets.values).map { abs(Double($0 - $1)) }
    let late = distances.indices.filter { $0 % 48 >= 24 }.map { distances[$0] }
    return late.reduce(0, +) / Double(late.count)
  }

  @Test("the mean of all the past, which attention in a window cannot", .slow)
  func mean() throws {
    let (megalodon, window) = (
      try Self.error(of: "megalodon"), try Self.error(of: "transformer")
    )
    #expect(megalodon < 0.5 * window, "\(megalodon) against \(window) of attention in a window")
  }

  /// Sequences of one bit, twelve random fillers, and a question for the bit.
  static func questions(seed: UInt64) -> (tokens: Tensor, targets: Tensor) {
    var generator = SplitMix(state: seed &+ 7)
    var (tokens, targets): ([Int32], [Int32]) = ([], [])
    for _ in 0..<32 {
      let bit = Int32.random(in: 0...1, using: &generator)
      tokens += [bit] + (0..<12).map { _ in Int32.random(in: 3...14, using: &generator) } + [2]
      targets += [Int32](repeating: -1, count: 13) + [bit]
    }
    return (Tensor(tokens, [32, 14]), Tensor(targets, [32, 14]))
  }

  /// Trains with chunks, or windows, of four tokens, and returns the share of right answers.
  static func accuracy(of name: String) throws -> Double {
    let architecture = try Architecture.named(name)
    let size = try architecture.configured(
      size: BackboneSize(width: 24, layers: 2, context: 4, vocabulary: 15))
    let model = try LanguageModel(size, key: RandomKey(seed: 2))
    var optimizer = TestOptimizer(model.parameters)
    for step in 0..<400 as Range<UInt64> {
      let (tokens, targets) = questions(seed: step)
      model.loss(tokens, targets: targets).backward()
      optimizer.update(rate: 0.01 * (1 - Float(step) / 400))
    }
    var right = 0
    for seed in 9000..<9010 as Range<UInt64> {
      let (tokens, targets) = questions(seed: seed)
      let logits = withoutGradient { model.logits(tokens) }[times: 13..<14].values
      let wanted = targets.integers
      right += (0..<32).count { row in
        (logits[row * 15 + 1] > logits[row * 15]) == (wanted[row * 14 + 13] == 1)
      }
    }
    return Double(right) / 320
  }

  @Test(
    "to carry a bit across three borders of chunks, which two layers of a window cannot reach",
    .slow)
  func carriesAcross() throws {
    let (megalodon, window) = (
      try Self.accuracy(of: "megalodon"), try Self.accuracy(of: "transformer")
    )
    #expect(megalodon > 0.9, "right answers: \(megalodon)")
    // Two layers of windows of four see seven tokens; the bit lies thirteen back.
    #expect(window < 0.65, "right answers of attention in a window: \(window)")
  }

  @Test(
    "a stream of a hundred thousand tokens needs no more memory than one of ten thousand", .slow)
  func stream() throws {
    let architecture = try Architecture.named("megalodon")
    let config = try architecture.configured(
      size: BackboneSize(width: 32, layers: 2, context: 64, vocabulary: 29))
    let model = try LanguageModel(config, key: RandomKey(seed: 3))
    var state = model.initialState(batch: 1)
    var bytes: [Int] = []
    var peaks: [Int] = []
    let piece = 4000  // not a whole number of chunks
    for index in 0..<25 as Range<UInt64> {
      let tokens = Tensor.randomIntegers([1, piece], below: 29, seed: index)
      let logits = model.logits(tokens, state: &state)
      #expect(logits[times: piece - 1..<piece].values.allSatisfy { $0.isFinite })
      bytes.append(state.byteCount)
      peaks.append(Machine.peakBytes)
    }
    #expect(state.positions == [100_000])
    // At the end of a chunk both times, where its keys and values are gone.
    #expect(bytes[1] == bytes[23], "the state: \(bytes[1]) and \(bytes[23]) bytes")
    #expect(peaks[2] == peaks[24], "peak memory: \(peaks[2]) and \(peaks[24]) bytes")
  }
}
