import ApusModels
public import ApusTensor

/// A model's answer that is no finite number.
public struct NotFiniteError: Error, Equatable {
  /// What was to be answered, such as `the forecast of series 'oil'`.
  public let subject: String
  /// The architecture.
  public let model: String
  /// The first tensor of the model that holds an infinite value or none; nil when all are finite.
  public let tensor: String?

  /// Looks for the cause in a model's weights.
  public init(_ subject: String, model: String, parameters: [Parameter]) {
    (self.subject, self.model) = (subject, model)
    tensor = parameters.first { !$0.value.values.allSatisfy(\.isFinite) }?.name
  }
}

extension NotFiniteError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what to do.
  public var description: String {
    let cause =
      tensor.map { "its tensor '\($0)' holds one; save or fetch the model again" }
      ?? "its weights are finite, but too large for float32, or the input is"
    return "The model '\(model)' gives numbers that are not finite for \(subject): \(cause)."
  }
}

extension Forecaster {
  /// Throws ``NotFiniteError`` unless all `quantiles` are numbers.
  func requireFinite(_ quantiles: [[Double]], for subject: String) throws(NotFiniteError) {
    guard !quantiles.joined().allSatisfy(\.isFinite) else { return }
    throw NotFiniteError(subject, model: config.backbone.architecture.name, parameters: parameters)
  }
}
