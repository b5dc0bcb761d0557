/// Finds a minimum of `objective` without derivatives, by a simplex that crawls downhill.
///
/// Nelder and Mead, 1965, with restarts: a simplex that has collapsed is spread out again around
/// its best corner until a restart gains nothing. Values of NaN count as infinitely bad.
///
/// - Parameters:
///   - start: The starting point, `[n]`, n ≥ 1.
///   - step: The size of the first simplex along each axis.
///   - tolerance: A restart that gains less than this ends the search.
///   - limit: The most evaluations.
///   - objective: What is to be small.
/// - Returns: The best point and its value.
func minimize(
  from start: [Double], step: Double = 0.5, tolerance: Double = 1e-10, limit: Int = 20_000,
  _ objective: ([Double]) -> Double
) -> (point: [Double], value: Double) {
  var evaluations = 0
  func evaluate(_ point: [Double]) -> Double {
    evaluations += 1
    let value = objective(point)
    return value.isNaN ? .infinity : value
  }
  var best = (point: start, value: evaluate(start))
  var size = step
  while evaluations < limit {
    var simplex = [best]
    for axis in start.indices {
      var point = best.point
      point[axis] += size
      simplex.append((point, evaluate(point)))
    }
    collapse(&simplex, tolerance: tolerance, evaluate) { evaluations < limit }
    let gain = best.value - simplex[0].value
    if simplex[0].value < best.value { best = simplex[0] }
    if !(gain > tolerance) { break }
    size = max(0.2 * size, 0.02)
  }
  return best
}

/// Moves the worst corner until all corners agree; leaves the best one first.
private func collapse(
  _ simplex: inout [(point: [Double], value: Double)], tolerance: Double,
  _ evaluate: ([Double]) -> Double, while mayContinue: () -> Bool
) {
  let last = simplex.count - 1
  simplex.sort { $0.value < $1.value }
  while mayContinue(), !(simplex[last].value - simplex[0].value < tolerance * 1e-2) {
    let center = simplex[0].point.indices.map { axis in
      simplex[..<last].reduce(0) { $0 + $1.point[axis] } / Double(last)
    }
    func moved(_ factor: Double) -> (point: [Double], value: Double) {
      let point = zip(center, simplex[last].point).map { $0 + factor * ($1 - $0) }
      return (point, evaluate(point))
    }
    let reflected = moved(-1)
    if reflected.value < simplex[0].value {
      let expanded = moved(-2)
      simplex[last] = expanded.value < reflected.value ? expanded : reflected
    } else if reflected.value < simplex[last - 1].value {
      simplex[last] = reflected
    } else {
      let contracted = moved(reflected.value < simplex[last].value ? -0.5 : 0.5)
      if contracted.value < min(reflected.value, simplex[last].value) {
        simplex[last] = contracted
      } else {
        let best = simplex[0].point
        for corner in 1...last {
          let point = zip(best, simplex[corner].point).map { 0.5 * ($0 + $1) }
          simplex[corner] = (point, evaluate(point))
        }
      }
    }
    simplex.sort { $0.value < $1.value }
  }
}
