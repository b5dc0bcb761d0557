import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Cross-entropy")
  struct CrossEntropyTests {
    /// Losses, and the logits as the call left them.
    func kernel(_ logits: [Float], _ targets: [Int32], scale: Float) -> (
      losses: [Float], logits: [Float]
    ) {
      let (rows, vocabulary) = (targets.count, logits.count / targets.count)
      var left = [Float]()
      let losses = output(rows) { losses in
        left = output(logits.count) { y in
          y.update(from: logits, count: logits.count)
          apus_cross_entropy_f32(y, losses, targets, rows, vocabulary, scale)
        }
      }
      return (losses, left)
    }

    func reference(_ logits: [Float], _ targets: [Int32], scale: Float) -> (
      losses: [Float], logits: [Float]
    ) {
      var (y, losses) = (logits, [Float](repeating: 0, count: targets.count))
      apus_cross_entropy_reference_f32(
        &y, &losses, targets, targets.count, logits.count / targets.count, scale)
      return (losses, y)
    }

    @Test(
      "it agrees with the scalar reference", arguments: [1, 3, 9],
      [1, 3, 7, 16, 33, 257, 1025, 2048, 5003])
    func agrees(rows: Int, vocabulary: Int) {
      let logits = random(rows * vocabulary, seed: 1, scale: 6)
      // One row in four has no target.
      let targets = (0..<rows).map { $0 % 4 == 3 ? -1 : Int32($0 * 17 % vocabulary) }
      let expected = reference(logits, targets, scale: 0.125)
      onEveryTarget { target in
        let (losses, gradient) = kernel(logits, targets, scale: 0.125)
        expectClose(losses, expected.losses, relative: 2e-6, absolute: 1e-6, target)
        expectClose(gradient, expected.logits, relative: 5e-6, absolute: 1e-7, target)
        let (again, untouched) = kernel(logits, targets, scale: 0)
        expectClose(again, losses, relative: 1e-6, absolute: 1e-6, target)
        expectClose(untouched, logits, "without a gradient the logits stay, \(target)")
      }
    }

    @Test("it computes an example worked by hand")
    func byHand() {
      // softmax(0, ln 3) = (1/4, 3/4)
      let (losses, gradient) = kernel([0, Float(log(3.0))], [0], scale: 2)
      expectClose(losses, [Float(log(4.0))], relative: 1e-6)
      expectClose(gradient, [-1.5, 1.5], relative: 1e-6)
    }

    @Test("its reference gradient agrees with finite differences in double")
    func gradient() {
      let logits = random(14, seed: 2, scale: 2)
      let targets: [Int32] = [3, 6]
      func loss(_ x: [Double]) -> Double {
        (0..<2).reduce(0) { sum, row in
          let line = x[row * 7..<row * 7 + 7]
          return sum + log(line.reduce(0) { $0 + exp($1) }) - x[row * 7 + Int(targets[row])]
        }
      }
      let measured = numericalGradient(of: loss, at: logits)
      expectClose(
        reference(logits, targets, scale: 1).logits, measured, relative: 1e-5, absolute: 1e-6)
    }

    @Test("it stays finite for huge logits, masked ones and whole masked chunks")
    func extremes() {
      var logits = [Float](repeating: -.infinity, count: 6000)
      logits[5999] = 1000
      logits[3] = 999
      onEveryTarget { target in
        let (losses, gradient) = kernel(logits, [3], scale: 1)
        expectClose(losses, [1.313_261_7], relative: 1e-6, target)
        expectClose(
          [gradient[3], gradient[5999], gradient[2500]], [-0.731_058_6, 0.731_058_6, 0],
          relative: 1e-5, target)
        #expect(kernel(logits, [5], scale: 1).losses == [.infinity], "\(target)")
        #expect(kernel([1, .nan, 2], [0], scale: 1).losses[0].isNaN, "\(target)")
        #expect(kernel([1, .infinity, 2], [0], scale: 1).losses[0].isNaN, "\(target)")
      }
    }

    @Test("it refuses a target past the vocabulary without touching other memory")
    func pastVocabulary() {
      onEveryTarget { target in
        let (losses, gradient) = kernel([1, 2, 3, 4], [2, 1], scale: 1)
        #expect(losses[0].isNaN && losses[1].isFinite, "\(target)")
        expectClose(Array(gradient.prefix(2)), [0, 0], target)
      }
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let logits = random(40 * 1025, seed: 4)
      let targets = (0..<40).map { Int32($0) }
      expectSameBitsAtAnyThreadCount("cross-entropy") {
        let (losses, gradient) = kernel(logits, targets, scale: 1)
        return losses + gradient
      }
    }
  }
}
