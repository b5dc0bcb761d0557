import CApusKernels

/// One step of a reversible network on two streams: `y1 = x1 + f(x2)`, `y2 = x2 + g(y1)`.
///
/// Its input follows from its output: `x2 = y2 − g(y1)`, `x1 = y1 − f(x2)`.
/// Gomez et al., 2017, *The Reversible Residual Network*, arXiv:1707.04585.
public struct ReversibleStep {
  let f: (Tensor, _ note: inout Tensor?) -> Tensor
  let g: (Tensor) -> Tensor

  /// Creates a step. Both maps must be pure functions of their tensor and of parameters, from
  /// `[..., D]` to `[..., D]`.
  ///
  /// - Parameters:
  ///   - f: Finds nil in `note` the first time and may leave there what it decided; finds the same
  ///     when it is computed again, from an input that rounding has changed a little.
  ///   - g: The other map.
  public init(
    f: @escaping (Tensor, _ note: inout Tensor?) -> Tensor, g: @escaping (Tensor) -> Tensor
  ) {
    self.f = f
    self.g = g
  }
}

extension Tensor {
  /// Runs both streams, starting as this tensor, through reversible steps. What is inside is not
  /// kept: backward walks from the output to the input and computes every step again.
  ///
  /// Memory for activations does not grow with the number of steps, but for their notes; the price is
  /// one more forward pass. Kitaev et al., 2020, *Reformer*, arXiv:2001.04451, section 3.
  /// The tensor is `[..., D]`.
  /// - Parameter steps: The network.
  /// - Returns: The two streams side by side, `[..., 2 · D]`.
  public func reversible(_ steps: [ReversibleStep]) -> Tensor {
    let arithmetic = Arithmetic.current
    var notes = [Tensor?](repeating: nil, count: steps.count)
    var output = withoutGradient {
      var streams = (detached(), detached())
      for (index, step) in steps.enumerated() { step.advance(&streams, note: &notes[index]) }
      return Tensor(concatenating: [streams.0, streams.1])
    }
    guard arithmetic.recordsGradients else { return output }
    let (saved, kept, behind) = (output.detached(), notes, history)
    // A node even when x needs no gradient, so that the parameters inside get theirs.
    output.history = History(inputs: [behind], depth: (behind?.depth ?? 0) + 1) { gradient in
      Arithmetic.$current.withValue(arithmetic) {
        var streams = split(saved)
        var gradients = split(gradient.reshaped(saved.shape))
        for (step, note) in zip(steps, kept).reversed() {
          step.undo(&streams, &gradients, note: note)
        }
        gradients.0.add(gradients.1)
        return [gradients.0]
      }
    }
    return output
  }

  /// The two streams that ``reversible(_:)`` must have started from to end in this tensor. For tests
  /// of how much of them rounding takes.
  package func reversed(_ steps: [ReversibleStep], notes: [Tensor?]) -> (Tensor, Tensor) {
    withoutGradient {
      var streams = split(self)
      for (step, note) in zip(steps, notes).reversed() {
        var note = note
        streams.1.subtract(step.g(streams.0))
        streams.0.subtract(step.f(streams.1, &note))
      }
      return streams
    }
  }
}

extension ReversibleStep {
  /// Moves both streams on. What the first map decides is left in `note`.
  package func advance(_ streams: inout (Tensor, Tensor), note: inout Tensor?) {
    streams.0 = streams.0 + f(streams.1, &note)
    streams.1 = streams.1 + g(streams.0)
  }

  /// From the outputs of a step and their gradients to its inputs and theirs; parameters get theirs
  /// on the way.
  fileprivate func undo(
    _ streams: inout (Tensor, Tensor), _ gradients: inout (Tensor, Tensor), note: Tensor?
  ) {
    var note = note
    let (shift, gradient) = recorded(streams.0, gradients.1, g)
    streams.1.subtract(shift)
    if let gradient { gradients.0.add(gradient) }
    let (otherShift, otherGradient) = recorded(streams.1, gradients.0) { f($0, &note) }
    streams.0.subtract(otherShift)
    if let otherGradient { gradients.1.add(otherGradient) }
  }

  /// The value of `body` at `x`, and what its gradient is there to x.
  private func recorded(
    _ x: Tensor, _ gradient: Tensor, _ body: (Tensor) -> Tensor
  ) -> (Tensor, Tensor?) {
    var leaf = x.detached()
    leaf.history = .leaf()
    let y = body(leaf)
    y.backward(gradient: gradient)
    return (y.detached(), leaf.history?.gradient)
  }
}

/// The two halves of the last axis.
private func split(_ x: Tensor) -> (Tensor, Tensor) {
  withoutGradient {
    let half = x.shape.last / 2
    return (x[features: 0..<half], x[features: half..<2 * half])
  }
}

extension Tensor {
  /// Takes `other` away, in memory that is not shared.
  fileprivate mutating func subtract(_ other: Tensor) {
    contents.makeUnique()
    withPointers(out, other) { apus_axpy_f32($0, $1, -1, count) }
  }
}
