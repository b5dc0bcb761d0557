package import ApusTensor
package import Testing

/// Says where `actual` departs from `expected`, or nil when it does nowhere.
///
/// An element agrees when `|actual − expected| ≤ absolute + relative · |expected|`. Equal infinities
/// agree; not-a-number agrees with nothing, so that poisoned memory never passes.
package func disagreement(
  _ actual: [Float], _ expected: [Float], relative: Double = 0, absolute: Double = 0
) -> String? {
  guard actual.count == expected.count else {
    return "\(actual.count) elements instead of \(expected.count)"
  }
  var (worst, worstExcess, count) = (-1, 0.0, 0)
  for index in actual.indices where actual[index] != expected[index] {
    let (found, wanted) = (Double(actual[index]), Double(expected[index]))
    let allowed = absolute + relative * abs(wanted)
    let distance = abs(found - wanted)
    if distance <= allowed { continue }
    count += 1
    let excess = distance.isFinite ? distance / max(allowed, 1e-300) : .infinity
    if worst < 0 || excess > worstExcess { (worst, worstExcess) = (index, excess) }
  }
  guard worst >= 0 else { return nil }
  let (found, wanted) = (actual[worst], expected[worst])
  return """
    \(count) of \(actual.count) elements are off, worst at \(worst): \(found) instead of \(wanted), \
    \(abs(found - wanted)) away where \(absolute + relative * Double(abs(wanted))) is allowed
    """
}

/// Expects every element of `actual` within `absolute + relative · |expected|` of `expected`.
package func expectClose(
  _ actual: [Float], _ expected: [Float], relative: Double = 0, absolute: Double = 0,
  _ context: @autoclosure () -> String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
  if let found = disagreement(actual, expected, relative: relative, absolute: absolute) {
    Issue.record("\(context()) \(found)", sourceLocation: sourceLocation)
  }
}

/// The same for tensors, whose shapes must agree too.
package func expectClose(
  _ actual: Tensor, _ expected: Tensor, relative: Double = 0, absolute: Double = 0,
  _ context: @autoclosure () -> String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(actual.shape == expected.shape, "\(context())", sourceLocation: sourceLocation)
  expectClose(
    actual.values, expected.values, relative: relative, absolute: absolute, context(),
    sourceLocation: sourceLocation)
}

/// Says where the bits of two arrays differ, or nil.
package func bitDisagreement(_ actual: [Float], _ expected: [Float]) -> String? {
  guard actual.count == expected.count else {
    return "\(actual.count) elements instead of \(expected.count)"
  }
  let off = actual.indices.filter { actual[$0].bitPattern != expected[$0].bitPattern }
  guard let first = off.first else { return nil }
  return "\(off.count) elements differ, first \(first): \(actual[first]), not \(expected[first])"
}

/// Expects the same bits.
package func expectSameBits(
  _ actual: [Float], _ expected: [Float], _ context: @autoclosure () -> String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  if let found = bitDisagreement(actual, expected) {
    Issue.record("\(context()) \(found)", sourceLocation: sourceLocation)
  }
}
