import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("LSH attention")
  struct LSHTests {
    @Test(
      "agrees with the reference, forward and backward", arguments: ListProblem.Kind.allCases,
      [1, 5, 16, 33, 64])
    func agreesWithReference(kind: ListProblem.Kind, size: Int) {
      let cases = [(1, 1, 1), (7, 3, 1), (33, 4, 2), (70, 16, 1), (131, 25, 0), (64, 64, 1)]
      for (index, (time, block, before)) in cases.enumerated() {
        let problem = ListProblem(
          kind, batch: 1 + index % 2, heads: 1 + index % 3, size: size, time: time, block: block,
          before: before, seed: UInt64(index))
        let expected = problem.forward(reference: true)
        let gradients = problem.backward(expected, reference: true)
        onEveryTarget { target in
          let context = "\(target), \(kind), K \(size), T \(time), c \(block)"
          let actual = problem.forward()
          expectClose(actual.o, expected.o, absolute: 1e-5, "o, \(context)")
          expectClose(actual.lse, expected.lse, relative: 2e-6, absolute: 1e-5, "lse, \(context)")
          let g = problem.backward(expected)
          for (one, other) in zip(g, gradients) {
            expectClose(one, other, relative: 1e-5, absolute: 3e-5, "gradients, \(context)")
          }
        }
      }
    }

    @Test("hashes as the reference does, the first place winning ties")
    func buckets() {
      for (seed, factors) in [[2], [6], [4, 2], [34], [2, 2, 4]].enumerated() {
        let (heads, size, rounds, time) = (2, 19, 3, 65)
        var shape = apus_lsh_shape()
        shape.batch = 2
        shape.time = time
        shape.heads = heads
        shape.head_size = size
        shape.rounds = rounds
        shape.q_stride = heads * size + 3
        let width = factors.reduce(0) { $0 + $1 / 2 }
        var x = random(2 * time * shape.q_stride, seed: UInt64(seed))
        for i in 0..<shape.q_stride { x[i] = 0 }
        let rotations = random(heads * size * rounds * width, seed: UInt64(seed) + 50)
        var expected = [Int32](repeating: -1, count: 2 * heads * rounds * time)
        apus_lsh_buckets_reference_f32(&expected, x, rotations, factors, factors.count, &shape)
        #expect(expected.allSatisfy { (0..<Int32(factors.reduce(1, *))).contains($0) })
        onEveryTarget { target in
          var found = [Int32](repeating: -1, count: expected.count)
          apus_lsh_buckets_f32(&found, x, rotations, factors, factors.count, &shape)
          #expect(found == expected, "\(target), factors \(factors)")
          #expect(found[0] == 0, "zeros hash to the first bucket")
        }
      }
    }

    @Test("orders tokens by bucket and time, empty places last")
    func order() {
      var shape = apus_lsh_shape()
      (shape.batch, shape.heads, shape.rounds, shape.time, shape.slots) = (1, 1, 2, 5, 7)
      var order = [Int32](repeating: -1, count: 14)
      var starts = [Int32](repeating: -1, count: 8)
      apus_lsh_order(&order, &starts, [2, 0, 2, 0, 0, 1, 1, 1, 1, 0], 3, &shape)
      #expect(order == [1, 3, 4, 0, 2, 5, 6, 4, 0, 1, 2, 3, 5, 6])
      #expect(starts == [0, 3, 3, 5, 0, 1, 5, 5])
    }

    @Test("continues token by token as all at once", arguments: [false, true], [1, 4, 9])
    func steps(reference: Bool, block: Int) {
      for (kind, before) in [
        (ListProblem.Kind.groups, 1), (.groups, 2), (.blocks, 1), (.blocks, 0),
      ] {
        let problem = ListProblem(
          kind, batch: 1, heads: 2, size: 21, time: 60, block: block, before: before, seed: 5)
        let expected = problem.forward(reference: true).o
        for pieces in [[60], [1, 2, 30, 7, 20]] {
          let actual = problem.stepped(pieces, reference: reference)
          expectClose(actual, expected, absolute: 1e-5, "\(kind), c \(block), before \(before)")
        }
      }
    }

    @Test("gives the same bits at any thread count", arguments: ListProblem.Kind.allCases)
    func ignoresThreads(kind: ListProblem.Kind) {
      let problem = ListProblem(
        kind, batch: 2, heads: 3, size: 24, time: 700, block: 32, before: 1, seed: 6)
      let past = problem.forward()
      expectSameBitsAtAnyThreadCount("forward") { problem.forward().o }
      expectSameBitsAtAnyThreadCount("backward") { problem.backward(past).flatMap { $0 } }
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      for kind in ListProblem.Kind.allCases {
        let problem = ListProblem(
          kind, batch: 1, heads: 1, size: 3, time: 9, block: 3, before: 1, seed: 7)
        let g = problem.backward(problem.forward(reference: true), reference: true)
        let paths = [\ListProblem.q, \ListProblem.k, \ListProblem.v]
        for (index, path) in paths.enumerated() where !(problem.isShared && index == 1) {
          let expected = numericalGradient(
            of: { problem.lossInDouble(replacing: path, by: $0) }, at: problem[keyPath: path])
          expectClose(g[index], expected, relative: 1e-4, absolute: 2e-5, "\(kind), \(index)")
        }
      }
    }
  }
}

/// Tokens in lists, and what attends to what. Rows carry three floats more than they need.
struct ListProblem {
  enum Kind: CaseIterable {
    case circle, bothSides, groups, blocks
  }

  let kind: Kind
  let shape: apus_lsh_shape
  let q, k, v, dout: [Float]
  let buckets, order, starts: [Int32]
  var isShared: Bool { kind != .blocks }
  private var width: Int { shape.heads * shape.head_size }
  private static let bucketCount = 6

  init(
    _ kind: Kind, batch: Int, heads: Int, size: Int, time: Int, block: Int, before: Int,
    seed: UInt64
  ) {
    self.kind = kind
    let (rounds, stride) = (kind == .blocks ? 1 : 2, heads * size + (size > 3 ? 3 : 0))
    let isCircle = kind == .circle || kind == .bothSides
    let slots = isCircle ? (time + block - 1) / block * block : time
    var shape = apus_lsh_shape(
      batch: batch, time: time, heads: heads, head_size: size, rounds: rounds, slots: slots,
      groups: isCircle ? 0 : kind == .blocks ? 1 : Self.bucketCount, block: block, before: before,
      after: kind == .bothSides ? 1 : 0, q_stride: stride, k_stride: stride, v_stride: stride,
      causal: kind == .bothSides ? 0 : 1, shared: kind == .blocks ? 0 : 1)
    let count = batch * time * stride
    (q, k) = (random(count, seed: seed), random(count, seed: seed + 1))
    (v, dout) = (random(count, seed: seed + 2), random(batch * time * heads * size, seed: seed + 3))
    let lists = batch * heads * rounds
    let noise = random(lists * time, seed: seed + 4)
    buckets = noise.map { Int32(abs($0 * 1000).truncatingRemainder(dividingBy: 6)) }
    var order = [Int32](repeating: -1, count: lists * slots)
    var starts = [Int32](repeating: -1, count: lists * (Self.bucketCount + 1))
    apus_lsh_order(&order, &starts, buckets, Self.bucketCount, &shape)
    (self.order, self.starts) = (order, starts)
    self.shape = shape
  }

  func forward(reference: Bool = false) -> (o: [Float], lse: [Float]) {
    var shape = shape
    var lse = [Float](repeating: poison, count: shape.batch * shape.heads * shape.time)
    let run = reference ? apus_lsh_attention_reference_f32 : apus_lsh_attention_f32
    let hasLists = kind != .blocks
    let o = output(shape.batch * shape.time * width) { o in
      if hasLists {
        run(o, &lse, q, k, v, order, starts, &shape)
      } else {
        run(o, &lse, q, k, v, nil, nil, &shape)
      }
    }
    return (o, lse)
  }

  /// Gradients of queries, keys and values, without what stands between rows.
  func backward(_ past: (o: [Float], lse: [Float]), reference: Bool = false) -> [[Float]] {
    var shape = shape
    var (dq, dk, dv) = (
      [Float](repeating: poison, count: q.count), [Float](repeating: poison, count: q.count),
      [Float](repeating: poison, count: q.count)
    )
    let run =
      reference ? apus_lsh_attention_backward_reference_f32 : apus_lsh_attention_backward_f32
    let hasLists = kind != .blocks
    if hasLists {
      run(&dq, &dk, &dv, dout, q, k, v, past.o, past.lse, order, starts, &shape)
    } else {
      run(&dq, &dk, &dv, dout, q, k, v, past.o, past.lse, nil, nil, &shape)
    }
    return [written(dq), written(isShared ? dq : dk), written(dv)]
  }

  /// Rows without what stands between them, which must be as it was.
  private func written(_ rows: [Float]) -> [Float] {
    let between = rows.indices.filter { $0 % shape.q_stride >= width }
    let isUntouched = between.allSatisfy { rows[$0].bitPattern == poison.bitPattern }
    #expect(isUntouched, "wrote between rows")
    return rows.indices.filter { $0 % shape.q_stride < width }.map { rows[$0] }
  }

  /// The outputs of a stream that arrives in pieces.
  func stepped(_ pieces: [Int], reference: Bool) -> [Float] {
    var shape = shape
    let (lists, pageSize) = (
      shape.heads * shape.rounds, 2 * shape.block * shape.head_size
    )
    var counts = [Int32](repeating: 0, count: lists * shape.groups)
    var pages = [Int32](repeating: -1, count: counts.count * (shape.before + 1))
    var (memory, used, start, o) = ([Float](), 0, 0, [Float]())
    let run = reference ? apus_lsh_step_reference_f32 : apus_lsh_step_f32
    let hasLists = kind != .blocks
    for count in pieces {
      let (first, time) = (start, self.shape.time)
      shape.time = count
      let part = (0..<lists).flatMap { list in
        (first..<first + count).map { hasLists ? buckets[list * time + $0] : 0 }
      }
      used = apus_lsh_reserve(&pages, used, counts, part, &shape)
      memory += [Float](repeating: poison, count: used * pageSize - memory.count)
      let rows = first * shape.q_stride..<(first + count) * shape.q_stride
      let (q, k, v) = (Array(q[rows]), Array(k[rows]), Array(v[rows]))
      var mixed = [Float](repeating: poison, count: count * width)
      if hasLists {
        run(&mixed, &memory, &counts, pages, q, k, v, part, &shape)
      } else {
        run(&mixed, &memory, &counts, pages, q, k, v, nil, &shape)
      }
      o += mixed
      start += count
    }
    #expect(used <= pages.count)
    return o
  }

  /// Σ dout · o in double, by definition, with one input replaced.
  func lossInDouble(replacing path: KeyPath<ListProblem, [Float]>, by values: [Double]) -> Double {
    func read(_ other: KeyPath<ListProblem, [Float]>) -> [Double] {
      other == path ? values : self[keyPath: other].map(Double.init)
    }
    let (q, k, v, size) = (read(\.q), read(\.k), read(\.v), shape.head_size)
    var loss = 0.0
    for t in 0..<shape.time {
      var (sum, mixed) = (0.0, 0.0)
      let others = seen(by: t)
      for s in others.isEmpty ? [t] : others {
        var (score, squares) = (0.0, 0.0)
        for i in 0..<size {
          let key = isShared ? q[s * size + i] : k[s * size + i]
          score += q[t * size + i] * key
          squares += key * key
        }
        let length = isShared ? squares + 1e-6 * Double(size) : Double(size)
        let weight = exp(score / length.squareRoot())
        sum += weight
        for i in 0..<size { mixed += weight * Double(dout[t * size + i]) * v[s * size + i] }
      }
      loss += mixed / sum
    }
    return loss
  }

  /// The tokens that token t of the only head sees, over all rounds.
  private func seen(by t: Int) -> [Int] {
    let (c, n) = (shape.block, shape.rounds * shape.slots / shape.block)
    return (0..<shape.rounds).flatMap { round -> [Int] in
      let list = (0..<shape.time).filter {
        kind != .groups || buckets[round * shape.time + $0] == buckets[round * shape.time + t]
      }
      if kind == .groups || kind == .blocks {
        let rank = list.firstIndex(of: t) ?? 0
        let first = max(0, rank / c - shape.before) * c
        return Array(list[first...rank]).filter { kind == .blocks || $0 != t }
      }
      let all = order.map(Int.init)
      let entry = (all[round * shape.slots..<(round + 1) * shape.slots].firstIndex(of: t) ?? 0) / c
      let keys = (-shape.before...shape.after).flatMap { step -> [Int] in
        let block = (entry + step + n) % n
        return Array(all[block * c..<(block + 1) * c])
      }
      return keys.filter { $0 != t && $0 < shape.time && (kind == .bothSides || $0 < t) }
    }
  }
}
