/// A matrix of doubles whose rows are filled up with zeros to whole vectors, so that sums over a row go eight
/// numbers at a time.
struct PaddedMatrix: Sendable {
  typealias Vector = SIMD8<Double>

  /// The number of rows.
  let rows: Int
  /// Vectors in a row.
  private let width: Int
  private var vectors: [Vector]

  /// Zeros, `[rows][columns]`.
  init(rows: Int, columns: Int) {
    (self.rows, width) = (rows, (columns + Vector.scalarCount - 1) / Vector.scalarCount)
    vectors = [Vector](repeating: .zero, count: rows * width)
  }

  /// Takes rows of at most `columns` numbers each.
  init(_ numbers: [[Double]], columns: Int) {
    self.init(rows: numbers.count, columns: columns)
    for (row, numbers) in numbers.enumerated() {
      for (column, number) in numbers.enumerated() { self[row, column] = number }
    }
  }

  subscript(row: Int, column: Int) -> Double {
    get { vectors[row * width + column / Vector.scalarCount][column % Vector.scalarCount] }
    set {
      vectors[row * width + column / Vector.scalarCount][column % Vector.scalarCount] = newValue
    }
  }

  /// The first numbers of a row.
  func prefix(_ count: Int, ofRow row: Int) -> [Double] { (0..<count).map { self[row, $0] } }

  /// The sum of products of two rows over the vectors that hold the first `count` columns.
  func dot(_ row: Int, _ other: Int, first count: Int) -> Double { dot(row, self, other, count) }

  /// The sum of products of a row and one of another matrix of as many columns.
  func dot(_ row: Int, _ matrix: PaddedMatrix, _ other: Int) -> Double {
    dot(row, matrix, other, width * Vector.scalarCount)
  }

  private func dot(_ row: Int, _ matrix: PaddedMatrix, _ other: Int, _ count: Int) -> Double {
    var sum = Vector.zero
    for place in 0..<(count + Vector.scalarCount - 1) / Vector.scalarCount {
      sum += vectors[row * width + place] * matrix.vectors[other * width + place]
    }
    return sum.sum()
  }

  /// Adds a multiple of one row to another.
  mutating func add(_ factor: Double, timesRow source: Int, to row: Int) {
    for place in 0..<width {
      vectors[row * width + place] += factor * vectors[source * width + place]
    }
  }

  /// Multiplies a row.
  mutating func multiply(row: Int, by factor: Double) {
    for place in 0..<width { vectors[row * width + place] *= factor }
  }

  /// Adds the products of all pairs of some numbers, of a row and those up to its diagonal at least.
  ///
  /// - Parameter numbers: The one row of a matrix, as many numbers as there are rows.
  mutating func addProducts(of numbers: PaddedMatrix) {
    for row in 0..<rows {
      let factor = numbers[0, row]
      for place in 0...row / Vector.scalarCount {
        vectors[row * width + place] += factor * numbers.vectors[place]
      }
    }
  }

  /// Adds a matrix of the same shape.
  static func += (first: inout PaddedMatrix, second: PaddedMatrix) {
    for place in first.vectors.indices { first.vectors[place] += second.vectors[place] }
  }
}
