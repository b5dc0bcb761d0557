import CApusKernels

/// `x · weightᵀ + bias`: a linear map of the last axis.
///
/// - Parameters:
///   - x: `[..., inputs]`.
///   - weight: `[outputs, inputs]`, or `[inputs, outputs]` when `inputsFirst`.
///   - bias: `[outputs]`, or nil.
///   - inputsFirst: The weight lies as GPT-2's checkpoints have it.
/// - Returns: `[..., outputs]`.
public func linear(
  _ x: Tensor, weight: Tensor, bias: Tensor? = nil, inputsFirst: Bool = false
) -> Tensor {
  let (outputs, inputs) = (weight.shape[inputsFirst ? 1 : 0], weight.shape[inputsFirst ? 0 : 1])
  precondition(
    x.shape.last == inputs, "linear: x is \(x.shape), weight is \(weight.shape)")
  precondition(
    bias.map { $0.count == outputs } ?? true, "linear: weight is \(weight.shape), bias is not")
  let rows = x.count / max(inputs, 1)
  let y = Tensor(uninitialized: x.shape.replacingLast(with: outputs))
  let bf16 = Arithmetic.current.products == .bfloat16
  product(
    y, x, weight, bias: bias, rows: rows, columns: outputs, inner: inputs,
    transposeB: !inputsFirst, bf16: bf16)
  guard Tensor.records(x, weight) || (bias.map { Tensor.records($0) } ?? false) else { return y }
  let (savedX, savedWeight) = (x.detached(), weight.detached())
  let (needsX, needsWeight, needsBias) = (x.isTracked, weight.isTracked, bias?.isTracked ?? false)
  return y.tracked(from: [x, weight] + (bias.map { [$0] } ?? [])) { dy in
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
    if needsBias {
      let gradient = Tensor(uninitialized: [outputs])
      apus_column_sum_f32(gradient.floats, dy.floats, rows, outputs, outputs, 0)
      dbias = gradient
    }
    withExtendedLifetime(dy) {}
    return [dx, dweight, dbias]
  }
}

/// `c (+)= op(a) · op(b) + bias` on densely stored matrices.
func product(
  _ c: Tensor, _ a: Tensor, _ b: Tensor, bias: Tensor? = nil, rows: Int, columns: Int, inner: Int,
  transposeA: Bool = false, transposeB: Bool = false, accumulate: Bool = false, bf16: Bool
) {
  product(
    c.floats, a.floats, b.floats, bias: bias?.floats, rows: rows, columns: columns, inner: inner,
    aStride: transposeA ? rows : inner, bStride: transposeB ? inner : columns, cStride: columns,
    transposeA: transposeA, transposeB: transposeB, accumulate: accumulate, bf16: bf16)
  withExtendedLifetime((a, b, bias)) {}
}

/// The same on rows that lie apart.
func product(
  _ c: UnsafeMutablePointer<Float>, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
  bias: UnsafePointer<Float>? = nil, rows: Int, columns: Int, inner: Int, aStride: Int,
  bStride: Int, cStride: Int, transposeA: Bool = false, transposeB: Bool = false,
  accumulate: Bool = false, bf16: Bool
) {
  var shape = apus_product_shape(
    rows: rows, columns: columns, inner: inner, a_stride: aStride, b_stride: bStride,
    c_stride: cStride, transpose_a: transposeA ? 1 : 0, transpose_b: transposeB ? 1 : 0,
    accumulate: accumulate ? 1 : 0)
  let status =
    bf16 ? apus_product_bf16(c, a, b, bias, &shape) : apus_product_f32(c, a, b, bias, &shape)
  precondition(
    status == 0, "The product [\(rows), \(inner)] · [\(inner), \(columns)] failed: oneDNN \(status)"
  )
}
