import CApusKernels

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// The machine as the kernels see it.
public enum Machine {
  /// The number of threads of the kernels.
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

  /// The most bytes that one process can have: those of the machine, or fewer where the system limits it.
  public static let memoryBytes: Int = {
    let pages = sysconf(Int32(_SC_PHYS_PAGES)), size = sysconf(Int32(_SC_PAGESIZE))
    let physical = pages > 0 && size > 0 ? pages * size : .max
    var limit = rlimit()
    guard getrlimit(addressLimit, &limit) == 0 else { return physical }
    return min(physical, Int(clamping: limit.rlim_cur))
  }()

  /// Bytes of tensors alive now.
  public static var bytesInUse: Int { apus_buffer_bytes_in_use() }

  /// The most bytes of tensors alive at once since the last reset.
  public static var peakBytes: Int { apus_buffer_peak_bytes() }

  /// Starts a new measurement of ``peakBytes``.
  public static func resetPeakBytes() { apus_buffer_reset_peak() }

  /// Gives cached, unused memory back to the system.
  public static func trimMemory() { apus_buffer_trim() }
}

#if canImport(Glibc)
  private let addressLimit = __rlimit_resource_t(RLIMIT_AS.rawValue)
#else
  private let addressLimit = RLIMIT_AS
#endif
