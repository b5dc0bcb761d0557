import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Shared queries and keys")
  struct SharedQueryKeyTests {
    let epsilon: Float = 1e-5

    @Test(
      "agrees with the reference, forward and backward", arguments: [1, 3, 40],
      [(1, 2), (2, 3), (1, 16), (3, 33), (2, 257)])
    func agrees(rows: Int, sizes: (heads: Int, size: Int)) {
      let (heads, size) = sizes
      let width = heads * size
      let z = random(rows * width, seed: 1)
      let (gain, bias) = (random(2 * width, seed: 2), random(2 * width, seed: 3))
      let dqk = random(rows * 2 * width, seed: 4)
      var (expected, scales) = (dqk, [Float](repeating: 0, count: rows * heads))
      apus_shared_query_key_reference_f32(
        &expected, &scales, z, gain, bias, rows, heads, size, epsilon)
      var (dz, dgain, dbias) = (z, gain, bias)
      apus_shared_query_key_backward_reference_f32(
        &dz, &dgain, &dbias, dqk, z, gain, scales, rows, heads, size)
      onEveryTarget { target in
        var found: [Float] = []
        let actual = output(rows * 2 * width) { qk in
          found = output(rows * heads) {
            apus_shared_query_key_f32(qk, $0, z, gain, bias, rows, heads, size, epsilon)
          }
        }
        expectClose(actual, expected, ofLargest: 2e-6, "qk, \(target)")
        expectClose(found, scales, relative: 2e-6, "scales, \(target)")
        var (actualGain, actualBias) = ([Float](), [Float]())
        let actualZ = output(rows * width) { dz in
          actualGain = output(2 * width) { dgain in
            actualBias = output(2 * width) {
              apus_shared_query_key_backward_f32(
                dz, dgain, $0, dqk, z, gain, scales, rows, heads, size)
            }
          }
        }
        expectClose(actualZ, dz, ofLargest: 1e-5, terms: 0.1, "dz, \(target)")
        expectClose(actualGain, dgain, ofLargest: 1e-5, terms: 0.1, "dgain, \(target)")
        expectClose(actualBias, dbias, ofLargest: 1e-5, terms: 0.1, "dbias, \(target)")
      }
    }

    @Test("has a reference whose gradients are those of finite differences")
    func gradient() {
      let (rows, heads, size) = (3, 2, 3)
      let z = random(rows * 6, seed: 5)
      let (gain, bias) = (random(12, seed: 6), random(12, seed: 7))
      let dqk = random(rows * 12, seed: 8)
      var (qk, scales) = (dqk, [Float](repeating: 0, count: rows * heads))
      apus_shared_query_key_reference_f32(
        &qk, &scales, z, gain, bias, rows, heads, size, epsilon)
      var (dz, dgain, dbias) = (z, gain, bias)
      apus_shared_query_key_backward_reference_f32(
        &dz, &dgain, &dbias, dqk, z, gain, scales, rows, heads, size)
      let measured = numericalGradient(
        of: { values in
          var sum = 0.0
          for (row, head) in (0..<rows).flatMap({ row in (0..<heads).map { (row, $0) } }) {
            let start = row * 6 + head * size
            let own = Array(values[start..<start + size])
            let mean = own.reduce(0) { $0 + $1 * $1 } / Double(size)
            for (part, i) in (0..<2).flatMap({ part in (0..<size).map { (part, $0) } }) {
              let at = part * 6 + head * size + i
              let normal = own[i] / (mean + Double(epsilon)).squareRoot()
              let y =
                normal * (1 + values[18 + at]) / Double(size).squareRoot() + values[30 + at]
              sum += y * Double(dqk[row * 12 + at])
            }
          }
          return sum
        }, at: z + gain + bias)
      expectClose(dz + dgain + dbias, measured, ofLargest: 1e-5)
    }

    @Test("gives the same bits at any thread count")
    func threads() {
      let (rows, heads, size) = (700, 2, 65)
      let (z, gain) = (random(rows * 130, seed: 9), random(260, seed: 10))
      let dqk = random(rows * 260, seed: 11)
      expectSameBitsAtAnyThreadCount("shared queries and keys") {
        var (qk, scales) = (dqk, [Float](repeating: 0, count: rows * heads))
        apus_shared_query_key_f32(&qk, &scales, z, gain, gain, rows, heads, size, epsilon)
        var (dz, dgain, dbias) = (z, gain, gain)
        apus_shared_query_key_backward_f32(
          &dz, &dgain, &dbias, dqk, z, gain, scales, rows, heads, size)
        return qk + dz + dgain + dbias
      }
    }
  }
}
