import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Patches of rows")
struct PatchesTests {
  static func config(patch: Int, inputs: Int = 2) throws -> ForecasterConfig {
    try ForecasterConfig(
      .named("lstm"), size: BackboneSize(width: 8, layers: 1, context: 12), inputs: inputs,
      horizon: 2, levels: [0.1, 0.5, 0.9], patch: patch)
  }

  @Test("a patch of p rows is a row of p times the features", arguments: [2, 3, 4])
  func equalsWideRows(patch: Int) throws {
    // The same weights read patches of two features, and rows into which the same was written.
    let patched = try Forecaster(Self.config(patch: patch), key: RandomKey(seed: 1))
    let wide = try Forecaster(Self.config(patch: 1, inputs: 2 * patch), key: RandomKey(seed: 1))
    for (one, other) in zip(patched.parameters, wide.parameters) {
      #expect(one.shape == other.shape)
      let value = Tensor.random(one.shape, seed: 7)
      one.set(value)
      other.set(value)
    }
    let (time, rows) = (13, Tensor.random([2, 13, 2], seed: 2))
    let values = rows.values
    let found = patched.quantiles(rows)
    #expect(found.shape == [2, time, 6])
    for series in 0..<2 {
      func row(_ t: Int) -> [Float] {
        t < 0 ? [0, 0] : Array(values[(series * time + t) * 2..<(series * time + t + 1) * 2])
      }
      for t in 0..<time {
        // Every p-th row back from t, each with the p - 1 rows before it.
        let ends = Array(stride(from: t, through: 0, by: -patch).reversed())
        let tokens = ends.flatMap { end in (end - patch + 1...end).flatMap(row) }
        let alone = wide.quantiles(Tensor(tokens, [1, ends.count, 2 * patch])).values.suffix(6)
        expectClose(
          Array(found.values[(series * time + t) * 6..<(series * time + t + 1) * 6]),
          Array(alone), absolute: 1e-6, "row \(t) of series \(series)")
      }
    }
  }

  @Test("the loss is the mean over all rows, whatever the patch", arguments: [1, 2, 3, 4])
  func loss(patch: Int) throws {
    let model = try Forecaster(Self.config(patch: patch), key: RandomKey(seed: 3))
    for parameter in model.parameters { parameter.set(.random(parameter.shape, seed: 5)) }
    let (rows, targets) = (Tensor.random([2, 11, 2], seed: 4), Tensor.random([2, 11, 2], seed: 6))
    var weights = Tensor(repeating: 1, [2, 11, 2])
    weights.withMutableFloats { $0[5] = 0 }
    let loss = model.loss(rows, targets: targets, weights: weights).scalar
    let (q, y, w) = (model.quantiles(rows).values, targets.values, weights.values)
    var (sum, count) = (0.0, 0.0)
    for (place, target) in y.enumerated() where w[place] > 0 {
      for (level, quantile) in zip([0.1, 0.5, 0.9], q[place * 3..<place * 3 + 3]) {
        let error = Double(target - quantile)
        sum += max(level * error, (level - 1) * error)
        count += 1
      }
    }
    #expect(abs(Double(loss) - sum / count) < 1e-5)
  }

  @Test("rows may come in pieces of any size")
  func pieces() throws {
    let model = try Forecaster(Self.config(patch: 4), key: RandomKey(seed: 3))
    let rows = Tensor.random([2, 23, 2], seed: 4)
    let whole = model.quantiles(rows)
    var (state, start) = (model.initialState(batch: 2), 0)
    for size in [2, 1, 9, 4, 3, 4] {
      let part = model.quantiles(rows[times: start..<start + size], state: &state)
      expectClose(part, whole[times: start..<start + size], absolute: 1e-5, "from \(start)")
      start += size
    }
    #expect(start == 23 && state.byteCount > 0)
  }

  @Test("a folder of a model from before there were patches is read")
  func oldConfiguration() throws {
    let text = """
      {"architecture": "lstm", "horizon": 2, "inputs": 2, "levels": [0.1, 0.5, 0.9],
       "size": {"context": 12, "layers": 1, "vocabulary": 1, "width": 8}}
      """
    #expect(
      try JSONDecoder().decode(ForecasterConfig.self, from: Data(text.utf8))
        == Self.config(patch: 1))
  }
}
