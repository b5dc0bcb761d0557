import CApusKernels

/// The machine as the kernels see it.
public enum Machine {
  /// How many threads the kernels use.
  public static var threads: Int { Int(apus_threads()) }

  /// Sets how many threads the kernels use; 0 means all cores. Returns the count in force, which is
  /// at most the number of cores. No result depends on it.
  @discardableResult
  public static func setThreads(_ count: Int) -> Int {
    Int(apus_set_threads(Int32(clamping: count)))
  }

  /// The vector instruction set of the kernels, such as "AVX2". The environment variable
  /// `APUS_MAX_TARGET` caps it.
  public static var instructionSet: String { String(cString: apus_isa_name()) }

  /// The instruction sets that the kernels could use here, best first.
  public static var availableInstructionSets: [String] {
    String(cString: apus_available_targets()).split(separator: " ").map(String.init)
  }

  /// Caps the instruction set; nil lifts the cap. False, and nothing changed, when the CPU lacks it.
  package static func capInstructionSet(_ name: String?) -> Bool { apus_cap_target(name) != 0 }

  /// The instruction set of the matrix products.
  public static var productInstructionSet: String { String(cString: apus_product_isa_name()) }

  /// Whether the CPU multiplies bfloat16.
  public static var hasBFloat16Products: Bool { apus_has_bf16_products() != 0 }

  /// Bytes of tensors alive now.
  public static var bytesInUse: Int { apus_buffer_bytes_in_use() }

  /// The most bytes of tensors alive at once since the last reset.
  public static var peakBytes: Int { apus_buffer_peak_bytes() }

  /// Starts a new measurement of ``peakBytes``.
  public static func resetPeakBytes() { apus_buffer_reset_peak() }

  /// Gives cached, unused memory back to the system.
  public static func trimMemory() { apus_buffer_trim() }
}
