import ApusModels
import Foundation

/// Megalodon as the paper and the authors' program define it, in double, one number at a time.
///
/// Ma et al., 2024, arXiv:2404.08801. A sequence is an array of rows.
struct MegalodonReference {
  typealias Rows = [[Double]]

  let config: MegalodonConfig
  /// By name, row-major.
  var weights: [String: [Double]]

  /// Logits of one sequence, from its start.
  func logits(_ tokens: [Int]) -> Rows {
    let width = config.modelDim
    let scale = config.scaleEmb ? Double(width).squareRoot() : 1
    var x = tokens.map { token in
      weight("embed.weight")[token * width..<(token + 1) * width].map { $0 * scale }
    }
    for layer in 0..<config.numLayers { x = block(x, "layers.\(layer)") }
    let hidden = timestepNorm(x, "output.final_norm")
    return linear(hidden, config.shareEmb ? "embed" : "output.output", bias: false)
  }

  /// The mean cross-entropy of the tokens that follow, over all sequences.
  func loss(_ sequences: [[Int]]) -> Double {
    let all = sequences.flatMap { tokens in
      zip(logits(tokens), tokens.dropFirst()).map { row, target in
        log(row.reduce(0) { $0 + exp($1) }) - row[target]
      }
    }
    return all.reduce(0, +) / Double(all.count)
  }

  func block(_ x: Rows, _ name: String) -> Rows {
    // Two hops: the feed-forward's residual is the block's input.
    plus(feedForward(gatedAttention(x, name + ".mega"), name + ".nffn"), x)
  }

  func feedForward(_ y: Rows, _ name: String) -> Rows {
    let n = layerNorm(y, name + ".norm")
    var inner = linear(n, name + ".fc1", bias: false).map { $0.map(silu) }
    if config.swiglu { inner = times(inner, linear(n, name + ".fc3", bias: false)) }
    let out = linear(inner, name + ".fc2", bias: false)
    guard config.rescaleNffn else { return out }
    return out.map { zip($0, weight(name + ".alpha")).map { $0 * $1 } }
  }

  private func gatedAttention(_ x: Rows, _ name: String) -> Rows {
    let t = timestepNorm(x, name + ".timenorm")
    let m = rmsNorm(movingAverage(t, name + ".cema"), name + ".rmsnorm")
    let z = linear(m, name + ".wz")
    let v = linear(t, name + ".wv").map { $0.map(silu) }
    let r = linear(m, name + ".wr").map { $0.map(silu) }
    let o = attention(z, v, gain: weight(name + ".gamma"), bias: weight(name + ".beta"))
    let gated = linear(times(o, r), name + ".wh2", bias: false)
    return plus(plus(linear(m, name + ".wh1"), gated), x)
  }

  /// h_t = q h_{t−1} + p x_t, y_t = Σ Re(g h_t) + ω x_t, mode by mode.
  private func movingAverage(_ x: Rows, _ name: String) -> Rows {
    let (width, modes) = (config.modelDim, config.cemaNdim)
    let (alpha, delta) = (weight(name + ".alpha"), weight(name + ".delta"))
    let (theta, gamma) = (weight(name + ".theta"), weight(name + ".gamma"))
    let omega = weight(name + ".omega")
    var y = x.map { row in (0..<width).map { omega[$0] * row[$0] } }
    for d in 0..<width {
      for n in 0..<modes {
        let (p, at) = (sigmoid(alpha[d * modes + n]), d * modes + n)
        let rho = 1 - p * sigmoid(delta[at])
        let phi = 2 * .pi * Double(n + 1) / Double(modes) * sigmoid(theta[d])
        let root = Double(modes).squareRoot()
        var (re, im) = (0.0, 0.0)
        for t in x.indices {
          (re, im) = (
            rho * (cos(phi) * re - sin(phi) * im) + p * x[t][d],
            rho * (cos(phi) * im + sin(phi) * re)
          )
          y[t][d] += (gamma[2 * at] * re - gamma[2 * at + 1] * im) / root
        }
      }
    }
    return y
  }

  /// Statistics of a group over all its features of all tokens so far, as a direct sum.
  private func timestepNorm(_ x: Rows, _ name: String) -> Rows {
    let size = config.modelDim / config.normNumGroups
    let (gain, bias) = (weight(name + ".weight"), weight(name + ".bias"))
    var y = x
    for start in stride(from: 0, to: config.modelDim, by: size) {
      var seen: [Double] = []
      for t in x.indices {
        seen += x[t][start..<start + size]
        let mean = seen.reduce(0, +) / Double(seen.count)
        let variance = seen.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(seen.count)
        for i in start..<start + size {
          y[t][i] = (x[t][i] - mean) / (variance + epsilon).squareRoot() * (1 + gain[i]) + bias[i]
        }
      }
    }
    return y
  }

  private func attention(_ z: Rows, _ v: Rows, gain: [Double], bias: [Double]) -> Rows {
    let (heads, total) = (config.numHeads, config.zDim)
    let (keys, values) = (total / heads, config.valueDim / heads)
    var o = v
    for head in 0..<heads {
      // Part 0 are queries, part 1 keys; positions restart with every chunk.
      func turned(_ t: Int, part: Int) -> [Double] {
        let own = Array(z[t][head * keys..<(head + 1) * keys])
        let rms = (own.reduce(0) { $0 + $1 * $1 } / Double(keys) + epsilon).squareRoot()
        let affine = (0..<keys).map { i in
          let at = part * total + head * keys + i
          return own[i] / rms * (1 + gain[at]) / Double(keys).squareRoot() + bias[at]
        }
        return (0..<keys).map { i in
          let angle =
            Double(t % config.chunkSize)
            * pow(config.ropeBase ?? 10000, -Double(i / 2 * 2) / Double(keys))
          return i % 2 == 0
            ? affine[i] * cos(angle) - affine[i + 1] * sin(angle)
            : affine[i] * cos(angle) + affine[i - 1] * sin(angle)
        }
      }
      for t in z.indices {
        let query = turned(t, part: 0)
        let seen = Array(t / config.chunkSize * config.chunkSize...t)
        let scores = seen.map { s in
          exp(zip(query, turned(s, part: 1)).reduce(0) { $0 + $1.0 * $1.1 })
        }
        let sum = scores.reduce(0, +)
        for i in head * values..<(head + 1) * values {
          o[t][i] = zip(seen, scores).reduce(0) { $0 + $1.1 / sum * v[$1.0][i] }
        }
      }
    }
    return o
  }

  private func rmsNorm(_ x: Rows, _ name: String) -> Rows {
    x.map { row in
      let mean = row.reduce(0) { $0 + $1 * $1 } / Double(row.count)
      return row.indices.map { row[$0] / (mean + epsilon).squareRoot() * gain(name, $0) }
    }
  }

  private func layerNorm(_ x: Rows, _ name: String) -> Rows {
    x.map { row in
      let mean = row.reduce(0, +) / Double(row.count)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
      return row.indices.map {
        (row[$0] - mean) / (variance + epsilon).squareRoot() * gain(name, $0)
          + (weights[name + ".bias"]?[$0] ?? 0)
      }
    }
  }

  private func linear(_ x: Rows, _ name: String, bias: Bool = true) -> Rows {
    let matrix = weight(name + ".weight")
    let inputs = x.first?.count ?? 1
    let outputs = matrix.count / inputs
    return x.map { row in
      (0..<outputs).map { o in
        (0..<inputs).reduce(bias ? weight(name + ".bias")[o] : 0) {
          $0 + matrix[o * inputs + $1] * row[$1]
        }
      }
    }
  }

  private var epsilon: Double { Double(config.normEps) }
  private func weight(_ name: String) -> [Double] { weights[name] ?? [] }
  private func gain(_ name: String, _ i: Int) -> Double { 1 + (weights[name + ".weight"]?[i] ?? 0) }
  private func plus(_ a: Rows, _ b: Rows) -> Rows { zip(a, b).map { zip($0, $1).map(+) } }
  private func times(_ a: Rows, _ b: Rows) -> Rows { zip(a, b).map { zip($0, $1).map(*) } }
  private func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
  private func silu(_ x: Double) -> Double { x * sigmoid(x) }
}
