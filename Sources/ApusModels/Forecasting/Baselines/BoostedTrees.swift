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
  /// The nodes of all trees, one after the other; children are counted from the root of their tree.
  private var nodes: [Node] = []
  private var roots: [Int] = []

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
  var count: Int { roots.count }

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
      roots.append(nodes.count)
      nodes += tree
      for row in left.indices { left[row] -= tree[slots[row]].value }
      guard let validation else { continue }
      var sum = 0.0
      for row in unseen.indices {
        unseen[row] -= Self.answer(tree, 0) { validation.columns[$0][row] }
        sum += unseen[row] * unseen[row]
      }
      if sum < best { (best, bestCount) = (sum, count) }
      // Twenty trees without gain: more would learn the noise.
      if count >= bestCount + 20 { break }
    }
    guard validation != nil, count > bestCount else { return }
    nodes.removeLast(nodes.count - roots[bestCount])
    roots.removeLast(count - bestCount)
  }

  /// What the trees say of one row of inputs.
  package func callAsFunction(_ inputs: [Double]) -> Double {
    var sum = base
    for root in roots { sum += Self.answer(nodes, root) { inputs[$0] } }
    return sum
  }

  private static func answer(_ nodes: [Node], _ root: Int, _ input: (Int) -> Double) -> Double {
    var node = nodes[root]
    while node.input >= 0 {
      node = nodes[root + node.child + (input(node.input) > node.threshold ? 1 : 0)]
    }
    return node.value
  }

  /// One tree for what is left; leaves in `slots` the leaf of every row.
  private static func grow(
    _ bins: [Bins], _ left: [Double], _ slots: inout [Int], _ options: Options
  ) -> [Node] {
    var tree = [Node()]
    for row in slots.indices { slots[row] = 0 }
    var rows = Array(left.indices)
    var sums = [left.reduce(0, +)]
    var counts = [left.count]
    var open = [Leaf(node: 0, rows: 0..<rows.count, histograms: Histograms(bins, left, rows[...]))]
    for depth in 1...options.depth {
      var next: [Leaf] = []
      for leaf in open {
        let node = leaf.node
        guard let split = leaf.bestSplit(bins, sums[node], counts[node], options) else { continue }
        tree[node].input = split.input
        tree[node].threshold = bins[split.input].bounds[split.bin]
        tree[node].child = tree.count
        tree += [Node(), Node()]
        sums += [split.sum, sums[node] - split.sum]
        counts += [split.count, counts[node] - split.count]
        let places = bins[split.input].places
        let isAbove = { (row: Int) in Int(places[row]) > split.bin }
        let own = rows[leaf.rows]
        let sides = [own.filter { !isAbove($0) }, own.filter(isAbove)]
        for (side, members) in sides.enumerated() {
          for row in members { slots[row] = tree[node].child + side }
        }
        guard depth < options.depth else { continue }
        rows.replaceSubrange(leaf.rows, with: sides.joined())
        // What one side holds is what the other leaves over: the smaller one is counted.
        let smaller = sides[0].count <= sides[1].count ? 0 : 1
        let few = Histograms(bins, left, sides[smaller][...])
        let parts = smaller == 0 ? [few, leaf.histograms - few] : [leaf.histograms - few, few]
        let middle = leaf.rows.lowerBound + sides[0].count
        next.append(
          Leaf(
            node: tree[node].child, rows: leaf.rows.lowerBound..<middle, histograms: parts[0]))
        next.append(
          Leaf(
            node: tree[node].child + 1, rows: middle..<leaf.rows.upperBound, histograms: parts[1]))
      }
      open = next
    }
    for node in tree.indices {
      tree[node].value = options.rate * sums[node] / (Double(counts[node]) + options.ridge)
    }
    return tree
  }

  private struct Split {
    var input: Int
    /// The last bin that goes left.
    var bin: Int
    /// Sum and number of the rows that go left.
    var (sum, count) = (0.0, 0)
    var gain: Double
  }

  /// What is left in the bins of every input, one after the other: sums and numbers of rows.
  private struct Histograms {
    private(set) var bins: [SIMD2<Double>]

    init(_ inputs: [Bins], _ left: [Double], _ rows: ArraySlice<Int>) {
      bins = [SIMD2<Double>](repeating: .zero, count: inputs.reduce(0) { $0 + $1.count })
      var first = 0
      for input in inputs where input.count > 1 {
        for row in rows { bins[first + Int(input.places[row])] += SIMD2(left[row], 1) }
        first += input.count
      }
    }

    static func - (whole: Histograms, part: Histograms) -> Histograms {
      var rest = whole
      for bin in rest.bins.indices { rest.bins[bin] -= part.bins[bin] }
      return rest
    }
  }

  /// A leaf that may be split.
  private struct Leaf {
    let node: Int
    /// Where its rows stand among those of all leaves.
    let rows: Range<Int>
    let histograms: Histograms

    /// The split that helps most; nil where none does.
    func bestSplit(_ inputs: [Bins], _ sum: Double, _ count: Int, _ options: Options) -> Split? {
      let whole = sum * sum / (Double(count) + options.ridge)
      let (fewest, most) = (Double(options.leaf), Double(count - options.leaf))
      guard fewest <= most else { return nil }
      var best: Split?
      var (gain, first) = (1e-12 * whole, 0)
      for (number, input) in inputs.enumerated() where input.count > 1 {
        var below = SIMD2<Double>.zero
        for bin in 0..<(input.count - 1) {
          below += histograms.bins[first + bin]
          guard below[1] >= fewest else { continue }
          guard below[1] <= most else { break }
          let above = sum - below[0]
          let found =
            below[0] * below[0] / (below[1] + options.ridge)
            + above * above / (Double(count) - below[1] + options.ridge) - whole
          if found > gain {
            gain = found
            best = Split(input: number, bin: bin, sum: below[0], count: Int(below[1]), gain: found)
          }
        }
        first += input.count
      }
      return best
    }
  }

  /// One input in at most 255 bins with about as many rows each.
  private struct Bins {
    /// The largest value of every bin but the last.
    var bounds: [Double] = []
    /// The bin of each row.
    var places: [UInt8] = []
    /// The number of bins.
    var count: Int { bounds.count + 1 }

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
