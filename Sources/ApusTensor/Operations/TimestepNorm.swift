import CApusKernels

/// The state of timestep normalization: the number of tokens, and per group their mean and
/// variance, in double, since in float they would stop moving after some thousand tokens.
public struct TimestepNormState: Sendable {
  /// How many tokens of each sequence have passed.
  public private(set) var counts: [Int]
  /// `[B, 2, G]`: means, then variances.
  package private(set) var statistics: [Double]

  /// The state before the first token.
  public init(batch: Int, groups: Int) {
    counts = [Int](repeating: 0, count: batch)
    statistics = [Double](repeating: 0, count: batch * 2 * groups)
  }

  /// Lets `body` change the statistics, of neighboring sequences at one position together.
  fileprivate mutating func advance(
    by time: Int, _ body: (_ sequences: Range<Int>, UnsafeMutablePointer<Double>?) -> Void
  ) {
    let size = statistics.count / max(batch, 1)
    var first = 0
    while first < batch {
      let last = counts[first...].firstIndex { $0 != counts[first] } ?? batch
      statistics.withUnsafeMutableBufferPointer { all in
        body(first..<last, all.baseAddress.map { $0 + first * size })
      }
      first = last
    }
    for row in counts.indices { counts[row] += time }
  }
}

extension TimestepNormState: LayerState {
  public var batch: Int { counts.count }

  /// Bytes of the state: 8 for the count and 16 · G for the statistics of each sequence.
  public var byteCount: Int { (counts.count + statistics.count) * 8 }

  public func rows(_ rows: [Int]) -> TimestepNormState {
    let size = statistics.count / max(batch, 1)
    var taken = self
    taken.counts = rows.map { counts[$0] }
    taken.statistics = rows.flatMap { statistics[$0 * size..<($0 + 1) * size] }
    return taken
  }

  public mutating func put(_ other: TimestepNormState, at rows: [Int]) {
    let size = statistics.count / max(batch, 1)
    for (number, row) in rows.enumerated() {
      counts[row] = other.counts[number]
      statistics.replaceSubrange(
        row * size..<(row + 1) * size, with: other.statistics[number * size..<(number + 1) * size])
    }
  }

  public init(joining states: [TimestepNormState]) {
    counts = states.flatMap(\.counts)
    statistics = states.flatMap(\.statistics)
  }
}

extension Tensor {
  /// Group normalization whose statistics run over all tokens up to the present one:
  /// `(x − mean)/√(variance + epsilon) · (1 + weight) + bias`.
  ///
  /// Ma et al., 2024, *Megalodon*, arXiv:2404.08801, equation 4.
  /// The tensor is `[B, T, D]`.
  /// - Parameters:
  ///   - weight: The gain less one, `[D]`.
  ///   - bias: `[D]`.
  ///   - groups: G, which divides D. A group of one feature would normalize its first token to zero.
  ///   - epsilon: Added to the variance.
  /// - Returns: `[B, T, D]`.
  public func timestepNorm(weight: Tensor, bias: Tensor, groups: Int, epsilon: Float) -> Tensor {
    var shape = timestepShape(self, weight, bias, groups: groups, epsilon: epsilon)
    let y = Tensor(uninitialized: self.shape)
    let statistics = Tensor(uninitialized: [shape.batch, shape.time, 2, groups])
    withPointers(y.out, statistics.out, self, weight, bias) {
      apus_timestep_norm_f32($0, $1, nil, $2, $3, $4, &shape)
    }
    guard Tensor.records(self, weight, bias) else { return y }
    let (savedX, savedWeight) = (detached(), weight.detached())
    return y.tracked(from: [self, weight, bias]) { dy in
      let dx = Tensor(uninitialized: savedX.shape)
      let dweight = Tensor(uninitialized: savedWeight.shape)
      let dbias = Tensor(uninitialized: savedWeight.shape)
      var shape = shape
      withPointers(dx.out, dweight.out, dbias.out, dy, savedX, savedWeight, statistics) {
        apus_timestep_norm_backward_f32($0, $1, $2, nil, $3, $4, $5, $6, nil, &shape)
      }
      return [dx, dweight, dbias]
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func timestepNorm(
    weight: Tensor, bias: Tensor, groups: Int, epsilon: Float, state: inout TimestepNormState
  ) -> Tensor {
    let shape = timestepShape(self, weight, bias, groups: groups, epsilon: epsilon)
    ensure(
      state.batch == shape.batch && state.statistics.count == shape.batch * 2 * groups,
      "timestepNorm: the state holds \(state.statistics.count) numbers, the input is \(self.shape)")
    let y = Tensor(uninitialized: self.shape)
    let statistics = Tensor(uninitialized: [shape.batch, shape.time, 2, groups])
    let counts = state.counts
    state.advance(by: shape.time) { sequences, running in
      let first = sequences.lowerBound * shape.time
      var part = shape
      (part.batch, part.count) = (sequences.count, Int64(counts[sequences.lowerBound]))
      let at = first * self.shape[2]
      withPointers(
        y.out.from(at), statistics.out.from(first * 2 * groups), input.from(at), weight, bias
      ) { apus_timestep_norm_f32($0, $1, running, $2, $3, $4, &part) }
    }
    return y
  }
}

private func timestepShape(
  _ x: Tensor, _ weight: Tensor, _ bias: Tensor, groups: Int, epsilon: Float
) -> apus_timestep_norm_shape {
  let width = x.shape[2]
  ensure(
    groups > 0 && width % groups == 0 && weight.count == width && bias.count == width,
    "timestepNorm: x is \(x.shape), weight \(weight.shape), \(groups) groups")
  return apus_timestep_norm_shape(
    batch: x.shape[0], time: x.shape[1], groups: groups, group_size: width / groups,
    count: 0, epsilon: epsilon)
}
