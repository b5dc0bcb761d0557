import CApusKernels
import Foundation

/// The parameters of a diagonal state space of complex numbers in continuous time, `[N]` each.
public struct DiagonalSSMWeights {
  /// Re Λ, what a state decays by per unit of time: its size counts, as −|Re Λ|.
  public var decay: Tensor
  /// Im Λ, what a state turns by per unit of time.
  public var frequency: Tensor
  /// ln Δ, the length of a step.
  public var logStep: Tensor

  /// Names each one.
  public init(decay: Tensor, frequency: Tensor, logStep: Tensor) {
    (self.decay, self.frequency, self.logStep) = (decay, frequency, logStep)
  }
}

/// The state of a diagonal state space between tokens: `[B, 2, N]`.
public struct DiagonalSSMState: Sendable {
  package var values: TensorValue

  /// The state before the first token.
  public init(batch: Int, states: Int) {
    values = Tensor(zeros: [batch, 2, states]).contents
  }
}

extension DiagonalSSMState: TensorState {
  static var parts: [any WritableKeyPath<DiagonalSSMState, TensorValue> & Sendable] { [\.values] }
}

extension Tensor {
  /// The state space of S5 between its two maps.
  ///
  /// Smith et al., 2022, *Simplified State Space Layers for Sequence Modeling*, arXiv:2208.04933,
  /// equations 6 and 7: held inputs, `Λ̄ = e^{ΛΔ}`, `h ← Λ̄ h + Λ⁻¹ (Λ̄ − 1) x`. Each state stands for a
  /// pair of conjugates: what comes out is twice the conjugate of h, so that a product with Re C and Im C
  /// side by side is the sum over both of C h. In float whatever the precision of products.
  /// The tensor is `[B, T, 2N]`, real parts and then imaginary ones of `B̃ u`.
  /// - Parameter weights: Of the states.
  /// - Returns: `[B, T, 2N]`.
  public func diagonalSSM(weights: DiagonalSSMWeights) -> Tensor {
    let steps = DiscreteSteps(weights)
    let call = steps.shape(of: self)
    let y = Tensor(uninitialized: shape)
    var shape = call
    withPointers(y.out, self, steps.decay, steps.gain) {
      apus_complex_scan_f32($0, nil, $1, $2, $3, &shape)
    }
    let inputs = [self, weights.decay, weights.frequency, weights.logStep]
    guard Tensor.records(inputs) else { return y }
    let (x, kept) = (detached(), y.detached())
    return y.tracked(from: inputs) { dy in
      let dx = Tensor(uninitialized: x.shape)
      let (ddecay, dgain) = (
        Tensor(uninitialized: steps.decay.shape), Tensor(uninitialized: steps.gain.shape)
      )
      var shape = call
      withPointers(dx.out, ddecay.out, dgain.out, dy, kept, x) { dx, ddecay, dgain, dy, y, x in
        withPointers(steps.decay, steps.gain) {
          apus_complex_scan_backward_f32(dx, ddecay, dgain, dy, y, x, $0, $1, &shape)
        }
      }
      return [dx] + steps.gradients(ddecay.values, dgain.values)
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func diagonalSSM(weights: DiagonalSSMWeights, state: inout DiagonalSSMState) -> Tensor {
    let steps = DiscreteSteps(weights)
    var shape = steps.shape(of: self)
    ensure(
      state.values.shape == [shape.batch, 2, shape.states],
      "diagonalSSM: the state is \(state.values.shape), the input \(self.shape)")
    state.values.makeUnique()
    let y = Tensor(uninitialized: self.shape)
    withPointers(y.out, state.values.out, self, steps.decay, steps.gain) {
      apus_complex_scan_f32($0, $1, $2, $3, $4, &shape)
    }
    return y
  }
}

/// A complex number in double.
private struct Complex {
  var re: Double, im: Double

  static func + (a: Complex, b: Complex) -> Complex { Complex(re: a.re + b.re, im: a.im + b.im) }
  static func * (a: Complex, b: Complex) -> Complex {
    Complex(re: a.re * b.re - a.im * b.im, im: a.re * b.im + a.im * b.re)
  }
  static func * (a: Double, b: Complex) -> Complex { Complex(re: a * b.re, im: a * b.im) }
  static func / (a: Complex, b: Complex) -> Complex {
    1 / (b.re * b.re + b.im * b.im) * (a * b.conjugate)
  }
  var conjugate: Complex { Complex(re: re, im: -im) }
}

/// Λ̄ and 2 Λ⁻¹ (Λ̄ − 1) of every state.
private struct DiscreteSteps {
  let decay: Tensor, gain: Tensor
  private let decays: [Float], frequencies: [Float], steps: [Double]

  init(_ weights: DiagonalSSMWeights) {
    let count = weights.decay.count
    ensure(
      weights.frequency.count == count && weights.logStep.count == count,
      "diagonalSSM: \(count) decays, \(weights.frequency.shape), \(weights.logStep.shape)")
    (decays, frequencies) = (weights.decay.values, weights.frequency.values)
    steps = weights.logStep.values.map { exp(Double($0)) }
    var (decay, gain) = (
      [Float](repeating: 0, count: 2 * count), [Float](repeating: 0, count: 2 * count)
    )
    for n in 0..<count {
      let (whole, held) = Self.discrete(Self.rate(decays[n], frequencies[n]), step: steps[n])
      (decay[n], decay[count + n]) = (Float(whole.re), Float(whole.im))
      (gain[n], gain[count + n]) = (Float(2 * held.re), Float(2 * held.im))
    }
    (self.decay, self.gain) = (Tensor(decay, [2, count]), Tensor(gain, [2, count]))
  }

  func shape(of x: Tensor) -> apus_complex_scan_shape {
    ensure(
      x.shape[2] == decay.count, "diagonalSSM: rows of \(x.shape) and \(decay.count / 2) states")
    return apus_complex_scan_shape(
      batch: x.shape[0], time: x.shape[1], states: decay.count / 2)
  }

  /// Λ; what decays by less than this would not fade, and divides.
  private static func rate(_ decay: Float, _ frequency: Float) -> Complex {
    Complex(re: -max(abs(Double(decay)), 1e-4), im: Double(frequency))
  }

  /// Λ̄ and Λ⁻¹ (Λ̄ − 1). e^z − 1 = e^x cos y − 1 + i e^x sin y, without cancellation for small z.
  private static func discrete(_ rate: Complex, step: Double) -> (whole: Complex, held: Complex) {
    let z = step * rate
    let (shrunk, half) = (expm1(z.re), sin(z.im / 2))
    let less = Complex(
      re: shrunk - 2 * (shrunk + 1) * half * half, im: (shrunk + 1) * sin(z.im))
    return (Complex(re: less.re + 1, im: less.im), less / rate)
  }

  /// The gradients of Re Λ, Im Λ and ln Δ. With g for ∂/∂Re + i ∂/∂Im, a holomorphic step f passes
  /// the conjugate of f′ times g on.
  func gradients(_ ddecay: [Float], _ dgain: [Float]) -> [Tensor] {
    let count = decays.count
    var result = [[Float]](repeating: [Float](repeating: 0, count: count), count: 3)
    for n in 0..<count {
      let (rate, step) = (Self.rate(decays[n], frequencies[n]), steps[n])
      let (whole, held) = Self.discrete(rate, step: step)
      let dwhole = Complex(re: Double(ddecay[n]), im: Double(ddecay[count + n]))
      let dheld = 2 * Complex(re: Double(dgain[n]), im: Double(dgain[count + n]))
      // ∂Λ̄/∂Λ = Δ Λ̄, ∂held/∂Λ = (Δ Λ̄ − held) / Λ, ∂Λ̄/∂Δ = Λ Λ̄, ∂held/∂Δ = Λ̄.
      let bend = (step * whole + -1 * held) / rate
      let drate = (step * whole).conjugate * dwhole + bend.conjugate * dheld
      let dstep = (rate * whole).conjugate * dwhole + whole.conjugate * dheld
      let isFree = abs(decays[n]) > 1e-4
      result[0][n] = isFree ? Float(decays[n] < 0 ? drate.re : -drate.re) : 0
      result[1][n] = Float(drate.im)
      result[2][n] = Float(dstep.re * step)
    }
    return result.map { Tensor($0, [count]) }
  }
}
