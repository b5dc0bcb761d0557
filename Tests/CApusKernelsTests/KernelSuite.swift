import ApusTestSupport
import CApusKernels
import Testing

/// All tests of kernels, one after the other: they switch instruction set and thread count for the
/// whole process. A file adds its suite in an extension of this one.
@Suite("Kernels", .serialized, .changesMachine)
enum Kernels {
  /// Lengths around the widths of vectors and past them.
  static let sizes = [1, 3, 7, 16, 33, 257, 1025]

  /// The instruction sets to be tested, best first.
  static let targets = testedInstructionSets
}

/// Runs `body` once per instruction set, then returns to the best.
func onEveryTarget(_ body: (_ target: String) -> Void) {
  for target in Kernels.targets {
    #expect(apus_cap_target(target) == 1, "\(target) is listed but cannot be chosen")
    body(target)
  }
  _ = apus_cap_target(nil)
}

/// The bits of a float that no kernel computes: what outputs hold before, and what stands around them.
let poison = Float(bitPattern: 0x7FC0_DEAD)

/// An output of `count` floats, filled with not-a-number, off alignment, with guards on both sides
/// that must survive.
func output(_ count: Int, _ body: (_ y: UnsafeMutablePointer<Float>) -> Void) -> [Float] {
  let guardSize = 17
  var memory = [Float](repeating: poison, count: count + 2 * guardSize)
  memory.withUnsafeMutableBufferPointer { buffer in
    if let base = buffer.baseAddress { body(base + guardSize) }
  }
  let outside = memory.prefix(guardSize) + memory.suffix(guardSize)
  #expect(
    outside.allSatisfy { $0.bitPattern == poison.bitPattern }, "wrote outside \(count) elements")
  return Array(memory[guardSize..<guardSize + count])
}

/// Normal-ish random floats in −2 … 2 times `scale`, the same for every run: SplitMix64.
func random(_ count: Int, seed: UInt64, scale: Float = 1) -> [Float] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15
  func unit() -> Float {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Float((z ^ (z >> 31)) >> 40) / 16_777_216
  }
  return (0..<count).map { _ in (unit() + unit() + unit() + unit() - 2) * scale }
}

/// Expects every element of `actual` within `absolute + relative · |expected|`; not-a-number and
/// infinities must agree.
func expectClose(
  _ actual: [Float], _ expected: [Float], relative: Float = 0, absolute: Float = 0,
  _ context: @autoclosure () -> String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(actual.count == expected.count, sourceLocation: sourceLocation)
  for (index, (a, e)) in zip(actual, expected).enumerated() where a != e {
    if a.isNaN && e.isNaN && a.bitPattern != poison.bitPattern { continue }
    if abs(a - e) <= absolute + relative * abs(e) { continue }
    Issue.record(
      "\(context()): element \(index) is \(a), expected \(e)", sourceLocation: sourceLocation)
    return
  }
}

/// Expects the same bits from `make` at one thread and at two.
func expectSameBitsAtAnyThreadCount(
  _ context: String, sourceLocation: SourceLocation = #_sourceLocation, _ make: () -> [Float]
) {
  apus_set_threads(1)
  let one = make()
  apus_set_threads(2)
  let two = make()
  apus_set_threads(0)
  let same = zip(one, two).allSatisfy { $0.bitPattern == $1.bitPattern }
  #expect(same, "\(context): two threads give other bits than one", sourceLocation: sourceLocation)
}

/// Central differences of `f` at `x`, in double.
func numericalGradient(of f: ([Double]) -> Double, at x: [Float], step: Double = 1e-5) -> [Float] {
  let point = x.map(Double.init)
  return point.indices.map { index in
    var (left, right) = (point, point)
    left[index] -= step
    right[index] += step
    return Float((f(right) - f(left)) / (2 * step))
  }
}
