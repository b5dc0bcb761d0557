public import ApusTensor

extension Tensor {
  /// Orthogonal random directions, `[features, size]`: rows of random rotations, one rotation per
  /// block of `size` rows, each row of its own length.
  ///
  /// Choromanski et al., 2020, *Rethinking Attention with Performers*, arXiv:2009.14794. A rotation is
  /// the Q of a matrix of normal numbers with R's diagonal positive, which Gram and Schmidt's process
  /// gives; without that, Q is not uniform over rotations and features are biased. Each row by itself
  /// is distributed as a row of independent normal numbers.
  /// - Parameters:
  ///   - shape: How many rows, and the length K of each.
  ///   - hasFixedNorms: Rows of length √K instead of independent lengths as normal rows have them.
  ///   - key: Names the random numbers.
  public init(orthogonalFeatures shape: Shape, hasFixedNorms: Bool = false, key: RandomKey) {
    precondition(shape.rank == 2, "orthogonalFeatures: \(shape) should be [features, size]")
    let (features, size) = (shape[0], shape[1])
    let normals = Tensor(normal: [features, size], key: key.derived(0)).values.map(Double.init)
    let lengths = (0..<features).map { row -> Double in
      guard !hasFixedNorms else { return Double(size).squareRoot() }
      return normals[row * size..<(row + 1) * size].reduce(0) { $0 + $1 * $1 }.squareRoot()
    }
    var rows: [Float] = []
    rows.reserveCapacity(features * size)
    for block in 0..<(features + size - 1) / max(size, 1) {
      let directions = randomRotation(size, key: key.derived(UInt64(block) + 1))
      for row in block * size..<min((block + 1) * size, features) {
        rows += directions[row - block * size].map { Float($0 * lengths[row]) }
      }
    }
    self.init(rows, shape)
  }
}

/// Rows of a rotation drawn uniformly, by Gram and Schmidt's process on rows of normal numbers.
private func randomRotation(_ size: Int, key: RandomKey) -> [[Double]] {
  let normals = Tensor(normal: [size, size], key: key).values.map(Double.init)
  var rows: [[Double]] = []
  for index in 0..<size {
    var row = Array(normals[index * size..<(index + 1) * size])
    for _ in 0..<2 {  // twice is enough to be orthogonal to rounding
      for other in rows {
        let along = zip(row, other).reduce(0) { $0 + $1.0 * $1.1 }
        for i in 0..<size { row[i] -= along * other[i] }
      }
    }
    let length = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
    rows.append(row.map { $0 / length })
  }
  return rows
}
