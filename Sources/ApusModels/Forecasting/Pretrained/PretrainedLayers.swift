import ApusNN
import ApusTensor

/// `output(relu(hidden x)) + residual x`: the map between patches and tokens of several families.
struct ResidualMap {
  private let hidden: Linear, output: Linear, residual: Linear

  init(_ inputs: Int, inner: Int, outputs: Int, in scope: Scope) throws {
    hidden = try Linear(inputs, inner, in: scope["hidden_layer"])
    output = try Linear(inner, outputs, in: scope["output_layer"])
    residual = try Linear(inputs, outputs, in: scope["residual_layer"])
  }

  func callAsFunction(_ x: Tensor) -> Tensor {
    output(Activation.relu(hidden(x))) + residual(x)
  }
}

/// The mean and the deviation that a context is normalized by; values that are missing do not count.
struct ContextScale {
  let mean: Double
  let deviation: Double

  /// - Parameters:
  ///   - values: The context; NaN where missing.
  ///   - flat: What stands for a deviation of 0, by the mean.
  init(_ values: some Sequence<Float>, flat: (_ mean: Double) -> Double) {
    let present = values.filter(\.isFinite).map(Double.init)
    let mean = present.isEmpty ? 0 : present.reduce(0, +) / Double(present.count)
    let squares = present.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let deviation = present.isEmpty ? 1 : (squares / Double(present.count)).squareRoot()
    (self.mean, self.deviation) = (mean, deviation == 0 ? flat(mean) : deviation)
  }

  func normal(_ value: Float) -> Float {
    value.isFinite ? Float((Double(value) - mean) / deviation) : .nan
  }

  func own(_ value: Float) -> Float { Float(Double(value) * deviation + mean) }
}

extension Array where Element == Float {
  /// What a patch is read as: its values, 0 where missing, and behind them which are there.
  var maskedPatch: [Float] {
    map { $0.isFinite ? $0 : 0 } + map { $0.isFinite ? Float(1) : 0 }
  }
}

/// A quantile of sorted numbers, between the two that it falls between. At least one number.
func interpolated(_ sorted: [Float], at level: Double) -> Float {
  let place = level * Double(sorted.count - 1)
  let low = min(max(Int(place), 0), sorted.count - 1)
  let high = min(low + 1, sorted.count - 1)
  return sorted[low] + Float(place - Double(low)) * (sorted[high] - sorted[low])
}
