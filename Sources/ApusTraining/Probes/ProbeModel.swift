package import ApusData
package import ApusModels
import ApusNN
package import ApusTensor
import Foundation

/// The model of a probe, and how it is judged: a language model where tokens are answered, a classifier
/// where whole sequences are.
package enum ProbeModel {
  case language(LanguageModel)
  case classifier(Classifier)

  /// A fresh model for the task.
  init(_ options: ProbeOptions, generator: any ProbeGenerator) throws {
    let architecture = try Architecture.named(options.model)
    let longest = max(options.length, options.lengths.max() ?? 1) + 2 * options.items + 1
    let size = BackboneSize(
      width: options.width, layers: options.layers, context: options.context ?? longest,
      vocabulary: generator.vocabulary)
    let key = RandomKey(seed: options.seed)
    let blueprint = try architecture.configured(size: size, settings: options.settings)
    if options.context != nil {
      var other = size
      other.context *= 2
      guard try architecture.configured(size: other, settings: options.settings) != blueprint else {
        throw ProbeOptionsError.noLookBack(model: options.model)
      }
    }
    if let classes = generator.classes {
      let config = ClassifierConfig(
        blueprint, input: .tokens(vocabulary: generator.vocabulary), classes: classes,
        pooling: options.pooling)
      self = .classifier(try Classifier(config, key: key))
    } else {
      self = .language(try LanguageModel(blueprint, key: key))
    }
  }

  package var parameters: [Parameter] {
    switch self {
    case .language(let model): model.parameters
    case .classifier(let model): model.parameters
    }
  }

  /// Mean cross-entropy over the answers of a batch.
  package func loss(_ examples: [ProbeExample]) -> Tensor {
    let batch = Batch(examples)
    switch self {
    case .language(let model):
      return model.loss(
        batch.tokens(0..<batch.time), rows: batch.rows(0..<batch.time).rows ?? Tensor(zeros: [0]),
        answers: batch.answers)
    case .classifier(let model):
      return model.loss(
        batch.tokens(0..<batch.time), lengths: examples.map(\.tokens.count), labels: batch.answers)
    }
  }

  /// Judges answers. Sequences pass in chunks from one state, so that memory does not grow with them
  /// where the state does not.
  ///
  /// - Parameters:
  ///   - examples: Of equal length where tokens are answered.
  ///   - chunk: Tokens of the whole batch that pass at once, about.
  /// - Returns: How many answers were right, and the sum of their cross-entropies.
  package func judge(_ examples: [ProbeExample], chunk: Int = 16384) -> ProbeVerdict {
    let batch = Batch(examples)
    var verdict = ProbeVerdict()
    switch self {
    case .classifier(let model):
      withoutGradient {
        let logits = model.logits(
          batch.tokens(0..<batch.time), lengths: examples.map(\.tokens.count))
        verdict.add(logits, answers: examples.flatMap(\.answers))
      }
    case .language(let model):
      var state = model.initialState(batch: examples.count)
      let step = max(1, chunk / examples.count)
      for start in stride(from: 0, to: batch.time, by: step) {
        let times = start..<min(start + step, batch.time)
        let (rows, answers) = batch.rows(times)
        if let logits = model.logits(batch.tokens(times), rows: rows, state: &state) {
          verdict.add(logits, answers: answers)
        }
      }
    }
    return verdict
  }
}

/// How many answers were given, how many were right, and how sure the model was.
package struct ProbeVerdict {
  package var answers = 0
  package var correct = 0
  /// The sum of the cross-entropies, in nats.
  package var loss = 0.0

  /// Counts the rows of `logits`, `[N, V]`.
  mutating func add(_ logits: Tensor, answers expected: [Int32]) {
    let (values, width) = (logits.values, logits.shape.last)
    for (row, answer) in expected.enumerated() {
      let own = values[row * width..<(row + 1) * width]
      let best = own.indices.reduce(own.startIndex) { own[$1] > own[$0] ? $1 : $0 }
      let top = Double(own[best])
      let sum = own.reduce(0) { $0 + exp(Double($1) - top) }
      loss += top + log(sum) - Double(own[row * width + Int(answer)])
      if best - row * width == Int(answer) { correct += 1 }
    }
    answers += expected.count
  }

  static func += (one: inout ProbeVerdict, other: ProbeVerdict) {
    one.answers += other.answers
    one.correct += other.correct
    one.loss += other.loss
  }
}

/// Examples side by side, those that end earlier filled with zeros.
private struct Batch {
  let examples: [ProbeExample]
  let time: Int

  init(_ examples: [ProbeExample]) {
    self.examples = examples
    time = examples.map(\.tokens.count).max() ?? 0
  }

  /// `[B, T]` of a part of the time.
  func tokens(_ times: Range<Int>) -> Tensor {
    var ids: [Int32] = []
    ids.reserveCapacity(examples.count * times.count)
    for example in examples {
      let part = times.clamped(to: 0..<example.tokens.count)
      ids += example.tokens[part]
      ids += [Int32](repeating: 0, count: times.count - part.count)
    }
    return Tensor(ids, [examples.count, times.count])
  }

  /// Which rows of that part are asked, and the answers; nil when none is.
  func rows(_ times: Range<Int>) -> (rows: Tensor?, answers: [Int32]) {
    var (rows, answers) = ([Int32](), [Int32]())
    for (number, example) in examples.enumerated() {
      for (place, answer) in zip(example.places, example.answers) where times.contains(place) {
        rows.append(Int32(number * times.count + place - times.lowerBound))
        answers.append(answer)
      }
    }
    return (rows.isEmpty ? nil : Tensor(rows, [rows.count]), answers)
  }

  /// All answers, in the order of the rows.
  var answers: Tensor {
    let all = examples.flatMap(\.answers)
    return Tensor(all, [all.count])
  }
}
