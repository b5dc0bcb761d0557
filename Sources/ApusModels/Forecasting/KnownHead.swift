import ApusNN
import ApusTensor

/// What inputs that are known ahead add to the forecast of their own step: a small gated layer on the state
/// of a row and the inputs of the step, shared by all steps.
///
/// `W (U h ⊙ silu(V x + v))`, with h the state of the backbone, x the inputs of a step: an effect that may
/// bend with the inputs and grow or shrink with the state. Shazeer, 2020, *GLU Variants Improve
/// Transformer*, arXiv:2002.05202, section 2. W starts at zero: training begins with the effect that was
/// fitted in closed form (``CovariateEffect``) and learns what that leaves.
/// Shapes: B batch, N rows, D state, P horizon, K inputs, R rank, A outputs of a step.
struct KnownHead {
  private let horizon, outputs: Int
  /// U.
  private let state: Linear
  /// V.
  private let input: Linear
  /// W.
  private let output: Linear

  /// R.
  private static let rank = 16

  init(_ known: Int, state width: Int, horizon: Int, outputs: Int, in scope: Scope) throws {
    (self.horizon, self.outputs) = (horizon, outputs)
    state = try Linear(width, Self.rank, in: scope["state"])
    input = try Linear(known, Self.rank, in: scope["input"])
    output = try Linear(Self.rank, outputs, bias: false, start: .zeros, in: scope["output"])
  }

  /// - Parameters:
  ///   - hidden: `[B, N, D]`.
  ///   - known: `[B, N, P · K]`.
  /// - Returns: `[B, N, P · A]`.
  func callAsFunction(_ hidden: Tensor, known: Tensor) -> Tensor {
    let (batch, rows) = (hidden.shape[0], hidden.shape[1])
    let steps = batch * rows * horizon
    let gate = input(known.reshaped([steps, known.shape.last / horizon]))  // [B · N · P, R]
    // Every step of a row has the state of the row.
    let numbers = (0..<steps).map { Int32($0 / horizon) }
    let states = state(hidden).gathered(rows: Tensor(numbers, [steps]))
    return output(states.siluGated(by: gate)).reshaped([batch, rows, horizon * outputs])
  }
}
