import CApusKernels

extension Tensor {
  /// Linear maps that each head of a row has for itself, several of them side by side.
  ///
  /// A block-diagonal matrix: a head sees its own features only. The tensor is `[..., H · P]`.
  /// - Parameter weights: One or more, each `[H, O, P]`.
  /// - Returns: `[..., H · n · O]`: for every head, what each of the n maps makes of it.
  public func headLinear(_ weights: [Tensor]) -> Tensor {
    ensure(
      weights.allSatisfy { $0.shape == weights[0].shape && $0.shape.rank == 3 },
      "headLinear: weights are \(weights.map(\.shape))")
    let call = HeadProducts(self, weights)
    let y = Tensor(uninitialized: shape.replacingLast(with: call.width))
    for (index, weight) in weights.enumerated() {
      for head in 0..<call.heads {
        product(
          y.out.from(call.output(head, index)), input.from(head * call.inputs),
          weight.input.from(head * call.inputs * call.outputs), rows: call.rows,
          columns: call.outputs, inner: call.inputs, aStride: call.features,
          bStride: call.inputs, cStride: call.width, transposeB: true, bf16: call.bf16)
      }
    }
    let parts = [self] + weights
    guard Tensor.records(parts) else { return y }
    let (saved, savedWeights) = (detached(), weights.map { $0.detached() })
    let needs = parts.map(\.isTracked)
    return y.tracked(from: parts) { dy in
      call.gradients(of: dy, x: saved, weights: savedWeights, needs: needs)
    }
  }
}

/// The sizes of one call: H heads of P features, n maps to O outputs each.
private struct HeadProducts {
  let rows: Int, heads: Int, maps: Int, outputs: Int, inputs: Int
  let bf16 = Arithmetic.current.products == .bfloat16

  init(_ x: Tensor, _ weights: [Tensor]) {
    (heads, outputs, inputs) = (weights[0].shape[0], weights[0].shape[1], weights[0].shape[2])
    (rows, maps) = (x.shape.rows, weights.count)
    ensure(
      x.shape.last == heads * inputs, "headLinear: x is \(x.shape), weights \(weights[0].shape)")
  }

  var features: Int { heads * inputs }
  var width: Int { heads * maps * outputs }
  /// Where the results of a map of a head start in a row.
  func output(_ head: Int, _ map: Int) -> Int { (head * maps + map) * outputs }

  func gradients(
    of dy: Tensor, x: Tensor, weights: [Tensor], needs: [Bool]
  ) -> [Tensor?] {
    let dx = needs[0] ? Tensor(uninitialized: x.shape) : nil
    let dweights = weights.indices.map {
      needs[1 + $0] ? Tensor(uninitialized: weights[$0].shape) : nil
    }
    for (index, weight) in weights.enumerated() {
      for head in 0..<heads {
        let (part, place) = (dy.input.from(output(head, index)), head * inputs * outputs)
        if let dx {
          product(
            dx.out.from(head * inputs), part, weight.input.from(place), rows: rows,
            columns: inputs, inner: outputs, aStride: width, bStride: inputs, cStride: features,
            accumulate: index > 0, bf16: bf16)
        }
        if let dweight = dweights[index] {
          product(
            dweight.out.from(place), part, x.input.from(head * inputs), rows: outputs,
            columns: inputs, inner: rows, aStride: width, bStride: features, cStride: inputs,
            transposeA: true, bf16: bf16)
        }
      }
    }
    return [dx] + dweights
  }
}
