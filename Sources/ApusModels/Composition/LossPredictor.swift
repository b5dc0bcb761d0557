import Foundation

/// Foretells the loss of each of M experts on a request from its vector of length one.
public enum LossPredictor: Codable, Sendable, Equatable {
  /// The mean over similar requests.
  case nearest(NearestRequests)
  /// A linear map.
  case ridge(RidgeMap)
  /// The same for all requests: the mean losses.
  case constant([Double])

  /// The name in reports.
  public var name: String {
    switch self {
    case .nearest: "nearest neighbors"
    case .ridge: "ridge regression"
    case .constant: "one expert for all"
    }
  }

  /// The predicted losses, `[M]`.
  ///
  /// - Parameter vector: `[r]`, of length one.
  /// - Returns: One loss per expert.
  public func losses(_ vector: [Double]) -> [Double] {
    switch self {
    case .nearest(let requests): requests.losses(vector)
    case .ridge(let map): map.losses(vector)
    case .constant(let losses): losses
    }
  }

  /// Whether every array has the length that the others ask for.
  func isConsistent(experts: Int, size: Int) -> Bool {
    switch self {
    case .nearest(let requests): requests.isConsistent(experts: experts, size: size)
    case .ridge(let map):
      map.intercepts.count == experts && map.weights.count == experts
        && map.weights.allSatisfy { $0.count == size && $0.allSatisfy(\.isFinite) }
        && map.intercepts.allSatisfy(\.isFinite)
    case .constant(let losses): losses.count == experts && losses.allSatisfy(\.isFinite)
    }
  }
}

/// The K requests most like a new one, weighted by the softmax of their similarity.
public struct NearestRequests: Codable, Sendable, Equatable {
  /// `[n, r]`, row by row, each of length one.
  public let vectors: [Double]
  /// `[n, M]`.
  public let known: [Double]
  let size: Int
  let experts: Int
  /// K.
  public let neighbors: Int
  /// Divides similarities before the softmax.
  public let temperature: Double

  /// Keeps requests with the losses that experts had on them.
  ///
  /// - Parameters:
  ///   - vectors: One per request, of length one; at least one.
  ///   - losses: `[n][M]`.
  ///   - neighbors: K.
  ///   - temperature: The temperature of the softmax.
  public init(
    _ vectors: [[Double]], losses: [[Double]], neighbors: Int = 20, temperature: Double = 0.05
  ) {
    self.vectors = vectors.flatMap { $0 }
    known = losses.flatMap { $0 }
    size = vectors.first?.count ?? 0
    experts = losses.first?.count ?? 0
    self.neighbors = neighbors
    self.temperature = temperature
  }

  func isConsistent(experts: Int, size: Int) -> Bool {
    size > 0 && self.size == size && self.experts == experts && experts > 0 && neighbors > 0
      && temperature > 0 && !vectors.isEmpty && vectors.count % size == 0
      && known.count == vectors.count / size * experts
      && vectors.allSatisfy(\.isFinite) && known.allSatisfy(\.isFinite)
  }

  /// Similarities to all requests, in order.
  func similarities(_ vector: [Double]) -> [Double] {
    var similarities = [Double](repeating: 0, count: vectors.count / max(size, 1))
    var place = 0
    for row in similarities.indices {
      var sum = 0.0
      for index in 0..<size { sum += vectors[place + index] * vector[index] }
      similarities[row] = sum
      place += size
    }
    return similarities
  }

  func losses(_ vector: [Double]) -> [Double] {
    let similarities = similarities(vector)
    // The best so far in descending order; the lower index first among equals.
    var best: [(similarity: Double, row: Int)] = []
    for (row, similarity) in similarities.enumerated() {
      if best.count == neighbors, let least = best.last, similarity <= least.similarity { continue }
      let place = best.firstIndex { $0.similarity < similarity } ?? best.count
      best.insert((similarity, row), at: place)
      if best.count > neighbors { best.removeLast() }
    }
    let top = best.first?.similarity ?? 0
    var (result, total) = ([Double](repeating: 0, count: experts), 0.0)
    for one in best {
      let weight = exp((one.similarity - top) / temperature)
      total += weight
      for expert in 0..<experts { result[expert] += weight * known[one.row * experts + expert] }
    }
    return result.map { $0 / max(total, .leastNormalMagnitude) }
  }
}

/// Losses as a linear function of the vector, with a ridge that generalized cross-validation chooses.
///
/// Golub, Heath and Wahba, 1979, *Generalized Cross-Validation as a Method for Choosing a Good Ridge
/// Parameter*.
public struct RidgeMap: Codable, Sendable, Equatable {
  /// `[M][r]`.
  public let weights: [[Double]]
  /// `[M]`.
  public let intercepts: [Double]

  /// Fits the map.
  ///
  /// - Parameters:
  ///   - vectors: `[n][r]`, at least one.
  ///   - losses: `[n][M]`.
  ///   - ridges: The candidates, in units of the mean variance of the inputs.
  public init(
    _ vectors: [[Double]], losses: [[Double]], ridges: [Double] = [1e-3, 1e-2, 0.1, 1, 10]
  ) {
    let (n, size) = (vectors.count, vectors.first?.count ?? 0)
    let experts = losses.first?.count ?? 0
    func means(_ rows: [[Double]], _ width: Int) -> [Double] {
      (0..<width).map { column in rows.reduce(0) { $0 + $1[column] } / Double(max(n, 1)) }
    }
    let (center, level) = (means(vectors, size), means(losses, experts))
    var matrix = (0..<size).map { [Double](repeating: 0, count: $0 + 1) }
    var right = [[Double]](repeating: [Double](repeating: 0, count: experts), count: size)
    for (vector, loss) in zip(vectors, losses) {
      for i in 0..<size {
        let x = (vector[i] - center[i]) / Double(n)
        for j in 0...i { matrix[i][j] += x * (vector[j] - center[j]) }
        for m in 0..<experts { right[i][m] += x * (loss[m] - level[m]) }
      }
    }
    let unit = (0..<size).map { i in (0..<size).map { $0 == i ? 1.0 : 0 } }
    let spread = (0..<size).reduce(0) { $0 + matrix[$1][$1] } / Double(max(size, 1))
    var best = (score: Double.infinity, columns: right.map { $0.map { _ in 0.0 } })
    for ridge in ridges {
      let columns = solveSymmetric(matrix, right, ridge: ridge)
      // The trace of the map from losses to fitted losses is r minus the ridge's share.
      let inverse = solveSymmetric(matrix, unit, ridge: ridge)
      let kept = (0..<size).reduce(0) { $0 + inverse[$1][$1] }
      let trace = Double(size) - ridge * spread * kept
      var error = 0.0
      for (vector, loss) in zip(vectors, losses) {
        for m in 0..<experts {
          var value = level[m]
          for i in 0..<size { value += (vector[i] - center[i]) * columns[i][m] }
          error += (loss[m] - value) * (loss[m] - value)
        }
      }
      let free = max(1 - (trace + 1) / Double(max(n, 1)), 1e-6)
      let score = error / (free * free)
      if score < best.score { best = (score, columns) }
    }
    let columns = best.columns
    weights = (0..<experts).map { m in (0..<size).map { columns[$0][m] } }
    intercepts = (0..<experts).map { m in
      level[m] - (0..<size).reduce(0) { $0 + center[$1] * columns[$1][m] }
    }
  }

  func losses(_ vector: [Double]) -> [Double] {
    weights.indices.map { m in
      var sum = intercepts[m]
      for (weight, x) in zip(weights[m], vector) { sum += weight * x }
      return sum
    }
  }
}
