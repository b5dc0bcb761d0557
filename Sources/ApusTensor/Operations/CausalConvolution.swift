import CApusKernels

/// silu of a causal depthwise convolution over time of some columns of wider rows: the front of
/// state space mixers.
struct CausalConvolution {
  /// `[E, 1, K]` or `[E, K]`.
  let weight: Tensor
  /// `[E]`, or nil.
  let bias: Tensor?
  let batch: Int, time: Int
  /// E.
  let channels: Int
  /// The first of the columns, and how many there are in a row.
  let column: Int, stride: Int

  /// K.
  private var taps: Int { weight.count / max(channels, 1) }

  /// `[B, T, E]`. `window` holds the K − 1 inputs before the first token, then those before the next.
  func callAsFunction(_ rows: Tensor, window: KernelOutput<Float>? = nil) -> Tensor {
    let y = Tensor(uninitialized: [batch, time, channels])
    withPointers(y.out, window, rows.input.from(column), weight, bias) {
      apus_causal_conv_silu_f32($0, $1, $2, $3, $4, batch, time, channels, taps, stride)
    }
    return y
  }

  /// The gradients of weight and bias; that of the columns is written to those of `drows`.
  func gradients(of dy: Tensor, at rows: Tensor, to drows: Tensor) -> (Tensor, Tensor?) {
    let dweight = Tensor(uninitialized: weight.shape)
    let dbias = bias.map { Tensor(uninitialized: $0.shape) }
    withPointers(
      drows.out.from(column), dweight.out, dbias?.out, dy, rows.input.from(column), weight, bias
    ) {
      apus_causal_conv_silu_backward_f32(
        $0, $1, $2, $3, $4, $5, $6, batch, time, channels, taps, stride, stride)
    }
    return (dweight, dbias)
  }
}
