/// The type of the elements of a tensor. Arithmetic is in ``float32``; the others are for storage.
public enum DType: String, Sendable, Hashable, CaseIterable, Codable {
  /// IEEE single precision.
  case float32 = "F32"
  /// The upper half of single precision.
  case bfloat16 = "BF16"
  /// IEEE half precision.
  case float16 = "F16"
  /// Signed integers, for ids.
  case int32 = "I32"

  /// Bytes of one element.
  public var size: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    }
  }
}
