/// A measure beside the loss, such as MAE or the share of right directions.
public struct NamedMetric: Codable, Sendable, Equatable {
  /// The measured quantity.
  public var name: String
  /// The value, in the unit of the target or as a share.
  public var value: Double
  /// The reference value.
  public var detail: String?

  /// Creates a measure.
  public init(name: String, value: Double, detail: String? = nil) {
    self.name = name
    self.value = value
    self.detail = detail
  }
}
