import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Folders of classifiers")
struct ClassifierFolderTests {
  @Test(
    "give the same logits after the way to the disk and back",
    arguments: Architecture.all.map(\.name))
  func roundTrip(architecture: String) throws {
    let config = ClassifierConfig(
      try Architecture.named(architecture).configured(
        size: BackboneSize(width: 16, layers: 2, context: 32)),
      input: .tokens(vocabulary: 9), classes: 3, pooling: .last)
    let model = try Classifier(config, key: RandomKey(seed: 2))
    let path = NSTemporaryDirectory() + "apus-classifier-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try ModelFolder.save(model, to: path)
    let again = try ModelFolder.open(path).classifier().load()
    let tokens = Tensor.randomIntegers([2, 11], below: 9, seed: 3)
    expectSameBits(
      withoutGradient { again.logits(tokens, lengths: [11, 4]).values },
      withoutGradient { model.logits(tokens, lengths: [11, 4]).values })
    #expect(again.config == config)
    #expect(
      throws: ModelFolderError.wrongTask(path: path, found: "classify", expected: "forecast")
    ) { try ModelFolder.open(path).forecaster().load() }
  }
}
