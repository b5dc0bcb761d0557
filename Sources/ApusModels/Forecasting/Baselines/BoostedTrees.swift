/// Gradient-boosted regression trees on binned inputs.
///
/// Squared loss; every tree grows level by level to `depth`, splits by histograms of at most 255 bins
/// where the sum of squares falls most, and adds a tenth of its answer. Two fits of the same rows give
/// the same bits, whatever their unit. Friedman, 2001, *Greedy function approximation: a gradient
/// boosting machine*; histograms after Ke et al., 2017, *LightGBM*.
package struct BoostedTrees: Sendable {
  /// A split, or a leaf where `input` is -1; children lie side by side from `child` on.
  private struct Node: Sendable {
    var input = -1
    var threshold = 0.0
    var child = 0
    var value = 0.0
  }

  private var base = 0.0
  private var trees: [[Node]] = []

  /// How trees grow.
  package struct Options {
    package var depth = 4
    package var mostTrees = 120
    /// The fewest rows of a leaf.
    var leaf = 10
    /// Rows of no effect that every leaf has on top, so that small ones say little.
    var ridge = 1.0
    var rate = 0.1

    package init(mostTrees: Int = 120) { self.mostTrees = mostTrees }
  }

  /// The number of trees.
  var count: Int { trees.count }

  /// Learns from columns of inputs, `[inputs][rows]`, and one output for each row; at least one row.
  /// Columns and outputs of `validation`, where there are such, choose the number of trees.
  package init(
    _ columns: [[Double]], _ outputs: [Double], options: Options,
    validation: (columns: [[Double]], outputs: [Double])? = nil
  ) {
    let bins = columns.map { Bins($0) }
    base = outputs.reduce(0) { $0 + $1 / Double(outputs.count) }
    var left = outputs.map { $0 - base }
    var unseen = validation?.outputs.map { $0 - base } ?? []
    var (best, bestCount) = (unseen.reduce(0) { $0 + $1 * $1 }, 0)
    var slots = [Int](repeating: 0, count: outputs.count)
    for _ in 0..<options.mostTrees {
      let tree = Self.grow(bins, left, &slots, options)
      guard tree.count > 1 else { break }
      trees.append(tree)
      for row in left.indices { left[row] -= tree[slots[row]].value }
      guard let validation else { continue }
      var sum = 0.0
      for row in unseen.indices {
        unseen[row] -= Self.answer(tree) { validation.columns[$0][row] }
        sum += unseen[row] * unseen[row]
      }
      if sum < best { (best, bestCount) = (sum, trees.count) }
      // Twenty trees without gain: more would learn the noise.
      if trees.count >= bestCount + 20 { break }
    }
    if validation != nil { trees.removeLast(trees.count - bestCount) }
  }

  /// What the trees say of one row of inputs.
  package func callAsFunction(_ inputs: [Double]) -> Double {
    var sum = base
    for tree in trees { sum += Self.answer(tree) { inputs[$0] } }
    return sum
  }

  private static func answer(_ tree: [Node], _ input: (Int) -> Double) -> Double {
    var place = 0
    while tree[place].input >= 0 {
      let node = tree[place]
      place = node.child + (input(node.input) > node.threshold ? 1 : 0)
    }
    return tree[place].value
  }

  /// One tree for what is left; leaves in `slots` the leaf of every row.
  private static func grow(
    _ bins: [Bins], _ left: [Double], _ slots: inout [Int], _ options: Options
  ) -> [Node] {
    var tree = [Node()]
    for row in slots.indices { slots[row] = 0 }
    var open = 0..<1
    var sums = [left.reduce(0, +)]
    var counts = [Double(left.count)]
    for _ in 0..<options.depth {
      let splits = bestSplits(bins, left, slots, open, sums, counts, options)
      let first = tree.count
      for (index, node) in open.enumerated() {
        guard let split = splits[index] else { continue }
        tree[node].input = split.input
        tree[node].threshold = bins[split.input].bounds[split.bin]
        tree[node].child = tree.count
        tree += [Node(), Node()]
        sums += [split.sum, sums[node] - split.sum]
        counts += [split.count, counts[node] - split.count]
      }
      guard tree.count > first else { break }
      for row in slots.indices {
        let node = tree[slots[row]]
        guard node.input >= 0, let split = splits[slots[row] - open.lowerBound] else { continue }
        slots[row] = node.child + (Int(bins[node.input].places[row]) > split.bin ? 1 : 0)
      }
      open = first..<tree.count
    }
    for node in tree.indices {
      tree[node].value = options.rate * sums[node] / (counts[node] + options.ridge)
    }
    return tree
  }

  private struct Split {
    var input: Int
    /// The last bin that goes left.
    var bin: Int
    /// Sum and number of the rows that go left.
    var (sum, count) = (0.0, 0.0)
    var gain: Double
  }

  /// The best split of each open node; nil where none helps.
  private static func bestSplits(
    _ bins: [Bins], _ left: [Double], _ slots: [Int], _ open: Range<Int>, _ sums: [Double],
    _ counts: [Double], _ options: Options
  ) -> [Split?] {
    var best = [Split?](repeating: nil, count: open.count)
    for (input, column) in bins.enumerated() where !column.bounds.isEmpty {
      let width = column.bounds.count + 1
      var totals = [Double](repeating: 0, count: open.count * width)
      var rows = totals
      for row in left.indices where slots[row] >= open.lowerBound {
        let place = (slots[row] - open.lowerBound) * width + Int(column.places[row])
        totals[place] += left[row]
        rows[place] += 1
      }
      for index in 0..<open.count {
        let (sum, count) = (sums[open.lowerBound + index], counts[open.lowerBound + index])
        let whole = sum * sum / (count + options.ridge)
        var (below, seen) = (0.0, 0.0)
        for bin in 0..<(width - 1) {
          below += totals[index * width + bin]
          seen += rows[index * width + bin]
          guard seen >= Double(options.leaf), count - seen >= Double(options.leaf) else { continue }
          let above = sum - below
          let gain =
            below * below / (seen + options.ridge)
            + above * above / (count - seen + options.ridge) - whole
          if gain > (best[index]?.gain ?? 1e-12 * whole) {
            best[index] = Split(input: input, bin: bin, sum: below, count: seen, gain: gain)
          }
        }
      }
    }
    return best
  }

  /// One input in at most 255 bins with about as many rows each.
  private struct Bins {
    /// The largest value of every bin but the last.
    var bounds: [Double] = []
    /// The bin of each row.
    var places: [UInt8] = []

    init(_ column: [Double]) {
      let sorted = column.sorted()
      let count = min(255, max(2, sorted.count / 4))
      for bin in 1..<count {
        let bound = sorted[bin * sorted.count / count - 1]
        if bound < sorted[sorted.count - 1], bounds.last.map({ bound > $0 }) ?? true {
          bounds.append(bound)
        }
      }
      places = column.map { value in
        var (low, high) = (0, bounds.count)
        while low < high {
          let middle = (low + high) / 2
          if bounds[middle] < value { low = middle + 1 } else { high = middle }
        }
        return UInt8(low)
      }
    }
  }
}
