import ApusNN
import ApusTensor
import Foundation

/// The sizes of a T5 encoder and decoder, under their published keys.
struct T5Sizes: Sendable {
  let width: Int, heads: Int, headSize: Int, inner: Int
  let encoderLayers: Int, decoderLayers: Int
  let buckets: Int, maxDistance: Int
  let epsilon: Float
}

/// A stack of T5: attention with biases by distance, and a feed-forward, each behind a root-mean-square
/// normalization, as forecasts need it: one sequence, and of a decoder one token.
///
/// Raffel et al., 2020, *Exploring the Limits of Transfer Learning with a Unified Text-to-Text
/// Transformer*, arXiv:1910.10683. Shapes: T time, D width, H heads, K head size.
struct T5Encoder {
  private struct Block {
    let attention: T5Attention
    let feedForward: T5FeedForward
  }

  private let blocks: [Block]
  private let biases: Parameter
  private let norm: RMSNorm
  private let sizes: T5Sizes

  init(_ sizes: T5Sizes, in scope: Scope) throws {
    self.sizes = sizes
    blocks = try (0..<sizes.encoderLayers).map { layer in
      let scope = scope["block"][layer]["layer"]
      return Block(
        attention: try T5Attention(sizes, "SelfAttention", in: scope[0]),
        feedForward: try T5FeedForward(sizes, in: scope[1]))
    }
    biases = try scope["block"][0]["layer"][0]["SelfAttention"]["relative_attention_bias"]
      .parameter("weight", [sizes.buckets, sizes.heads], .zeros)
    norm = try RMSNorm(sizes.width, epsilon: sizes.epsilon, in: scope["final_layer_norm"])
  }

  /// - Parameters:
  ///   - x: `[T, D]`.
  ///   - visible: Which tokens may be looked at, T of them; at least one.
  /// - Returns: `[T, D]`.
  func callAsFunction(_ x: Tensor, visible: [Bool]) -> Tensor {
    let bias = distanceBiases(x.shape[0])
    var x = x
    for block in blocks {
      x = block.attention(x, over: nil, bias: bias, visible: visible)
      x = block.feedForward(x)
    }
    return norm(x)
  }

  /// `[H][T · T]`: what a score gets by how far the key stands behind or before the query.
  private func distanceBiases(_ time: Int) -> [[Float]] {
    let table = biases.value.values
    return (0..<sizes.heads).map { head in
      let byDistance = (1 - time..<time).map { distance in
        table[bucket(of: distance) * sizes.heads + head]
      }
      return (0..<time).flatMap { query in
        (0..<time).map { key in byDistance[key - query + time - 1] }
      }
    }
  }

  /// Half of the buckets for keys behind, half for those before; near distances have their own, far ones
  /// share them by their logarithm.
  private func bucket(of distance: Int) -> Int {
    let half = sizes.buckets / 2
    let (start, size) = (distance > 0 ? half : 0, abs(distance))
    let exact = half / 2
    if size < exact { return start + size }
    let ratio =
      log(Float(size) / Float(exact)) / Float(log(Double(sizes.maxDistance) / Double(exact)))
    return start + min(exact + Int(ratio * Float(half - exact)), half - 1)
  }
}

/// The decoder for one token: it sees itself and all of the encoder's.
struct T5Decoder {
  private struct Block {
    let own: T5Attention
    let cross: T5Attention
    let feedForward: T5FeedForward
  }

  private let blocks: [Block]
  private let norm: RMSNorm

  init(_ sizes: T5Sizes, in scope: Scope) throws {
    blocks = try (0..<sizes.decoderLayers).map { layer in
      let scope = scope["block"][layer]["layer"]
      return Block(
        own: try T5Attention(sizes, "SelfAttention", in: scope[0]),
        cross: try T5Attention(sizes, "EncDecAttention", in: scope[1]),
        feedForward: try T5FeedForward(sizes, in: scope[2]))
    }
    norm = try RMSNorm(sizes.width, epsilon: sizes.epsilon, in: scope["final_layer_norm"])
  }

  /// - Parameters:
  ///   - x: The token, `[1, D]`.
  ///   - memory: What the encoder made, `[T, D]`.
  ///   - visible: Which of its tokens may be looked at.
  /// - Returns: `[1, D]`.
  func callAsFunction(_ x: Tensor, memory: Tensor, visible: [Bool]) -> Tensor {
    var x = x
    for block in blocks {
      x = block.own(x, over: nil, bias: nil, visible: [true])
      x = block.cross(x, over: memory, bias: nil, visible: visible)
      x = block.feedForward(x)
    }
    return norm(x)
  }
}

/// `x + attention(norm x)`, with scores that are not scaled.
private struct T5Attention {
  let norm: RMSNorm
  let query: Linear, key: Linear, value: Linear, output: Linear
  let heads: Int, headSize: Int

  init(_ sizes: T5Sizes, _ name: String, in scope: Scope) throws {
    let features = sizes.heads * sizes.headSize
    (heads, headSize) = (sizes.heads, sizes.headSize)
    norm = try RMSNorm(sizes.width, epsilon: sizes.epsilon, in: scope["layer_norm"])
    let own = scope[name]
    query = try Linear(sizes.width, features, bias: false, in: own["q"])
    key = try Linear(sizes.width, features, bias: false, in: own["k"])
    value = try Linear(sizes.width, features, bias: false, in: own["v"])
    output = try Linear(features, sizes.width, bias: false, in: own["o"])
  }

  func callAsFunction(
    _ x: Tensor, over memory: Tensor?, bias: [[Float]]?, visible: [Bool]
  ) -> Tensor {
    let n = norm(x)
    let source = memory ?? n
    let (q, k, v) = (query(n), key(source), value(source))
    let parts = (0..<heads).map { head in
      let range = head * headSize..<(head + 1) * headSize
      let scores = q[features: range].linear(weight: k[features: range])  // [T, S]
      let shares = scores.shares(bias: bias?[head], visible: visible)
      return shares.linear(weight: v[features: range], inputsFirst: true)
    }
    return x + output(Tensor(concatenating: parts))
  }
}

/// `x + wo(relu(wi(norm x)))`.
private struct T5FeedForward {
  let norm: RMSNorm
  let input: Linear, output: Linear

  init(_ sizes: T5Sizes, in scope: Scope) throws {
    norm = try RMSNorm(sizes.width, epsilon: sizes.epsilon, in: scope["layer_norm"])
    let own = scope["DenseReluDense"]
    input = try Linear(sizes.width, sizes.inner, bias: false, in: own["wi"])
    output = try Linear(sizes.inner, sizes.width, bias: false, in: own["wo"])
  }

  func callAsFunction(_ x: Tensor) -> Tensor { x + output(Activation.relu(input(norm(x)))) }
}

extension Tensor {
  /// The softmax over each row of `[T, S]`, of scores with a bias `[T · S]`, over the visible S alone.
  fileprivate func shares(bias: [Float]?, visible: [Bool]) -> Tensor {
    var scores = values
    let columns = shape.last
    for start in stride(from: 0, to: scores.count, by: columns) {
      var largest = -Float.infinity
      for s in 0..<columns where visible[s] {
        scores[start + s] += bias?[start + s] ?? 0
        largest = max(largest, scores[start + s])
      }
      var sum: Float = 0
      for s in 0..<columns {
        scores[start + s] = visible[s] ? exp(scores[start + s] - largest) : 0
        sum += scores[start + s]
      }
      for s in 0..<columns { scores[start + s] /= sum }
    }
    return Tensor(scores, shape)
  }
}
