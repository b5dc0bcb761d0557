import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Rotary positions")
struct RotaryPositionsTests {
  /// What `rotary.json` holds: frequencies in double, made by the formulas outside this library.
  struct Table: Decodable {
    struct Case: Decodable {
      let parameters: RotaryParameters
      let context: Int
      let length: Int
      let frequencies: [Double]
      let scale: Double
    }
    let headSize: Int
    let cases: [Case]
  }

  static func table() throws -> Table {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(
      Table.self, from: Data(contentsOf: URL(filePath: fixturePath("rotary.json"))))
  }

  @Test("every type of scaling gives the frequencies and the scale of its formula")
  func frequencies() throws {
    let table = try Self.table()
    #expect(table.cases.count >= 17)
    for one in table.cases {
      let kind = "\(one.parameters.ropeType ?? "none") at \(one.length)"
      let found = RotaryPositions.frequencies(
        one.parameters, try #require(one.parameters.ropeTheta), pairs: table.headSize / 2,
        context: one.context, length: one.length)
      for (frequency, expected) in zip(found, one.frequencies) {
        #expect(abs(frequency / expected - 1) < 1e-12, "\(kind)")
      }
      let scale = RotaryPositions.scale(one.parameters, context: one.context)
      #expect(abs(scale / one.scale - 1) < 1e-12, "\(kind)")
    }
  }

  /// What the last of seven tokens gets that stand at `start...` and see no others.
  private func attended(_ positions: RotaryPositions, from start: Int) -> [Float] {
    let layout = AttentionLayout(heads: 1, headSize: 8, window: 7)
    var state = AttentionState(batch: 1)
    if start > 0 {
      _ = state.attend(
        .random([1, start, 24], seed: 2), layout: layout,
        rotary: positions.rotation(from: [0], time: start))
    }
    let y = state.attend(
      .random([1, 7, 24], seed: 1), layout: layout,
      rotary: positions.rotation(from: [start], time: 7))
    return Array(y.values.suffix(8))
  }

  @Test("scores depend on distances alone", arguments: [false, true])
  func relative(isInterleaved: Bool) throws {
    let positions = try RotaryPositions(
      nil, theta: 100, headSize: 8, context: 16, isInterleaved: isInterleaved)
    expectClose(
      attended(positions, from: 5000), attended(positions, from: 0), absolute: 1e-4)
  }

  @Test("past the context of training the whole sequence turns by other frequencies")
  func longer() throws {
    var parameters = RotaryParameters()
    (parameters.ropeType, parameters.factor) = ("dynamic", 2)
    let dynamic = try RotaryPositions(parameters, theta: 100, headSize: 8, context: 16)
    let plain = try RotaryPositions(nil, theta: 100, headSize: 8, context: 16)
    let rows = Tensor.random([1, 20, 24], seed: 3)
    let layout = AttentionLayout(heads: 1, headSize: 8)
    func attended(_ positions: RotaryPositions, _ length: Int) -> [Float] {
      rows[times: 0..<length].attention(
        layout: layout, rotary: positions.rotation(from: [0], time: length)
      ).values
    }
    expectSameBits(attended(dynamic, 16), attended(plain, 16))
    let (long, short) = (attended(dynamic, 17), attended(plain, 17))
    #expect(zip(long, short).contains { abs($0 - $1) > 1e-3 })
  }

  @Test("older files say the same in other keys")
  func spellings() throws {
    func logits(_ rope: String) throws -> [Float] {
      let json = """
        {"model_type": "llama", "vocab_size": 11, "hidden_size": 8, "intermediate_size": 8,
         "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 8, \(rope)}
        """
      let config = try Blueprint(json: Data(json.utf8))
      let model = try LanguageModel(config, key: RandomKey(seed: 1))
      for parameter in model.parameters { parameter.set(.random(parameter.shape, seed: 2)) }
      return withoutGradient {
        model.logits(Tensor([3, 1, 4, 1, 5, 9, 2, 6, 5, 3] as [Int32], [1, 10])).values
      }
    }
    let new = try logits(
      #""rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 77}"#)
    for old in [
      #""rope_theta": 77, "rope_scaling": {"type": "linear", "factor": 4.0}"#,
      #""rope_theta": 77, "rope_scaling": {"rope_type": "linear", "factor": 4.0}"#,
      #""rope_theta": 5, "rope_parameters": {"type": "linear", "factor": 4, "rope_theta": 77}"#,
    ] {
      expectSameBits(try logits(old), new, old)
    }
    for other in [
      #""rope_theta": 77"#, #""rope_scaling": null, "rope_theta": 77"#,
      #""rope_scaling": {"type": "linear", "factor": 4.0}"#,
    ] {
      #expect(bitDisagreement(try logits(other), new) != nil, "\(other)")
    }
  }

  @Test(
    "parameters that do not fit their type are refused, and the key named",
    arguments: [
      ("rope_type", #"{"rope_type": "alibi"}"#), ("factor", #"{"rope_type": "linear"}"#),
      ("factor", #"{"rope_type": "linear", "factor": 0}"#),
      ("factor", #"{"rope_type": "yarn", "factor": -2}"#),
      ("rope_theta", #"{"rope_theta": 0.5}"#),
      (
        "original_max_position_embeddings",
        #"{"rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 0}"#
      ),
      ("low_freq_factor", #"{"rope_type": "llama3", "factor": 8}"#),
      (
        "low_freq_factor",
        #"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}"#
      ),
      ("beta_fast", #"{"rope_type": "yarn", "factor": 2, "beta_fast": 1, "beta_slow": 2}"#),
      ("short_factor", #"{"rope_type": "longrope", "long_factor": [1, 1, 1, 1]}"#),
      (
        "long_factor",
        #"{"rope_type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 0, 1, 1]}"#
      ),
      ("partial_rotary_factor", #"{"partial_rotary_factor": 0.1}"#),
      ("attention_factor", #"{"rope_type": "yarn", "factor": 2, "attention_factor": 0}"#),
    ])
  func refused(key: String, rope: String) throws {
    let json = """
      {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 1,
       "rope_parameters": \(rope)}
      """
    let error = #expect(throws: ConfigError.self) {
      try Blueprint(json: Data(json.utf8))
    }
    guard case .invalid(let found, _, _) = error else {
      Issue.record("another error: \(String(describing: error))")
      return
    }
    #expect(found == key)
  }
}
