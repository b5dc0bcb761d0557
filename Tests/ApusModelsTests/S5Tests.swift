import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("S5")
struct S5Tests {
  /// What `s5.json` holds: a layer by the equations of the paper with all states, made outside this
  /// library.
  struct Golden: Decodable {
    struct Weight: Decodable {
      let shape: [Int]
      let values: [Float]
    }
    let input: [Float]
    let output: [Float]
    let weights: [String: Weight]
    let frequencies: [String: [Double]]
  }

  private static func golden() throws -> Golden {
    try JSONDecoder().decode(
      Golden.self, from: Data(contentsOf: URL(filePath: fixturePath("s5.json"))))
  }

  private func config(_ overrides: [String: ConfigValue]) throws -> S5Config {
    let small: [String: ConfigValue] = [
      "d_model": 3, "n_layers": 1, "ssm_size": 8, "blocks": 1, "vocab_size": 5,
    ]
    return try S5Config(json: nil, overrides: small.merging(overrides) { $1 })
  }

  @Test("equals the equations of the paper with all conjugates", .tags(.golden))
  func equalsPaper() throws {
    let golden = try Self.golden()
    let weights = golden.weights.mapValues { Tensor($0.values, Shape($0.shape)) }
    let model = try S5(config([:]), in: Scope(checkpoint: weights))
    let x = Tensor(golden.input, [1, 7, 3])
    expectClose(withoutGradient { model(x).values }, golden.output, absolute: 5e-6)
    var state = model.initialState(batch: 1)
    for t in 0..<7 {
      let row = model(x[times: t..<t + 1], state: &state)
      expectClose(
        row.values, Array(golden.output[t * 3..<t * 3 + 3]), absolute: 5e-6, "token \(t)")
    }
  }

  @Test("starts from the eigenvalues of HiPPO", arguments: [2, 4, 8, 16])
  func frequencies(count: Int) throws {
    let expected = try #require(Self.golden().frequencies["\(count)"])
    let start = HiPPO(states: count)
    #expect(start.decays.allSatisfy { $0 == -0.5 })
    for (found, expected) in zip(start.frequencies, expected) {
      #expect(abs(found - expected) < 1e-9 * expected)
    }
    #expect(start.frequencies.count == expected.count)
  }

  @Test("turns into the coordinates of eigenvectors of length one", arguments: [2, 8, 32])
  func eigenvectors(count: Int) {
    let start = HiPPO(states: count)
    let kept = count / 2
    let one = (0..<count * count).map { Float($0 / count == $0 % count ? 1 : 0) }
    let turned = start.turned(one, columns: count).map(Double.init)
    for n in 0..<kept {
      // Row n is the conjugate of the eigenvector.
      let (re, im) = (
        (0..<count).map { turned[n * count + $0] },
        (0..<count).map { -turned[(kept + n) * count + $0] }
      )
      let length = zip(re, im).reduce(0) { $0 + $1.0 * $1.0 + $1.1 * $1.1 }
      #expect(abs(length - 1) < 1e-6)
      for i in 0..<count {
        func product(_ v: [Double]) -> Double {
          (0..<count).reduce(0.0) { sum, j in
            let size = ((Double(i) + 0.5) * (Double(j) + 0.5)).squareRoot()
            return sum + (i == j ? 0 : i > j ? -size : size) * v[j]
          }
        }
        let frequency = start.frequencies[n]
        #expect(abs(product(re) + frequency * im[i]) < 1e-5 * max(frequency, 1))
        #expect(abs(product(im) - frequency * re[i]) < 1e-5 * max(frequency, 1))
      }
    }
  }

  @Test("starts with steps and inputs of the sizes of the paper")
  func starts() throws {
    let config = try config(["d_model": 64, "ssm_size": 128, "blocks": 4])
    let model = try LanguageModel(Blueprint(config), key: RandomKey(seed: 2))
    func values(_ suffix: String) throws -> [Float] {
      try #require(model.parameters.first { $0.name.hasSuffix(suffix) }).value.values
    }
    #expect(try values("log_step").allSatisfy { $0 >= log(0.00099) && $0 <= log(0.101) })
    let squares = try values("seq.B").reduce(0) { $0 + Double($1) * Double($1) }
    // A kept eigenvector stands for two of a unitary matrix, whose columns keep lengths.
    #expect(abs(2 * squares / 128 - 1) < 0.1)
    let frequencies = try values("Lambda_im")
    #expect(frequencies.count == 64 && Array(frequencies[0..<16]) == Array(frequencies[48...]))
  }

  @Test(
    "refuses what does not fit together",
    arguments: [
      ("ssm_size", 7), ("ssm_size", 0), ("blocks", 3), ("blocks", 0), ("dt_min", 0),
      ("dt_max", 0.0001), ("dt_max", 1e9), ("d_model", -1), ("n_layers", 0),
      ("layer_norm_epsilon", 0),
    ] as [(String, ConfigValue)])
  func refuses(key: String, value: ConfigValue) {
    #expect(throws: ConfigError.self) { try config([key: value]) }
  }
}
