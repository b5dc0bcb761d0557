/// What the elements of a tensor are. Arithmetic is in ``float32``; the others are for storage.
public enum DType: String, Sendable, Hashable, CaseIterable, Codable {
  case float32 = "F32"
  case bfloat16 = "BF16"
  case float16 = "F16"
  case int32 = "I32"

  /// Bytes of one element.
  public var size: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    }
  }
}
