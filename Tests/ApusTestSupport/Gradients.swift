package import ApusTensor
package import Testing

/// An operation as its definition has it: arrays of doubles in, row-major, and one out.
package typealias Reference = ([[Double]]) -> [Double]

/// An operation of the library.
package typealias Operation = ([Tensor]) -> Tensor

/// Values of an operation and the gradients of `Σ rᵢ yᵢ` for fixed weights r of either sign.
///
/// - Returns: The values, then one gradient per input: zeros where none came.
package func valuesAndGradients(
  of operation: Operation, at inputs: [Tensor]
) -> (values: [Float], gradients: [[Float]]) {
  let leaves = inputs.map { $0.tracked() }
  let y = operation(leaves)
  y.backward(gradient: Tensor(outputWeights(y.count), y.shape))
  let gradients = leaves.map { $0.gradient?.values ?? [Float](repeating: 0, count: $0.count) }
  return (y.values, gradients)
}

/// Says where an operation's values or gradients depart from its definition, or nil.
///
/// Gradients of the definition are central differences in double, right to about 1e-9, so what is
/// judged is the operation's own rounding. Tolerances are relative to the largest element of what
/// is compared.
package func disagreement(
  of operation: Operation, with reference: Reference, at inputs: [Tensor],
  values valueTolerance: Double, gradients gradientTolerance: Double
) -> String? {
  let (values, gradients) = valuesAndGradients(of: operation, at: inputs)
  let doubles = inputs.map { $0.values.map(Double.init) }
  let expected = reference(doubles)
  if let found = disagreement(values, expected, tolerance: valueTolerance) {
    return "values: \(found)"
  }
  let weights = outputWeights(expected.count).map(Double.init)
  func scalar(_ point: [[Double]]) -> Double {
    zip(reference(point), weights).reduce(0) { $0 + $1.0 * $1.1 }
  }
  for index in inputs.indices {
    let step = 1e-5
    let numeric = doubles[index].indices.map { element in
      var (left, right) = (doubles, doubles)
      left[index][element] -= step
      right[index][element] += step
      return (scalar(right) - scalar(left)) / (2 * step)
    }
    if let found = disagreement(gradients[index], numeric, tolerance: gradientTolerance) {
      return "gradient of input \(index): \(found)"
    }
  }
  return nil
}

/// Expects an operation to agree with its definition, values and gradients.
package func expectAgreement(
  of operation: Operation, with reference: Reference, at inputs: [Tensor],
  values: Double = 5e-6, gradients: Double = 2e-5, _ context: @autoclosure () -> String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let found = disagreement(
    of: operation, with: reference, at: inputs, values: values, gradients: gradients)
  if let found { Issue.record("\(context()) \(found)", sourceLocation: sourceLocation) }
}

/// Expects two operations of the library to agree, values and gradients.
package func expectAgreement(
  of operation: Operation, withOperation other: Operation, at inputs: [Tensor],
  values: Double = 5e-6, gradients: Double = 2e-5, _ context: @autoclosure () -> String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let (a, b) = (
    valuesAndGradients(of: operation, at: inputs), valuesAndGradients(of: other, at: inputs)
  )
  if let found = disagreement(a.values, b.values.map(Double.init), tolerance: values) {
    Issue.record("\(context()) values: \(found)", sourceLocation: sourceLocation)
  }
  for (index, (one, two)) in zip(a.gradients, b.gradients).enumerated() {
    if let found = disagreement(one, two.map(Double.init), tolerance: gradients) {
      Issue.record(
        "\(context()) gradient of input \(index): \(found)", sourceLocation: sourceLocation)
    }
  }
}

/// Says where the gradients of a scalar function depart from finite differences, or nil.
///
/// For functions without a definition in double, such as whole models. The five-point formula at
/// steps of 1/32 leaves about 1e-7 of truncation for smooth functions of unit scale, and lets the
/// rounding of a float function through 50-fold: hence a tolerance of 1e-3, relative to the largest
/// gradient of the input.
///
/// - Parameters:
///   - function: From tensors to a scalar.
///   - inputs: Where.
///   - elements: At most this many elements of each input are looked at, evenly spread.
///   - tolerance: Relative to the largest finite difference of the input.
///   - step: The distance of the points.
/// - Returns: The first disagreement.
package func gradientDisagreement(
  of function: Operation, at inputs: [Tensor], elements: Int = 40, tolerance: Double = 1e-3,
  step: Float = 1 / 32
) -> String? {
  let leaves = inputs.map { $0.tracked() }
  function(leaves).backward()
  for (index, leaf) in leaves.enumerated() {
    let analytic = leaf.gradient?.values ?? [Float](repeating: 0, count: leaf.count)
    let stride = max(1, leaf.count / elements)
    let places = Array(Swift.stride(from: 0, to: leaf.count, by: stride))
    let numeric = places.map { place in
      func value(_ offset: Float) -> Double {
        var moved = inputs
        moved[index].withMutableFloats { $0[place] += offset * step }
        return withoutGradient { Double(function(moved).scalar) }
      }
      return (8 * (value(1) - value(-1)) - (value(2) - value(-2))) / (12 * Double(step))
    }
    let found = disagreement(places.map { analytic[$0] }, numeric, tolerance: tolerance)
    if let found { return "gradient of input \(index), every element \(stride): \(found)" }
  }
  return nil
}

/// Expects the gradients of a scalar function to equal finite differences, see
/// ``gradientDisagreement(of:at:elements:tolerance:step:)``.
package func checkGradient(
  of function: Operation, at inputs: [Tensor], elements: Int = 40, tolerance: Double = 1e-3,
  step: Float = 1 / 32, _ context: @autoclosure () -> String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let found = gradientDisagreement(
    of: function, at: inputs, elements: elements, tolerance: tolerance, step: step)
  if let found { Issue.record("\(context()) \(found)", sourceLocation: sourceLocation) }
}

/// Compares with a tolerance relative to the largest expected element, 1e-3 at least.
private func disagreement(
  _ actual: [Float], _ expected: [Double], tolerance: Double
) -> String? {
  let largest = expected.reduce(1e-3) { max($0, abs($1)) }
  return disagreement(actual, expected.map(Float.init), absolute: tolerance * largest)
}

/// Weights between 0.5 and 1.5 of either sign: no two outputs can hide each other's errors.
private func outputWeights(_ count: Int) -> [Float] {
  var generator = SplitMix(state: 77)
  return (0..<count).map { _ in
    let size = Float(0.5 + generator.uniform())
    return generator.next() % 2 == 0 ? size : -size
  }
}
