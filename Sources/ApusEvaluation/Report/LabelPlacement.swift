/// Where labels go so that they do not cover each other.
package enum LabelPlacement {
  /// Moves positions along one axis as little as possible until neighbors stand `gap` apart.
  ///
  /// - Returns: One position per wanted position, in the given order, inside `range` as long as
  ///   they fit there.
  package static func spread(_ wanted: [Double], gap: Double, in range: ClosedRange<Double>)
    -> [Double]
  {
    let order = wanted.indices.sorted { wanted[$0] < wanted[$1] }
    // Clusters of touching labels, each placed at the mean of what its members want.
    var clusters: [(sum: Double, count: Int)] = []
    func start(_ cluster: (sum: Double, count: Int)) -> Double {
      let half = gap * Double(cluster.count - 1) / 2
      let center = cluster.sum / Double(cluster.count)
      return max(range.lowerBound, min(center - half, range.upperBound - 2 * half))
    }
    for index in order {
      clusters.append((wanted[index], 1))
      while clusters.count > 1 {
        let (last, before) = (clusters[clusters.count - 1], clusters[clusters.count - 2])
        guard start(last) < start(before) + gap * Double(before.count) else { break }
        clusters.removeLast(2)
        clusters.append((before.sum + last.sum, before.count + last.count))
      }
    }
    let sorted = clusters.flatMap { cluster in
      (0..<cluster.count).map { start(cluster) + gap * Double($0) }
    }
    var placed = wanted
    for (position, index) in order.enumerated() { placed[index] = sorted[position] }
    return placed
  }

  /// A rectangle of the drawing.
  package struct Box: Sendable, Equatable {
    package var x: Double
    package var y: Double
    package var width: Double
    package var height: Double

    package init(x: Double, y: Double, width: Double, height: Double) {
      (self.x, self.y, self.width, self.height) = (x, y, width, height)
    }

    /// The area both share.
    package func overlap(_ other: Box) -> Double {
      let w = min(x + width, other.x + other.width) - max(x, other.x)
      let h = min(y + height, other.y + other.height) - max(y, other.y)
      return w > 0 && h > 0 ? w * h : 0
    }
  }

  /// A disc with a label beside it.
  package struct Disc: Sendable {
    package let x: Double
    package let y: Double
    package let radius: Double
    package let label: String

    package init(x: Double, y: Double, radius: Double, label: String) {
      (self.x, self.y, self.radius, self.label) = (x, y, radius, label)
    }
  }

  /// Places each label at the first free side of its disc; a label without a free side is left
  /// out (its tooltip remains).
  ///
  /// Labels stand inside `bounds`. There is one box, or none, for each disc, in order.
  package static func around(_ discs: [Disc], in bounds: Box) -> [Box?] {
    var taken = discs.map { disc in
      Box(
        x: disc.x - disc.radius * 0.9, y: disc.y - disc.radius * 0.9,
        width: disc.radius * 1.8, height: disc.radius * 1.8)
    }
    return discs.map { disc in
      let (width, height) = (textWidth(disc.label), 14.0)
      let (right, left) = (disc.x + disc.radius + 4, disc.x - disc.radius - 4 - width)
      let (above, below) = (disc.y - disc.radius - height - 1, disc.y + disc.radius + 1)
      let candidates = [
        (right, disc.y - 7), (left, disc.y - 7), (disc.x - width / 2, above),
        (disc.x - width / 2, below), (right, disc.y - 15), (right, disc.y + 1),
        (left, disc.y - 15), (left, disc.y + 1), (disc.x, above), (disc.x - width, above),
        (disc.x, below), (disc.x - width, below),
      ].map { Box(x: $0.0, y: $0.1, width: width, height: height) }
      let free = candidates.first { box in
        abs(box.overlap(bounds) - width * height) < 0.01
          && taken.allSatisfy { $0.overlap(box) == 0 }
      }
      if let free { taken.append(free) }
      return free
    }
  }

  /// About how wide `text` is at 12 pixels in the page's sans serif.
  package static func textWidth(_ text: String) -> Double {
    text.reduce(0) { $0 + ("iljt.,:;|!()[] 1".contains($1) ? 4.2 : $1.isUppercase ? 8.4 : 6.8) }
  }
}
