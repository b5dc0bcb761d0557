import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// Numbers that the reference implementation made of the same weights.
@Suite("Golden fixtures", .tags(.golden))
struct GoldenTests {
  /// The names of all fixtures of a language model.
  static func names() throws -> [String] {
    try goldenFolders().map { URL(filePath: $0).lastPathComponent }
  }

  /// The part of `versions.json` that judges.
  struct Facts: Decodable {
    struct Tolerance: Decodable {
      let logits: Double
      let loss: Double
      let gradients: Double
    }
    let tolerance: [String: Tolerance]
  }

  struct Case {
    let model: LanguageModel
    let tensors: [String: Tensor]
    let tolerance: Facts.Tolerance
    let ids: Tensor
    let logits: Tensor
  }

  static func load(_ name: String) throws -> Case {
    let folder = try fixturePath(name)
    let config = try Blueprint(
      json: Data(contentsOf: URL(filePath: folder + "/config.json")))
    let model = try LanguageModel(config, checkpoint: Safetensors.load(folder))
    let facts = try JSONDecoder().decode(
      Facts.self, from: Data(contentsOf: URL(filePath: folder + "/versions.json")))
    let tensors = try Safetensors.load(folder + "/case.safetensors")
    return Case(
      model: model, tensors: tensors, tolerance: try #require(facts.tolerance["float32"]),
      ids: try #require(tensors["input_ids"]), logits: try #require(tensors["logits"]))
  }

  @Test("logits equal the reference's", arguments: try names())
  func logits(name: String) throws {
    let golden = try Self.load(name)
    let logits = withoutGradient { golden.model.logits(golden.ids) }
    expectClose(logits, golden.logits, absolute: golden.tolerance.logits)
  }

  @Test("logits one token at a time equal the reference's", arguments: try names())
  func stepByStep(name: String) throws {
    let golden = try Self.load(name)
    let expected = golden.tensors["step_logits"] ?? golden.logits
    var state = golden.model.initialState(batch: golden.ids.shape[0])
    for t in 0..<golden.ids.shape[1] {
      expectClose(
        golden.model.logits(idSlice(golden.ids, times: t..<t + 1), state: &state),
        expected[times: t..<t + 1], absolute: golden.tolerance.logits, "token \(t)")
    }
  }

  @Test("loss and gradients equal the reference's", arguments: try names())
  func gradients(name: String) throws {
    let golden = try Self.load(name)
    for parameter in golden.model.parameters { parameter.setTrainable(true) }
    let loss = golden.model.loss(golden.ids, targets: following(golden.ids))
    loss.backward()
    let expected = try #require(golden.tensors["loss"]).scalar
    #expect(abs(Double(loss.scalar) - Double(expected)) <= golden.tolerance.loss)
    for parameter in golden.model.parameters where !parameter.isFixed {
      let reference = try #require(golden.tensors["grad." + parameter.name], "\(parameter.name)")
      let gradient = try #require(parameter.gradient, "\(parameter.name)")
      expectClose(gradient, reference, absolute: golden.tolerance.gradients, parameter.name)
    }
    let count = golden.tensors.keys.count { $0.hasPrefix("grad.") }
    #expect(count == golden.model.parameters.count { !$0.isFixed })
  }
}
