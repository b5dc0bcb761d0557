import CApusKernels
import Foundation
import Testing

/// The sizes of one call.
struct SSDCase: CustomTestStringConvertible, CustomStringConvertible, Sendable {
  var batch: Int, time: Int, heads: Int, headSize: Int, groups: Int, states: Int, chunk: Int

  var description: String {
    "B \(batch) T \(time) H \(heads) P \(headSize) G \(groups) N \(states) Q \(chunk)"
  }
  var testDescription: String { description }
  var rows: Int { batch * time }
  var channels: Int { heads * headSize }
  var stateCount: Int { batch * channels * states }
}

/// Inputs of one call. Rows of x, B and C, and of dt, have `padding` floats behind them.
struct SSDProblem {
  var shape: SSDCase
  var padding: Int
  /// x, B and C of each token.
  var row: [Float]
  var dt, dtBias, aLog, d, dy: [Float]
  /// The state before the first token; gradients are those of a start from zeros.
  var start: [Float]
  var limits: ClosedRange<Float> = 0...Float.infinity

  var stride: Int { shape.channels + 2 * shape.groups * shape.states + padding }
  var dtStride: Int { shape.heads + padding }

  init(_ shape: SSDCase, padding: Int = 3, seed: UInt64) {
    (self.shape, self.padding) = (shape, padding)
    let width = shape.channels + 2 * shape.groups * shape.states + padding
    row = random(shape.rows * width, seed: seed)
    dt = random(shape.rows * (shape.heads + padding), seed: seed + 1, scale: 1.5)
    dtBias = random(shape.heads, seed: seed + 2).map { $0 - 1 }
    aLog = random(shape.heads, seed: seed + 3)
    d = random(shape.heads, seed: seed + 4)
    dy = random(shape.rows * shape.channels, seed: seed + 5)
    start = random(shape.stateCount, seed: seed + 6)
  }

  private var sizes: apus_ssd_shape {
    apus_ssd_shape(
      batch: shape.batch, time: shape.time, heads: shape.heads, head_size: shape.headSize,
      groups: shape.groups, states: shape.states, x_stride: stride, dt_stride: dtStride,
      chunk: shape.chunk, step_low: limits.lowerBound, step_high: limits.upperBound)
  }

  /// Calls `body` with x, b and c inside the rows.
  private func withParts(
    _ body: (UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?) -> Void
  ) {
    row.withUnsafeBufferPointer { rows in
      let x = rows.baseAddress
      let b = x.map { $0 + shape.channels }
      body(x, b, b.map { $0 + shape.groups * shape.states })
    }
  }

  /// Outputs are poisoned first; `state` is what `start` became.
  private func run(
    _ kernel: (
      UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, UnsafePointer<Float>?,
      UnsafePointer<Float>?, UnsafePointer<Float>?
    ) -> Void
  ) -> (y: [Float], state: [Float]) {
    var (y, state) = ([Float](repeating: poison, count: dy.count), start)
    withParts { x, b, c in kernel(&y, &state, x, b, c) }
    return (y, state)
  }

  func forward() -> (y: [Float], state: [Float]) {
    var sizes = sizes
    return run { apus_ssd_f32($0, $1, nil, $2, $3, $4, dt, dtBias, aLog, d, &sizes) }
  }

  func steps() -> (y: [Float], state: [Float]) {
    var sizes = sizes
    return run { apus_ssd_step_f32($0, $1, $2, $3, $4, dt, dtBias, aLog, d, &sizes) }
  }

  func reference() -> (y: [Float], state: [Float]) {
    var sizes = sizes
    return run { apus_ssd_reference_f32($0, $1, $2, $3, $4, dt, dtBias, aLog, d, &sizes) }
  }

  func backward() -> Gradients {
    var sizes = sizes
    let chunks = (shape.time + shape.chunk - 1) / shape.chunk
    var checkpoints = [Float](repeating: poison, count: chunks * shape.stateCount)
    var y = [Float](repeating: poison, count: dy.count)
    withParts { x, b, c in
      apus_ssd_f32(&y, nil, &checkpoints, x, b, c, dt, dtBias, aLog, d, &sizes)
    }
    return gradients { g, dx, db, dc, x, b, c in
      apus_ssd_backward_f32(
        dx, db, dc, &g.ddt, &g.ddtBias, &g.daLog, &g.dd, dy, checkpoints, x, b, c, dt, dtBias,
        aLog, d, &sizes)
    }
  }

  func referenceGradients() -> Gradients {
    var sizes = sizes
    return gradients { g, dx, db, dc, x, b, c in
      apus_ssd_backward_reference_f32(
        dx, db, dc, &g.ddt, &g.ddtBias, &g.daLog, &g.dd, dy, x, b, c, dt, dtBias, aLog, d, &sizes)
    }
  }

  private func gradients(
    _ kernel: (
      inout Gradients, UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?,
      UnsafeMutablePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?,
      UnsafePointer<Float>?
    ) -> Void
  ) -> Gradients {
    var g = Gradients(self)
    var drow = g.drow
    drow.withUnsafeMutableBufferPointer { rows in
      let dx = rows.baseAddress
      let db = dx.map { $0 + shape.channels }
      let dc = db.map { $0 + shape.groups * shape.states }
      withParts { x, b, c in kernel(&g, dx, db, dc, x, b, c) }
    }
    g.drow = drow
    return g
  }

  /// The call of some tokens only.
  func tokens(_ range: Range<Int>) -> SSDProblem {
    var part = self
    part.shape.time = range.count
    func rows(_ x: [Float], _ width: Int) -> [Float] {
      var kept: [Float] = []
      for batch in 0..<shape.batch {
        let first = batch * shape.time + range.lowerBound
        kept += x[first * width..<(first + range.count) * width]
      }
      return kept
    }
    (part.row, part.dt, part.dy) = (rows(row, stride), rows(dt, dtStride), rows(dy, shape.channels))
    return part
  }

  /// Outputs of the first `first` tokens and of the others, as one array.
  func joined(_ head: [Float], _ tail: [Float], first: Int) -> [Float] {
    let (left, right) = (first * shape.channels, (shape.time - first) * shape.channels)
    var whole: [Float] = []
    for batch in 0..<shape.batch {
      whole += head[batch * left..<(batch + 1) * left]
      whole += tail[batch * right..<(batch + 1) * right]
    }
    return whole
  }

  /// Σ dy · y from zeros, in double, with one input replaced.
  func lossInDouble(replacing path: KeyPath<SSDProblem, [Float]>, by values: [Double]) -> Double {
    func read(_ other: KeyPath<SSDProblem, [Float]>) -> [Double] {
      other == path ? values : self[keyPath: other].map(Double.init)
    }
    let (row, dt, bias, aLog, d) = (
      read(\.row), read(\.dt), read(\.dtBias), read(\.aLog), read(\.d)
    )
    let (channels, states) = (shape.headSize, shape.states)
    var loss = 0.0
    for index in 0..<shape.batch * shape.heads {
      let (batch, head) = (index / shape.heads, index % shape.heads)
      let group = head / (shape.heads / shape.groups)
      var h = [Double](repeating: 0, count: states * channels)
      for t in batch * shape.time..<(batch + 1) * shape.time {
        let soft = log1p(exp(dt[t * dtStride + head] + bias[head]))
        let step = min(max(soft, Double(limits.lowerBound)), Double(limits.upperBound))
        let decay = exp(-step * exp(aLog[head]))
        let b = t * stride + shape.channels + group * states
        let c = b + shape.groups * states
        for p in 0..<channels {
          let x = row[t * stride + head * channels + p]
          var y = d[head] * x
          for n in 0..<states {
            h[n * channels + p] = decay * h[n * channels + p] + step * row[b + n] * x
            y += row[c + n] * h[n * channels + p]
          }
          loss += Double(dy[t * shape.channels + head * channels + p]) * y
        }
      }
    }
    return loss
  }

  /// Gradients by name; `drow` is that of x, B and C in their rows, poisoned in the padding.
  struct Gradients {
    var drow, ddt, ddtBias, daLog, dd: [Float]

    init(_ problem: SSDProblem) {
      drow = [Float](repeating: poison, count: problem.row.count)
      ddt = [Float](repeating: poison, count: problem.dt.count)
      let heads = problem.shape.heads
      ddtBias = [Float](repeating: poison, count: heads)
      daLog = ddtBias
      dd = ddtBias
    }

    var all: [Float] { drow + ddt + ddtBias + daLog + dd }

    func expectClose(
      _ expected: Gradients, ofLargest tolerance: Float, _ context: String,
      sourceLocation: SourceLocation = #_sourceLocation
    ) {
      for (name, actual, expected) in [
        ("dx, db, dc", drow, expected.drow), ("ddt", ddt, expected.ddt),
        ("ddt_bias", ddtBias, expected.ddtBias), ("da_log", daLog, expected.daLog),
        ("dd", dd, expected.dd),
      ] {
        CApusKernelsTests.expectClose(
          actual, expected, ofLargest: tolerance, "\(name), \(context)",
          sourceLocation: sourceLocation)
      }
    }
  }
}
