import CApusKernels

extension Tensor {
  /// `x · weightᵀ + bias`: a linear map of the last axis.
  ///
  /// The tensor is `[..., inputs]`.
  /// - Parameters:
  ///   - weight: `[outputs, inputs]`, or `[inputs, outputs]` when `inputsFirst`.
  ///   - bias: `[outputs]`, or nil.
  ///   - inputsFirst: The weight is stored `[inputs, outputs]`, as in GPT-2's checkpoints.
  /// - Returns: `[..., outputs]`.
  public func linear(weight: Tensor, bias: Tensor? = nil, inputsFirst: Bool = false) -> Tensor {
    let (outputs, inputs) = (weight.shape[inputsFirst ? 1 : 0], weight.shape[inputsFirst ? 0 : 1])
    ensure(
      shape.last == inputs, "linear: x is \(shape), weight is \(weight.shape)")
    ensure(
      bias.map { $0.count == outputs } ?? true, "linear: weight is \(weight.shape), bias is not")
    let rows = count / max(inputs, 1)
    let y = Tensor(uninitialized: shape.replacingLast(with: outputs))
    let bf16 = Arithmetic.current.products == .bfloat16
    product(
      y, self, weight, bias: bias, rows: rows, columns: outputs, inner: inputs,
      transposeB: !inputsFirst, bf16: bf16)
    guard Tensor.records(self, weight, bias) else { return y }
    let (savedX, savedWeight) = (detached(), weight.detached())
    let (needsX, needsWeight, needsBias) = (isTracked, weight.isTracked, bias?.isTracked ?? false)
    return y.tracked(from: [self, weight, bias]) { dy in
      var (dx, dweight, dbias): (Tensor?, Tensor?, Tensor?)
      if needsX {
        let gradient = Tensor(uninitialized: savedX.shape)
        product(
          gradient, dy, savedWeight, rows: rows, columns: inputs, inner: outputs,
          transposeB: inputsFirst, bf16: bf16)
        dx = gradient
      }
      if needsWeight {
        let gradient = Tensor(uninitialized: savedWeight.shape)
        if inputsFirst {
          product(
            gradient, savedX, dy, rows: inputs, columns: outputs, inner: rows, transposeA: true,
            bf16: bf16)
        } else {
          product(
            gradient, dy, savedX, rows: outputs, columns: inputs, inner: rows, transposeA: true,
            bf16: bf16)
        }
        dweight = gradient
      }
      if needsBias { dbias = dy.columnSum(outputs) }
      return [dx, dweight, dbias]
    }
  }

  /// Several linear maps of one input with their results side by side in one row:
  /// `[x · weights[0]ᵀ + biases[0] | x · weights[1]ᵀ + biases[1] | …]`, each written in its place.
  ///
  /// What separate matrices for queries, keys and values, or for a gate and its input, ask for when
  /// the next operation reads them from one fused row.
  /// The tensor is `[..., inputs]`.
  /// - Parameters:
  ///   - weights: One or more, each `[outputs, inputs]` with outputs of its own.
  ///   - biases: One `[outputs]` for each weight, or none at all.
  /// - Returns: `[..., sum of outputs]`.
  public func linear(sideBySide weights: [Tensor], biases: [Tensor] = []) -> Tensor {
    let inputs = shape.last
    let (rows, outputs) = (shape.rows, weights.map { $0.shape[0] })
    ensure(
      !weights.isEmpty && weights.allSatisfy { $0.shape == [$0.shape[0], inputs] },
      "linear: x is \(shape), weights are \(weights.map(\.shape))")
    ensure(
      biases.isEmpty || biases.map(\.count) == outputs,
      "linear: weights are \(weights.map(\.shape)), biases are \(biases.map(\.shape))")
    let width = outputs.reduce(0, +)
    let y = Tensor(uninitialized: shape.replacingLast(with: width))
    let bf16 = Arithmetic.current.products == .bfloat16
    var offset = 0
    for (index, weight) in weights.enumerated() {
      product(
        y.out.from(offset), input, weight.input, bias: biases.isEmpty ? nil : biases[index],
        rows: rows, columns: outputs[index], inner: inputs, aStride: inputs, bStride: inputs,
        cStride: width, transposeB: true, bf16: bf16)
      offset += outputs[index]
    }
    let parts = [self] + weights + biases
    guard Tensor.records(parts) else { return y }
    let (savedX, savedWeights) = (detached(), weights.map { $0.detached() })
    let needs = parts.map(\.isTracked)
    return y.tracked(from: parts) { dy in
      sideBySideGradients(
        of: dy, x: savedX, weights: savedWeights, biasCount: parts.count - weights.count - 1,
        needs: needs, bf16: bf16)
    }
  }
}

/// The gradients of ``linear(sideBySide:biases:)``: of x, each weight, each bias, where needed.
private func sideBySideGradients(
  of dy: Tensor, x: Tensor, weights: [Tensor], biasCount: Int, needs: [Bool], bf16: Bool
) -> [Tensor?] {
  let (rows, inputs, width) = (x.shape.rows, x.shape.last, dy.count / max(x.shape.rows, 1))
  let dx = needs[0] ? Tensor(uninitialized: x.shape) : nil
  var (dweights, dbiases) = ([Tensor?](), [Tensor?]())
  var offset = 0
  for (index, weight) in weights.enumerated() {
    let outputs = weight.shape[0]
    let part = dy.input.from(offset)
    if let dx {
      product(
        dx.out, part, weight.input, rows: rows, columns: inputs, inner: outputs, aStride: width,
        bStride: inputs, cStride: inputs, accumulate: index > 0, bf16: bf16)
    }
    let dweight = needs[1 + index] ? Tensor(uninitialized: weight.shape) : nil
    if let dweight {
      product(
        dweight.out, part, x.input, rows: outputs, columns: inputs, inner: rows, aStride: width,
        bStride: inputs, cStride: inputs, transposeA: true, bf16: bf16)
    }
    dweights.append(dweight)
    if index < biasCount {
      let dbias = needs[1 + weights.count + index] ? Tensor(uninitialized: [outputs]) : nil
      withPointers(dbias?.out, part) {
        if let dbias = $0 { apus_column_sum_f32(dbias, $1, rows, outputs, width, 0) }
      }
      dbiases.append(dbias)
    }
    offset += outputs
  }
  return [dx] + dweights + dbiases
}

extension Tensor {
  /// The sums over all rows of `columns` elements each: `[columns]`.
  func columnSum(_ columns: Int) -> Tensor {
    let sum = Tensor(uninitialized: [columns])
    withPointers(sum.out, self) {
      apus_column_sum_f32($0, $1, count / max(columns, 1), columns, columns, 0)
    }
    return sum
  }
}

/// `c (+)= op(a) · op(b) + bias` on densely stored matrices.
func product(
  _ c: Tensor, _ a: Tensor, _ b: Tensor, bias: Tensor? = nil, rows: Int, columns: Int, inner: Int,
  transposeA: Bool = false, transposeB: Bool = false, accumulate: Bool = false, bf16: Bool
) {
  product(
    c.out, a.input, b.input, bias: bias, rows: rows, columns: columns, inner: inner,
    aStride: transposeA ? rows : inner, bStride: transposeB ? inner : columns, cStride: columns,
    transposeA: transposeA, transposeB: transposeB, accumulate: accumulate, bf16: bf16)
}

/// The same on rows that lie apart.
func product(
  _ c: KernelOutput<Float>, _ a: KernelInput<Float>, _ b: KernelInput<Float>, bias: Tensor? = nil,
  rows: Int, columns: Int, inner: Int, aStride: Int, bStride: Int, cStride: Int,
  transposeA: Bool = false, transposeB: Bool = false, accumulate: Bool = false, bf16: Bool
) {
  var shape = apus_product_shape(
    rows: rows, columns: columns, inner: inner, a_stride: aStride, b_stride: bStride,
    c_stride: cStride, transpose_a: transposeA ? 1 : 0, transpose_b: transposeB ? 1 : 0,
    accumulate: accumulate ? 1 : 0,
    rows_alone: rows > 1 && Arithmetic.current.keepsRowsAlone ? 1 : 0)
  let status = withPointers(c, a, b, bias) {
    bf16 ? apus_product_bf16($0, $1, $2, $3, &shape) : apus_product_f32($0, $1, $2, $3, &shape)
  }
  ensure(
    status == 0,
    "the product [\(rows), \(inner)] · [\(inner), \(columns)] failed: oneDNN \(status)")
}
