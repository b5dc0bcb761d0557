import CApusKernels

/// The weights of X gated feed-forwards, used in place.
///
/// D is the width, F that inside an expert. Expert e is
/// `down_e · (silu(gate_e · x) ⊙ (up_e · x))`. Shazeer, 2020, arXiv:2002.05202.
public struct ExpertWeights: Sendable {
  /// `[F, D]` of each expert.
  public var gate: ExpertMatrices
  /// `[F, D]` of each expert.
  public var up: ExpertMatrices
  /// `[D, F]` of each expert, or `[F, D]` when ``isDownInputsFirst``.
  public var down: ExpertMatrices
  /// F.
  public var hiddenSize: Int
  /// Whether ``down`` is stored as in DBRX's checkpoints.
  public var isDownInputsFirst: Bool

  /// Names each part.
  public init(
    gate: ExpertMatrices, up: ExpertMatrices, down: ExpertMatrices, hiddenSize: Int,
    isDownInputsFirst: Bool = false
  ) {
    self.gate = gate
    self.up = up
    self.down = down
    self.hiddenSize = hiddenSize
    self.isDownInputsFirst = isDownInputsFirst
  }

  var all: [Tensor] { gate.tensors + up.tensors + down.tensors }

  var detached: ExpertWeights {
    ExpertWeights(
      gate: gate.detached, up: up.detached, down: down.detached, hiddenSize: hiddenSize,
      isDownInputsFirst: isDownInputsFirst)
  }
}

/// One matrix for each expert.
public enum ExpertMatrices: Sendable {
  /// A tensor for each.
  case separate([Tensor])
  /// One tensor, the matrices one after the other.
  case fused(Tensor)

  var tensors: [Tensor] {
    switch self {
    case .separate(let tensors): tensors
    case .fused(let tensor): [tensor]
    }
  }

  var detached: ExpertMatrices {
    switch self {
    case .separate(let tensors): .separate(tensors.map { $0.detached() })
    case .fused(let tensor): .fused(tensor.detached())
    }
  }

  /// Where each of `count` matrices of `size` elements begins.
  func pointers(_ count: Int, size: Int) -> [UnsafeMutablePointer<Float>?] {
    switch self {
    case .separate(let tensors):
      precondition(
        tensors.count == count && tensors.allSatisfy { $0.count == size },
        "mixtureOfExperts: \(tensors.map(\.shape)) are not \(count) matrices of \(size) elements")
      return tensors.map(\.floats)
    case .fused(let tensor):
      precondition(
        tensor.count == count * size,
        "mixtureOfExperts: \(tensor.shape) holds no \(count) matrices of \(size) elements")
      return (0..<count).map { tensor.floats + $0 * size }
    }
  }

  /// Where each matrix's gradient begins, nil where none is needed.
  func pointers(
    into gradients: [Tensor?], _ count: Int, size: Int
  ) -> [UnsafeMutablePointer<Float>?] {
    switch self {
    case .separate: gradients.map { $0?.floats }
    case .fused: (0..<count).map { e in gradients[0].map { $0.floats + e * size } }
    }
  }
}

extension Tensor {
  /// Each token through the experts it chose, weighted and summed: one node, no token dropped.
  ///
  /// Rows are sorted by expert, each expert multiplies its own, and the results are added in the order
  /// of experts. Backward rebuilds everything but the experts' inner rows. Gale et al., 2022,
  /// *MegaBlocks*, arXiv:2211.15841.
  /// The tensor is `[..., D]`.
  /// - Parameters:
  ///   - logits: The router's, `[..., X]`: where the gradient of the gates goes.
  ///   - routes: What these logits come to; the caller makes them, and may look at them.
  ///   - experts: The weights of X experts.
  /// - Returns: `[..., D]`.
  public func mixtureOfExperts(logits: Tensor, routes: ExpertRoutes, experts: ExpertWeights)
    -> Tensor
  {
    let sizes = ExpertSizes(self, routes, experts)
    precondition(
      logits.shape.rows == sizes.tokens && logits.shape.last == sizes.count,
      "mixtureOfExperts: x is \(shape), logits \(logits.shape), \(sizes.count) experts")
    let h = sizes.inner(self, routes, experts)
    let a = Tensor(uninitialized: [sizes.rows, sizes.aStride])
    apus_expert_swiglu_f32(
      a.floats, h.floats, sizes.rows, sizes.hidden, sizes.aStride, sizes.hStride)
    let rows = Tensor(uninitialized: [sizes.rows, sizes.xStride])
    sizes.product(rows.floats, a.floats, experts.down, sizes.downShape, routes)
    let y = Tensor(uninitialized: shape)
    apus_expert_combine_f32(
      y.floats, rows.floats, routes.weights.floats, routes.slotRows.ints, sizes.tokens, sizes.width,
      sizes.perToken, sizes.xStride)
    withExtendedLifetime((self, h, a, rows, routes.weights, routes.slotRows)) {}
    let inputs = [self, logits] + experts.all
    guard inputs.contains(where: \.isTracked), Arithmetic.current.recordsGradients else { return y }
    let pass = ExpertBackward(
      x: detached(), h: h, routes: routes, experts: experts.detached, sizes: sizes,
      needsX: isTracked, logits: logits.isTracked ? logits.shape : nil,
      needs: inputs.dropFirst(2).map(\.isTracked))
    return y.tracked(from: inputs) { pass.gradients($0) }
  }
}

/// The sizes that the kernels ask for.
private struct ExpertSizes {
  let tokens: Int, width: Int, hidden: Int, count: Int, perToken: Int, rows: Int
  let isDownInputsFirst: Bool, bf16: Bool
  /// Between rows: off the multiples of 1 KiB that fall into few sets of the cache.
  let xStride: Int, aStride: Int, hStride: Int

  init(_ x: Tensor, _ routes: ExpertRoutes, _ experts: ExpertWeights) {
    (tokens, width, hidden) = (x.shape.rows, x.shape.last, experts.hiddenSize)
    (count, perToken, rows) = (routes.expertCount, routes.perToken, routes.rowCount)
    isDownInputsFirst = experts.isDownInputsFirst
    bf16 = Arithmetic.current.products == .bfloat16
    func spread(_ size: Int) -> Int { size % 256 == 0 ? size + 16 : size }
    (xStride, aStride, hStride) = (spread(width), spread(hidden), spread(2 * hidden))
    precondition(
      routes.experts.shape[0] == tokens, "mixtureOfExperts: x is \(x.shape), routes are of others")
  }

  var size: Int { width * hidden }

  /// x to one half of h.
  var inputShape: apus_grouped_shape {
    apus_grouped_shape(
      groups: count, columns: hidden, inner: width, a_stride: xStride, b_stride: width,
      c_stride: hStride, transpose_b: 1, accumulate: 0, bf16: bf16 ? 1 : 0)
  }

  /// a to the result.
  var downShape: apus_grouped_shape {
    apus_grouped_shape(
      groups: count, columns: width, inner: hidden, a_stride: aStride,
      b_stride: isDownInputsFirst ? width : hidden, c_stride: xStride,
      transpose_b: isDownInputsFirst ? 0 : 1, accumulate: 0, bf16: bf16 ? 1 : 0)
  }

  /// The rows of x of every pair, `[rows, xStride]`.
  func gathered(_ x: Tensor, _ routes: ExpertRoutes) -> Tensor {
    let y = Tensor(uninitialized: [rows, xStride])
    apus_expert_gather_f32(
      y.floats, x.floats, routes.rowSlots.ints, rows, width, perToken, xStride)
    withExtendedLifetime((x, routes.rowSlots)) {}
    return y
  }

  /// Gate and up of every pair before the activation, `[rows, hStride]`.
  func inner(_ x: Tensor, _ routes: ExpertRoutes, _ experts: ExpertWeights) -> Tensor {
    let xs = gathered(x, routes)
    let h = Tensor(uninitialized: [rows, hStride])
    product(h.floats, xs.floats, experts.gate, inputShape, routes)
    product(h.floats + hidden, xs.floats, experts.up, inputShape, routes)
    withExtendedLifetime(xs) {}
    return h
  }

  func product(
    _ c: UnsafeMutablePointer<Float>, _ a: UnsafePointer<Float>, _ matrices: ExpertMatrices,
    _ shape: apus_grouped_shape, _ routes: ExpertRoutes
  ) {
    var shape = shape
    let b = matrices.pointers(count, size: size).map { UnsafePointer($0) }
    check(apus_grouped_product_f32(c, a, b, routes.offsets.ints, &shape))
    withExtendedLifetime((matrices.tensors, routes.offsets)) {}
  }

  func check(_ status: Int32) {
    precondition(
      status == 0, "A product of \(rows) rows and \(count) experts failed: oneDNN \(status)")
  }
}

/// What backward needs.
private struct ExpertBackward {
  let x: Tensor, h: Tensor
  let routes: ExpertRoutes
  let experts: ExpertWeights
  let sizes: ExpertSizes
  let needsX: Bool
  /// The shape of the logits where their gradient is wanted.
  let logits: Shape?
  /// Which tensors of the experts want a gradient.
  let needs: [Bool]

  /// The gradients of x, the logits, and each tensor of the experts.
  func gradients(_ dy: Tensor) -> [Tensor?] {
    let dys = sizes.gathered(dy, routes)
    // a's gradient before its gate, then a itself times its gate, in the same memory.
    let da = Tensor(uninitialized: [sizes.rows, sizes.aStride])
    var downBack = sizes.downShape
    (downBack.columns, downBack.inner) = (sizes.hidden, sizes.width)
    (downBack.a_stride, downBack.c_stride) = (sizes.xStride, sizes.aStride)
    downBack.transpose_b = sizes.isDownInputsFirst ? 1 : 0
    sizes.product(da.floats, dys.floats, experts.down, downBack, routes)
    let dh = Tensor(uninitialized: h.shape)
    let dweights = Tensor(zeros: routes.weights.shape)
    apus_expert_swiglu_backward_f32(
      dh.floats, da.floats, dweights.floats, da.floats, h.floats, routes.weights.floats,
      routes.rowSlots.ints, sizes.rows, sizes.hidden, sizes.aStride, sizes.hStride)
    var weights: [Tensor?] = []
    if needs.contains(true) {
      let xs = sizes.gathered(x, routes)
      weights += gradients(of: experts.gate, 0, xs, dh.floats, sizes.inputShape)
      weights += gradients(
        of: experts.up, weights.count, xs, dh.floats + sizes.hidden, sizes.inputShape)
      weights += gradients(of: experts.down, weights.count, da, dys.floats, sizes.downShape)
      withExtendedLifetime((xs, dys, da)) {}
    }
    let dx = needsX ? inputGradient(dh) : nil
    withExtendedLifetime((h, dh)) {}
    return [dx, logits.map { routes.gradient(ofWeights: dweights).reshaped($0) }] + weights
  }

  /// The gradients of one kind of matrix; `first` is the place of its first tensor in ``needs``.
  private func gradients(
    of matrices: ExpertMatrices, _ first: Int, _ a: Tensor, _ dc: UnsafePointer<Float>,
    _ shape: apus_grouped_shape
  ) -> [Tensor?] {
    let gradients = matrices.tensors.enumerated().map {
      needs[first + $0] ? Tensor(uninitialized: $1.shape) : nil
    }
    var shape = shape
    let pointers = matrices.pointers(into: gradients, sizes.count, size: sizes.size)
    sizes.check(
      apus_grouped_product_backward_f32(
        pointers, a.floats, dc, routes.offsets.ints, &shape))
    withExtendedLifetime((a, gradients, routes.offsets)) {}
    return gradients
  }

  /// Through gate and up of every pair, then summed by token.
  private func inputGradient(_ dh: Tensor) -> Tensor {
    let dxs = Tensor(uninitialized: [sizes.rows, sizes.xStride])
    var back = sizes.inputShape
    (back.columns, back.inner) = (sizes.width, sizes.hidden)
    (back.a_stride, back.c_stride, back.transpose_b) = (sizes.hStride, sizes.xStride, 0)
    sizes.product(dxs.floats, dh.floats, experts.gate, back, routes)
    back.accumulate = 1
    sizes.product(dxs.floats, dh.floats + sizes.hidden, experts.up, back, routes)
    let dx = Tensor(uninitialized: x.shape)
    apus_expert_combine_f32(
      dx.floats, dxs.floats, nil, routes.slotRows.ints, sizes.tokens, sizes.width, sizes.perToken,
      sizes.xStride)
    withExtendedLifetime((dh, dxs, routes.slotRows)) {}
    return dx
  }
}
