import CApusKernels
import Foundation
import Testing

extension Kernels {
  @Suite("Causal convolution with SiLU")
  struct CausalConvTests {
    @Test(
      "agrees with the reference, forward and backward",
      arguments: [1, 3, 7, 16, 33], [1, 2, 3, 4, 5])
    func agreesWithReference(channels: Int, width: Int) {
      for time in [1, 2, 3, 5, 64, 65, 130] {
        let conv = Conv(time: time, channels: channels, width: width, seed: 1)
        let expected = conv.forward(reference: true)
        let gradients = conv.backward(reference: true)
        onEveryTarget { target in
          let context = "\(target), T \(time), E \(channels), K \(width)"
          let actual = conv.forward()
          expectClose(actual.y, expected.y, ofLargest: 1e-5, "y, \(context)")
          expectClose(actual.window, expected.window, ofLargest: 0, "window, \(context)")
          let g = conv.backward()
          expectClose(g.dx, gradients.dx, ofLargest: 1e-5, "dx, \(context)")
          expectClose(g.dweight, gradients.dweight, ofLargest: 1e-5, "dweight, \(context)")
          expectClose(g.dbias, gradients.dbias, ofLargest: 1e-5, "dbias, \(context)")
        }
      }
    }

    @Test("follows a hand-worked example, without a bias and from zeros")
    func followsExample() {
      // c = 2 · x_t + 1 · x_{t−1}: 2, 7, 12 for x = 1, 3, 4.5.
      var y = [Float](repeating: poison, count: 3)
      apus_causal_conv_silu_f32(&y, nil, [1, 3, 4.5], [1, 2], nil, 1, 3, 1, 2, 1)
      let expected = [2.0, 7, 12].map { Float($0 / (1 + exp(-$0))) }
      expectClose(y, expected, relative: 1e-6)
    }

    @Test("continues from its window, also when a part is shorter than it", arguments: [2, 4, 5])
    func continues(width: Int) {
      let conv = Conv(batch: 1, time: 12, channels: 9, width: width, padding: 0, seed: 2)
      let expected = conv.forward()
      for parts in [[1, 1, 1, 9], [2, 3, 7], [5, 1, 6], [12]] {
        var (window, y, first) = (conv.window, [Float](), 0)
        for count in parts {
          var part = [Float](repeating: poison, count: count * 9)
          let x = Array(conv.x[first * 9..<(first + count) * 9])
          apus_causal_conv_silu_f32(
            &part, &window, x, conv.weight, conv.bias, 1, count, 9, width, 9)
          (y, first) = (y + part, first + count)
        }
        #expect(y == expected.y, "parts \(parts)")
        #expect(window == expected.window, "parts \(parts)")
      }
    }

    @Test("gives the same bits at any thread count")
    func ignoresThreads() {
      let conv = Conv(time: 2100, channels: 40, width: 4, seed: 3)
      expectSameBitsAtAnyThreadCount("forward") { conv.forward().y }
      expectSameBitsAtAnyThreadCount("backward") {
        let g = conv.backward()
        return g.dx + g.dweight + g.dbias
      }
    }

    @Test("agrees with the reference where one sequence is cut into many tasks")
    func agreesForLongSequences() {
      let conv = Conv(batch: 1, time: 2100, channels: 5, width: 4, seed: 4)
      let (g, expected) = (conv.backward(), conv.backward(reference: true))
      expectClose(g.dx, expected.dx, ofLargest: 1e-5, "dx")
      expectClose(g.dweight, expected.dweight, ofLargest: 1e-5, "dweight")
      expectClose(g.dbias, expected.dbias, ofLargest: 1e-5, "dbias")
    }

    @Test("has a reference whose gradients are those of finite differences")
    func referenceIsRight() {
      let conv = Conv(time: 5, channels: 2, width: 3, padding: 0, seed: 5)
      let g = conv.backward(reference: true)
      for (name, path, actual) in [
        ("x", \Conv.x, g.dx), ("weight", \Conv.weight, g.dweight), ("bias", \Conv.bias, g.dbias),
      ] {
        let expected = numericalGradient(
          of: { conv.lossInDouble(replacing: path, by: $0) }, at: conv[keyPath: path])
        expectClose(actual, expected, ofLargest: 1e-5, name)
      }
    }
  }
}

/// Inputs of one convolution; rows of x and dx have `padding` floats after them.
struct Conv {
  let batch, time, channels, width, padding: Int
  let x, weight, bias, dy, window: [Float]

  init(batch: Int = 2, time: Int, channels: Int, width: Int, padding: Int = 3, seed: UInt64) {
    (self.batch, self.time, self.channels) = (batch, time, channels)
    (self.width, self.padding) = (width, padding)
    x = random(batch * time * (channels + padding), seed: seed)
    weight = random(channels * width, seed: seed + 1)
    bias = random(channels, seed: seed + 2)
    dy = random(batch * time * channels, seed: seed + 3)
    window = random(batch * (width - 1) * channels, seed: seed + 4)
  }

  func forward(reference: Bool = false) -> (y: [Float], window: [Float]) {
    var (y, window) = ([Float](repeating: poison, count: dy.count), window)
    let run = reference ? apus_causal_conv_silu_reference_f32 : apus_causal_conv_silu_f32
    run(&y, &window, x, weight, bias, batch, time, channels, width, channels + padding)
    return (y, window)
  }

  func backward(reference: Bool = false) -> (dx: [Float], dweight: [Float], dbias: [Float]) {
    var dx = [Float](repeating: poison, count: x.count)
    var dweight = [Float](repeating: poison, count: weight.count)
    var dbias = [Float](repeating: poison, count: bias.count)
    let run =
      reference
      ? apus_causal_conv_silu_backward_reference_f32 : apus_causal_conv_silu_backward_f32
    let stride = channels + padding
    run(
      &dx, &dweight, &dbias, dy, x, weight, bias, batch, time, channels, width, stride, stride)
    return (dx, dweight, dbias)
  }

  /// Σ dy · y from zeros, in double, with one input replaced.
  func lossInDouble(replacing path: KeyPath<Conv, [Float]>, by values: [Double]) -> Double {
    func read(_ other: KeyPath<Conv, [Float]>) -> [Double] {
      other == path ? values : self[keyPath: other].map(Double.init)
    }
    let (x, weight, bias) = (read(\.x), read(\.weight), read(\.bias))
    var loss = 0.0
    for row in 0..<batch * time {
      for e in 0..<channels {
        var c = bias[e]
        for k in 0..<width where row % time - (width - 1) + k >= 0 {
          c += weight[e * width + k] * x[(row - (width - 1) + k) * (channels + padding) + e]
        }
        loss += Double(dy[row * channels + e]) * c / (1 + exp(-c))
      }
    }
    return loss
  }
}
