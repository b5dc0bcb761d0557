/// Finds a minimum of a sum of squares by damped Gauss-Newton steps, with slopes by differences.
///
/// Levenberg, 1944; Marquardt, 1963. Steps that do not lessen the sum are tried again with more
/// damping, so that the sum never grows.
///
/// - Parameters:
///   - start: The starting point, `[n]`; with n = 0 it is the answer.
///   - tolerance: A step that lessens the sum by less than this share ends the search.
///   - limit: The most accepted steps.
///   - errors: What is squared and summed; nil where it has no value.
/// - Returns: The best point and its sum; nil when there is no value at the start.
func minimizeSquares(
  from start: [Double], tolerance: Double = 1e-7, limit: Int = 25,
  _ errors: ([Double]) -> [Double]?
) -> (point: [Double], sum: Double)? {
  func sum(_ values: [Double]) -> Double {
    var total = 0.0
    for value in values { total += value * value }
    return total
  }
  guard var base = errors(start) else { return nil }
  var best = (point: start, sum: sum(base))
  var damping = 1e-3
  for _ in 0..<limit where !start.isEmpty && best.sum > 0 {
    var slopes: [[Double]] = []
    for axis in start.indices {
      var point = best.point
      let change = point[axis] > 0 ? -1e-5 : 1e-5  // towards the middle, where there is a value
      point[axis] += change
      guard var moved = errors(point) else { return best }
      for index in moved.indices { moved[index] = (moved[index] - base[index]) / change }
      slopes.append(moved)
    }
    let products = slopes.indices.map { i in (0...i).map { dot(slopes[i], slopes[$0]) } }
    let right = slopes.map { [-dot($0, base)] }
    var gain = 0.0
    for _ in 0..<8 {
      var damped = products
      for i in damped.indices { damped[i][i] *= 1 + damping }
      let step = solveSymmetric(damped, right, ridge: 1e-12).map { min(max($0[0], -2), 2) }
      let point = zip(best.point, step).map { $0 + $1 }
      if let found = errors(point), sum(found) < best.sum {
        gain = 1 - sum(found) / best.sum
        (best, base) = ((point, sum(found)), found)
        damping = max(damping / 5, 1e-9)
        break
      }
      damping *= 5
    }
    if gain < tolerance { break }
  }
  return best
}

private func dot(_ first: [Double], _ second: [Double]) -> Double {
  var total = 0.0
  for index in first.indices { total += first[index] * second[index] }
  return total
}
