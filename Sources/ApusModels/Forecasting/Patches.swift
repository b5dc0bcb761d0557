import ApusNN
import ApusTensor

/// Rows read several at a time: the token of a row is the row with the `length − 1` rows before it.
///
/// Patches make a series shorter for the backbone (Nie et al., 2022, *A Time Series is Worth 64 Words*,
/// arXiv:2211.14730, section 3.1). There a window gives one forecast; here every row gives one, so the
/// rows t, t + p, t + 2p … make one sequence of tokens that lie end to end, and a series is p of
/// these, side by side in the batch. Each row still costs one step of the backbone, which now reaches
/// p times as far back in as many steps.
/// Shapes: B batch, T time, N = ⌈T / p⌉ tokens of a sequence, F features of a row.
struct Patches {
  /// Rows of a token, p.
  let length: Int

  /// The tokens of all rows: `[B, T, F]` becomes `[B · p, N, p · F]`; rows before the first and after
  /// the last are zeros.
  func tokens(_ rows: Tensor) -> Tensor {
    guard length > 1 else { return rows }
    let (batch, time, features) = (rows.shape[0], rows.shape[1], rows.shape[2])
    let count = (time + length - 1) / length
    let sequence = count * length * features
    var padded = [Float](repeating: 0, count: batch * (length + count * length) * features)
    var tokens: [Float] = []
    tokens.reserveCapacity(batch * length * sequence)
    let values = rows.values
    for one in 0..<batch {
      let start = one * (length + count * length) * features
      let first = start + (length - 1) * features
      padded.replaceSubrange(
        first..<first + time * features,
        with: values[one * time * features..<(one + 1) * time * features])
      for phase in 0..<length {
        // The token of row t begins at row t of the padded ones: a sequence lies there in one piece.
        let begin = start + phase * features
        tokens += padded[begin..<begin + sequence]
      }
    }
    return Tensor(tokens, [batch * length, count, length * features])
  }

  /// The tokens of further rows, by phase from that of the first of them on.
  ///
  /// - Parameters:
  ///   - rows: `[B, T, F]`.
  ///   - recent: The p − 1 rows before them, `[B, p − 1, F]`; afterwards the last p − 1.
  /// - Returns: For each of min(p, T) phases `[B, tokens, p · F]`; the last phases may have one fewer.
  func tokens(_ rows: Tensor, after recent: inout [Float]) -> [Tensor] {
    let (batch, time, features) = (rows.shape[0], rows.shape[1], rows.shape[2])
    let (before, own) = ((length - 1) * features, time * features)
    let values = rows.values
    let history = (0..<batch).map { one in
      recent[one * before..<(one + 1) * before] + values[one * own..<(one + 1) * own]
    }
    recent = history.flatMap { $0.suffix(before) }
    return (0..<min(length, time)).map { phase in
      let count = (time - phase + length - 1) / length
      let sequence = count * length * features
      let tokens = history.flatMap { $0.dropFirst(phase * features).prefix(sequence) }
      return Tensor(tokens, [batch, count, length * features])
    }
  }

  /// Joins what belongs to the phases of ``tokens(_:after:)`` by row: `[B, T, C]`.
  func woven(_ phases: [Tensor], time: Int) -> Tensor {
    guard let first = phases.first, phases.count > 1 else { return phases[0] }
    let (batch, width) = (first.shape[0], first.shape[2])
    let values = phases.map(\.values)
    var rows: [Float] = []
    rows.reserveCapacity(batch * time * width)
    for one in 0..<batch {
      for row in 0..<time {
        let phase = row % length
        let place = (one * phases[phase].shape[1] + row / length) * width
        rows += values[phase][place..<place + width]
      }
    }
    return Tensor(rows, [batch, time, width])
  }

  /// What belongs to each row, in the order of the tokens: `[B, T, C]` becomes `[B · p, N, C]`, with
  /// zeros after the last row.
  func byPhase(_ rows: Tensor) -> Tensor {
    guard length > 1 else { return rows }
    let (batch, time, width) = (rows.shape[0], rows.shape[1], rows.shape[2])
    let count = (time + length - 1) / length
    var phases = [Float](repeating: 0, count: batch * length * count * width)
    let values = rows.values
    for one in 0..<batch {
      for row in 0..<time {
        let place = ((one * length + row % length) * count + row / length) * width
        let source = (one * time + row) * width
        phases.replaceSubrange(place..<place + width, with: values[source..<source + width])
      }
    }
    return Tensor(phases, [batch * length, count, width])
  }

  /// The way back: the first T rows of `[B · p, N, C]` as `[B, T, C]`.
  func byRow(_ phases: Tensor, time: Int) -> Tensor {
    guard length > 1 else { return phases }
    let (count, width) = (phases.shape[1], phases.shape[2])
    let batch = phases.shape[0] / length
    let values = phases.values
    var rows: [Float] = []
    rows.reserveCapacity(batch * time * width)
    for one in 0..<batch {
      for row in 0..<time {
        let place = ((one * length + row % length) * count + row / length) * width
        rows += values[place..<place + width]
      }
    }
    return Tensor(rows, [batch, time, width])
  }
}

extension Tensor {
  /// Every so many rows of `[B, T, C]`, from one on: `[B, ⌈(T − first) / step⌉, C]`.
  func every(_ step: Int, from first: Int) -> Tensor {
    let (batch, time, width) = (shape[0], shape[1], shape[2])
    let values = values
    var taken: [Float] = []
    for one in 0..<batch {
      for row in stride(from: first, to: time, by: step) {
        let place = (one * time + row) * width
        taken += values[place..<place + width]
      }
    }
    return Tensor(taken, [batch, (time - first + step - 1) / step, width])
  }

  /// `[B, T, C]` behind so many rows of zeros.
  func after(zeros count: Int) -> Tensor {
    guard count > 0 else { return self }
    let (batch, time, width) = (shape[0], shape[1], shape[2])
    let (values, zeros) = (values, [Float](repeating: 0, count: count * width))
    var all: [Float] = []
    for one in 0..<batch {
      all += zeros
      all += values[one * time * width..<(one + 1) * time * width]
    }
    return Tensor(all, [batch, count + time, width])
  }
}

/// The state of a ``Forecaster`` after the rows so far: a state for each of the p sequences of
/// tokens.
public struct ForecasterState: Sendable {
  /// One for each row of a patch; the one of row t is t mod p.
  var phases: [BackboneState]
  /// The last p − 1 rows of each series, `[B, p − 1, F]`; zeros before the first.
  var recent: [Float]
  /// Rows so far, of which only the place in a patch counts: series of one state are at the same one.
  package var count = 0

  /// Bytes of everything remembered.
  public var byteCount: Int {
    phases.reduce(recent.count * MemoryLayout<Float>.stride) { $0 + $1.byteCount }
  }

  /// B, how many series are remembered.
  package var batch: Int { phases[0].batch }
}

extension ForecasterState {
  /// The state of some of the series, by number.
  package func rows(_ rows: [Int]) -> ForecasterState {
    let size = recent.count / max(batch, 1)
    var taken = self
    taken.phases = phases.map { $0.rows(rows) }
    taken.recent = rows.flatMap { recent[$0 * size..<($0 + 1) * size] }
    return taken
  }

  /// The series of several states of one forecaster, those of the first state first. At least one.
  package init(joining states: [ForecasterState]) {
    self = states[0]
    phases = phases.indices.map { phase in
      BackboneState(joining: states.map { $0.phases[phase] })
    }
    recent = states.flatMap(\.recent)
  }

  /// Replaces what is remembered of some of the series; none twice.
  package mutating func put(_ other: ForecasterState, at rows: [Int]) {
    let size = recent.count / max(batch, 1)
    for phase in phases.indices { phases[phase].put(other.phases[phase], at: rows) }
    for (number, row) in rows.enumerated() where size > 0 {
      recent.replaceSubrange(
        row * size..<(row + 1) * size, with: other.recent[number * size..<(number + 1) * size])
    }
  }
}
