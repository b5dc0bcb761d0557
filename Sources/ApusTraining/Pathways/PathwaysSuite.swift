public import ApusModels
public import ApusTensor
import Foundation

/// A synthetic task with exact rules, from which examples can be drawn by number: the same number gives the
/// same example, and numbers of different parts share none.
public enum PathwaysExercise: String, Codable, Sendable, CaseIterable {
  /// 8 to 32 of sixteen symbols, a bar, then the same symbols again.
  case copy
  /// The same with the symbols in reverse.
  case reverse
  /// A sine with a trend and noise; the next 24 values after 96.
  case season
  /// A season that multiplies a level that wanders.
  case growth
  /// Sine, square, saw-tooth or an autoregression of 128 values.
  case shapes
  /// Triangle, chirp, two tones or noise.
  case waves

  /// What is asked for.
  public var head: PathwaysTask.Head {
    switch self {
    case .copy, .reverse: .language
    case .season, .growth:
      .forecast(horizon: 24, levels: (1...9).map { Double($0) / 10 })
    case .shapes, .waves: .classes(count: 4)
    }
  }

  /// Examples of a batch.
  ///
  /// - Parameters:
  ///   - numbers: Which ones.
  ///   - key: The key of this use: training, validation or test.
  ///   - shortest: Where given, texts have from this many symbols on, evenly in the logarithm, instead
  ///     of 8 to 32 evenly: on short ones a task shows sooner.
  /// - Returns: What is read and what should be found.
  public func batch(
    _ numbers: some Collection<Int>, key: RandomKey, shortest: Int? = nil
  ) -> PathwaysBatch {
    let generators = numbers.map { PhiloxGenerator(key.derived(UInt64($0))) }
    switch self {
    case .copy, .reverse: return texts(generators, shortest: shortest)
    case .season, .growth: return futures(generators)
    case .shapes, .waves: return classes(generators)
    }
  }

  private func texts(_ generators: [PhiloxGenerator], shortest: Int?) -> PathwaysBatch {
    let length = 66  // 32 symbols, the bar, 32 symbols, and one for the shift
    var (tokens, targets) = ([Int32](), [Int32]())
    for var generator in generators {
      let count =
        shortest.map {
          Int(exp(Double.random(in: log(Double($0))...log(32), using: &generator)).rounded())
        } ?? Int.random(in: 8...32, using: &generator)
      let symbols = (0..<count).map { _ in Int32(97 + Int.random(in: 0..<16, using: &generator)) }
      let answer = self == .copy ? symbols : Array(symbols.reversed())
      let text = symbols + [124] + answer
      tokens += text + [Int32](repeating: 32, count: length - text.count)
      // Only the second half can be known.
      var wanted = [Int32](repeating: -1, count: length)
      for (place, symbol) in answer.enumerated() { wanted[count + place] = symbol }
      targets += wanted
    }
    return PathwaysBatch(
      input: .tokens(Tensor(tokens, [generators.count, length])),
      target: .tokens(Tensor(targets, [generators.count, length])))
  }

  private func futures(_ generators: [PhiloxGenerator]) -> PathwaysBatch {
    var (contexts, futures) = ([[Float]](), [Float]())
    for var generator in generators {
      let period = Double(Int.random(in: 8...48, using: &generator))
      let size = Double.random(in: 0.5...2, using: &generator)
      let phase = Double.random(in: 0..<2 * .pi, using: &generator)
      let slope = 0.5 * normal(&generator)
      var level = 0.0
      let values = (0..<120).map { t -> Float in
        let wave = sin(2 * .pi * Double(t) / period + phase)
        if self == .season {
          return Float(size * wave + slope * Double(t) / 100 + 0.1 * normal(&generator))
        }
        level += 0.02 * normal(&generator)
        return Float((1 + 0.5 * wave) * exp(level))
      }
      contexts.append(Array(values[..<96]))
      futures += values[96...]
    }
    return PathwaysBatch(
      input: .series(contexts), target: .values(Tensor(futures, [generators.count, 24])))
  }

  private func classes(_ generators: [PhiloxGenerator]) -> PathwaysBatch {
    var (series, labels) = ([[Float]](), [Int32]())
    for var generator in generators {
      let kind = Int.random(in: 0..<4, using: &generator)
      let period = Double(Int.random(in: 8...32, using: &generator))
      let phase = Double.random(in: 0..<1, using: &generator)
      var state = 0.0
      series.append(
        (0..<128).map { t in
          let turn = Double(t) / period + phase
          let part = turn - turn.rounded(.down)
          let noise = normal(&generator)
          state = 0.9 * state + noise
          let clean: Double =
            switch (self, kind) {
            case (.shapes, 0): sin(2 * .pi * turn)
            case (.shapes, 1): part < 0.5 ? 1 : -1
            case (.shapes, 2): 2 * part - 1
            case (.shapes, _): 0.44 * state
            case (_, 0): 4 * abs(part - 0.5) - 1
            case (_, 1): sin(2 * .pi * turn * (0.5 + Double(t) / 128))
            case (_, 2): (sin(2 * .pi * turn) + sin(2 * .pi * turn * 1.618)) / 1.4
            default: noise
            }
          return Float(clean + 0.2 * normal(&generator))
        })
      labels.append(Int32(kind))
    }
    return PathwaysBatch(
      input: .series(series), target: .classes(Tensor(labels, [labels.count])))
  }

  private func normal(_ generator: inout PhiloxGenerator) -> Double {
    let u = Double.random(in: Double.leastNormalMagnitude..<1, using: &generator)
    let v = Double.random(in: 0..<1, using: &generator)
    return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
  }
}
