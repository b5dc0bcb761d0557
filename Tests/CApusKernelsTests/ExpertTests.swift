import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Experts")
  struct ExpertTests {
    /// n tokens, X experts, k of them.
    struct Sizes: CustomTestStringConvertible {
      var (tokens, experts, chosen): (Int, Int, Int)
      var testDescription: String { "n \(tokens) X \(experts) k \(chosen)" }
      func shape(norm: Float) -> apus_route_shape {
        apus_route_shape(tokens: tokens, experts: experts, chosen: chosen, norm: norm)
      }
    }

    static let sizes = [
      Sizes(tokens: 1, experts: 1, chosen: 1), Sizes(tokens: 7, experts: 3, chosen: 2),
      Sizes(tokens: 33, experts: 16, chosen: 4), Sizes(tokens: 5, experts: 9, chosen: 9),
      Sizes(tokens: 200, experts: 37, chosen: 3), Sizes(tokens: 0, experts: 4, chosen: 2),
    ]

    struct Routes: Equatable {
      var (chosen, weights): ([Int32], [Float])
      var (probabilities, logSums): ([Float], [Float])
    }

    typealias Route = (
      UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Int32>?,
      UnsafeMutablePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Int32>?,
      UnsafePointer<apus_route_shape>?
    ) -> Void

    func route(
      _ sizes: Sizes, norm: Float, logits: [Float], visible: [Int32]? = nil, by kernel: Route
    ) -> Routes {
      var shape = sizes.shape(norm: norm)
      var chosen = [Int32](repeating: 77, count: sizes.tokens * sizes.chosen)
      var (logSums, probabilities) = ([Float](), [Float]())
      let weights = output(chosen.count) { weights in
        logSums = output(sizes.tokens) { logSums in
          probabilities = output(logits.count) {
            kernel($0, logSums, &chosen, weights, logits, visible, &shape)
          }
        }
      }
      return Routes(
        chosen: chosen, weights: weights, probabilities: probabilities, logSums: logSums)
    }

    @Test("routes agree with the scalar reference", arguments: sizes, [0, 1, 2, 1.5] as [Float])
    func routes(sizes: Sizes, norm: Float) {
      let logits = random(sizes.tokens * sizes.experts, seed: 1, scale: 2)
      var visible = random(logits.count, seed: 2).map { Int32($0 > -0.3 ? 1 : 0) }
      visible.replaceSubrange(0..<min(sizes.experts, visible.count), with: [])  // shorter by a row
      visible += [Int32](repeating: 0, count: logits.count - visible.count)  // which sees nothing
      for seen in [nil, visible] {
        let expected = route(
          sizes, norm: norm, logits: logits, visible: seen, by: apus_expert_route_reference_f32)
        onEveryTarget { target in
          let found = route(
            sizes, norm: norm, logits: logits, visible: seen, by: apus_expert_route_f32)
          #expect(found.chosen == expected.chosen, "\(target)")
          expectClose(found.weights, expected.weights, relative: 3e-6, target)
          expectClose(found.probabilities, expected.probabilities, relative: 3e-6, target)
          expectClose(found.logSums, expected.logSums, relative: 1e-6, absolute: 1e-6, target)
        }
      }
    }

    @Test("of equal logits the lower experts are taken, in ascending order")
    func ties() {
      let sizes = Sizes(tokens: 2, experts: 5, chosen: 3)
      let logits: [Float] = [1, 1, 1, 1, 1, 0, 3, 0, 0, 3]
      let found = route(sizes, norm: 1, logits: logits, by: apus_expert_route_f32)
      #expect(found.chosen == [0, 1, 2, 0, 1, 4])
      expectClose(Array(found.weights.prefix(3)), [1, 1, 1].map { $0 / 3 }, relative: 1e-6)
    }

    @Test("huge and broken logits choose k different experts all the same")
    func extremes() {
      let sizes = Sizes(tokens: 3, experts: 4, chosen: 2)
      let logits: [Float] = [3e38, -3e38, 0, 3e38, .nan, .nan, .nan, .nan, 1, .nan, 5, 2]
      let found = route(sizes, norm: 1, logits: logits, by: apus_expert_route_f32)
      #expect(Array(found.chosen.prefix(4)) == [0, 3, 0, 1])
      expectClose(Array(found.weights.prefix(2)), [0.5, 0.5])
      for token in 0..<3 {
        let pair = Set(found.chosen[2 * token..<2 * token + 2])
        #expect(pair.count == 2 && pair.allSatisfy { (0..<4).contains($0) })
      }
    }

    @Test(
      "gradients of gates agree with the reference", arguments: sizes, [0, 1, 2, 1.5] as [Float])
    func gradients(sizes: Sizes, norm: Float) {
      let logits = random(sizes.tokens * sizes.experts, seed: 3, scale: 2)
      let routes = route(sizes, norm: norm, logits: logits, by: apus_expert_route_reference_f32)
      let dweights = random(routes.weights.count, seed: 4)
      var (shape, expected) = (sizes.shape(norm: norm), logits)
      apus_expert_route_backward_reference_f32(
        &expected, dweights, routes.probabilities, routes.chosen, routes.weights, &shape)
      onEveryTarget { target in
        let found = output(logits.count) {
          apus_expert_route_backward_f32(
            $0, dweights, routes.probabilities, routes.chosen, routes.weights, &shape)
        }
        expectClose(found, expected, relative: 1e-5, absolute: 1e-6, target)
        if norm == 1 {  // nothing at all flows to experts that were not taken
          for index in found.indices {
            let token = index / sizes.experts
            let taken = routes.chosen[token * sizes.chosen..<(token + 1) * sizes.chosen]
            let isTaken = taken.contains(Int32(index % sizes.experts))
            #expect(isTaken || found[index] == 0, "\(target): element \(index)")
          }
        }
      }
    }

    @Test("reference gradients of gates agree with finite differences", arguments: [0, 1, 2, 1.5])
    func differences(norm: Double) {
      let sizes = Sizes(tokens: 3, experts: 5, chosen: 2)
      let logits = random(15, seed: 5)
      let routes = route(
        sizes, norm: Float(norm), logits: logits, by: apus_expert_route_reference_f32)
      let dweights = random(6, seed: 6)
      func loss(_ logits: [Double]) -> Double {
        (0..<3).reduce(0) { sum, token in
          let row = logits[token * 5..<token * 5 + 5].map { exp($0) }
          let total = row.reduce(0, +)
          let chosen = routes.chosen[token * 2..<token * 2 + 2].map { row[Int($0)] / total }
          let length = chosen.reduce(0) { $0 + pow($1, norm) }
          let scale = norm == 0 ? 1 : pow(length, 1 / norm)
          return sum
            + (0..<2).reduce(0) { $0 + Double(dweights[token * 2 + $1]) * chosen[$1] / scale }
        }
      }
      var (shape, found) = (sizes.shape(norm: Float(norm)), logits)
      apus_expert_route_backward_reference_f32(
        &found, dweights, routes.probabilities, routes.chosen, routes.weights, &shape)
      expectClose(
        found, numericalGradient(of: loss, at: logits), relative: 1e-4, absolute: 1e-6)
    }

    @Test("gradients of the router's losses agree with the reference", arguments: sizes)
    func losses(sizes: Sizes) {
      let logits = random(sizes.tokens * sizes.experts, seed: 7)
      let routes = route(sizes, norm: 0, logits: logits, by: apus_expert_route_reference_f32)
      let slopes = random(sizes.experts, seed: 8)
      var expected = logits
      apus_router_losses_backward_reference_f32(
        &expected, routes.probabilities, routes.logSums, slopes, 0.3, sizes.tokens, sizes.experts)
      onEveryTarget { target in
        let found = output(logits.count) {
          apus_router_losses_backward_f32(
            $0, routes.probabilities, routes.logSums, slopes, 0.3, sizes.tokens, sizes.experts)
        }
        expectClose(found, expected, relative: 1e-5, absolute: 1e-6, target)
      }
    }
  }
}
