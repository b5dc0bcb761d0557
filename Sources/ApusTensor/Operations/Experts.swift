import CApusKernels

/// The weights of X gated feed-forwards, used in place.
///
/// D is the width, F that inside an expert. Expert e is
/// `down_e · (silu(gate_e · x) ⊙ (up_e · x))`. Shazeer, 2020, arXiv:2002.05202.
public struct ExpertWeights {
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
public enum ExpertMatrices {
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

  /// Calls a kernel with the place where each of `count` matrices of `size` elements begins.
  func withPointers<Result>(
    _ count: Int, size: Int, _ kernel: ([UnsafePointer<Float>?]) -> Result
  ) -> Result {
    ensure(
      tensors.count == (isFused ? 1 : count)
        && tensors.allSatisfy { $0.count == size * (isFused ? count : 1) },
      "mixtureOfExperts: \(tensors.map(\.shape)) are not \(count) matrices of \(size) elements")
    return withExtendedLifetime(tensors) {
      kernel(
        places(tensors.map(\.input), count) { $0.from($1 * size) }.map {
          $0.pointer(for: "mixtureOfExperts")
        })
    }
  }

  /// The same for each matrix's gradient, nil where none is needed.
  func withPointers<Result>(
    into gradients: [Tensor?], _ count: Int, size: Int,
    _ kernel: ([UnsafeMutablePointer<Float>?]) -> Result
  ) -> Result {
    withExtendedLifetime(gradients) {
      kernel(
        places(gradients.map { $0?.out }, count) { $0?.from($1 * size) }.map {
          $0.pointer(for: "mixtureOfExperts")
        })
    }
  }

  private var isFused: Bool {
    if case .fused = self { true } else { false }
  }

  private func places<Operand>(
    _ operands: [Operand], _ count: Int, _ place: (Operand, Int) -> Operand
  ) -> [Operand] {
    isFused ? (0..<count).map { place(operands[0], $0) } : operands
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
    ensure(
      logits.shape.rows == sizes.tokens && logits.shape.last == sizes.count,
      "mixtureOfExperts: x is \(shape), logits \(logits.shape), \(sizes.count) experts")
    let h = sizes.inner(self, routes, experts)
    let a = Tensor(uninitialized: [sizes.rows, sizes.aStride])
    withPointers(a.out, h) {
      apus_expert_swiglu_f32($0, $1, sizes.rows, sizes.hidden, sizes.aStride, sizes.hStride)
    }
    let rows = Tensor(uninitialized: [sizes.rows, sizes.xStride])
    sizes.product(rows.out, a.input, experts.down, sizes.downShape, routes)
    let y = sizes.combined(rows, routes, weights: routes.weights, shape)
    let inputs = [self, logits] + experts.all
    guard Tensor.records(inputs) else { return y }
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
    ensure(
      routes.experts.shape[0] == tokens, "mixtureOfExperts: x is \(x.shape), routes are of others")
  }

  var size: Int { width * hidden }

  /// x to one half of h.
  var inputShape: apus_grouped_shape {
    apus_grouped_shape(
      groups: count, columns: hidden, inner: width, a_stride: xStride, b_stride: width,
      c_stride: hStride, transpose_b: 1, accumulate: 0, bf16: bf16 ? 1 : 0,
      rows_alone: Arithmetic.current.keepsRowsAlone ? 1 : 0)
  }

  /// a to the result.
  var downShape: apus_grouped_shape {
    apus_grouped_shape(
      groups: count, columns: width, inner: hidden, a_stride: aStride,
      b_stride: isDownInputsFirst ? width : hidden, c_stride: xStride,
      transpose_b: isDownInputsFirst ? 0 : 1, accumulate: 0, bf16: bf16 ? 1 : 0,
      rows_alone: Arithmetic.current.keepsRowsAlone ? 1 : 0)
  }

  /// The rows of x of every pair, `[rows, xStride]`.
  func gathered(_ x: Tensor, _ routes: ExpertRoutes) -> Tensor {
    let y = Tensor(uninitialized: [rows, xStride])
    withPointers(y.out, x, routes.rowSlots.ints) {
      apus_expert_gather_f32($0, $1, $2, rows, width, perToken, xStride)
    }
    return y
  }

  /// The sum over every token's pairs, weighted unless `weights` is nil, `[..., D]`.
  func combined(
    _ pairs: Tensor, _ routes: ExpertRoutes, weights: Tensor?, _ shape: Shape
  ) -> Tensor {
    let y = Tensor(uninitialized: shape)
    withPointers(y.out, pairs, weights, routes.slotRows.ints) {
      apus_expert_combine_f32($0, $1, $2, $3, tokens, width, perToken, xStride)
    }
    return y
  }

  /// Gate and up of every pair before the activation, `[rows, hStride]`.
  func inner(_ x: Tensor, _ routes: ExpertRoutes, _ experts: ExpertWeights) -> Tensor {
    let xs = gathered(x, routes)
    let h = Tensor(uninitialized: [rows, hStride])
    product(h.out, xs.input, experts.gate, inputShape, routes)
    product(h.out.from(hidden), xs.input, experts.up, inputShape, routes)
    return h
  }

  func product(
    _ c: KernelOutput<Float>, _ a: KernelInput<Float>, _ matrices: ExpertMatrices,
    _ shape: apus_grouped_shape, _ routes: ExpertRoutes
  ) {
    var shape = shape
    check(
      matrices.withPointers(count, size: size) { b in
        withPointers(c, a, routes.offsets.ints) {
          apus_grouped_product_f32($0, $1, b, $2, &shape)
        }
      })
  }

  func check(_ status: Int32) {
    ensure(
      status == 0, "a product of \(rows) rows and \(count) experts failed: oneDNN \(status)")
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
    sizes.product(da.out, dys.input, experts.down, downBack, routes)
    let dh = Tensor(uninitialized: h.shape)
    let dweights = Tensor(zeros: routes.weights.shape)
    withPointers(dh.out, da.out, dweights.out, h, routes.weights, routes.rowSlots.ints) {
      apus_expert_swiglu_backward_f32(
        $0, $1, $2, $1, $3, $4, $5, sizes.rows, sizes.hidden, sizes.aStride, sizes.hStride)
    }
    var weights: [Tensor?] = []
    if needs.contains(true) {
      let xs = sizes.gathered(x, routes)
      weights += gradients(of: experts.gate, 0, xs, dh.input, sizes.inputShape)
      weights += gradients(
        of: experts.up, weights.count, xs, dh.input.from(sizes.hidden), sizes.inputShape)
      weights += gradients(of: experts.down, weights.count, da, dys.input, sizes.downShape)
    }
    let dx = needsX ? inputGradient(dh) : nil
    return [dx, logits.map { routes.gradient(ofWeights: dweights).reshaped($0) }] + weights
  }

  /// The gradients of one kind of matrix; `first` is the place of its first tensor in ``needs``.
  private func gradients(
    of matrices: ExpertMatrices, _ first: Int, _ a: Tensor, _ dc: KernelInput<Float>,
    _ shape: apus_grouped_shape
  ) -> [Tensor?] {
    let gradients = matrices.tensors.enumerated().map {
      needs[first + $0] ? Tensor(uninitialized: $1.shape) : nil
    }
    var shape = shape
    sizes.check(
      matrices.withPointers(into: gradients, sizes.count, size: sizes.size) { db in
        withPointers(a, dc, routes.offsets.ints) {
          apus_grouped_product_backward_f32(db, $0, $1, $2, &shape)
        }
      })
    return gradients
  }

  /// Through gate and up of every pair, then summed by token.
  private func inputGradient(_ dh: Tensor) -> Tensor {
    let dxs = Tensor(uninitialized: [sizes.rows, sizes.xStride])
    var back = sizes.inputShape
    (back.columns, back.inner) = (sizes.width, sizes.hidden)
    (back.a_stride, back.c_stride, back.transpose_b) = (sizes.hStride, sizes.xStride, 0)
    sizes.product(dxs.out, dh.input, experts.gate, back, routes)
    back.accumulate = 1
    sizes.product(dxs.out, dh.input.from(sizes.hidden), experts.up, back, routes)
    return sizes.combined(dxs, routes, weights: nil, x.shape)
  }
}
