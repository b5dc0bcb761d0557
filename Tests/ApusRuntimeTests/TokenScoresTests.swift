import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Testing

@Suite("Scores of tokens")
struct TokenScoresTests {
  static let ids = (0..<19).map { Int32($0 * 7 % 23) }

  @Test("equal the losses of the whole pass, whatever the block", arguments: [1, 5, 18, 19, 64])
  func blocks(size: Int) throws {
    for name in LanguageFolderTests.architectures {
      let model = try LanguageFolderTests.model(name)
      var rows: [Float] = []
      let scores = try TokenScores(Self.ids, model: model, block: size) { rows += $0.values }
      let ids = Tensor(Self.ids, [1, 19])
      let losses = model.losses(ids, targets: Tensor(Self.ids.dropFirst() + [-1], [1, 19]))
      #expect(scores.logProbabilities.count == 19 && scores.logProbabilities[0] == nil)
      expectClose(
        scores.logProbabilities.dropFirst().map { Float($0 ?? .nan) },
        losses.dropLast().map { -$0 }, absolute: 1e-5, name)
      expectClose(rows, withoutGradient { model.logits(ids) }.values, absolute: 1e-5, name)
      #expect(abs(scores.total + Double(losses.reduce(0, +))) < 1e-4)
    }
  }

  @Test("of a single token there is nothing to say")
  func single() throws {
    let scores = try TokenScores([4], model: LanguageFolderTests.model("mamba"))
    #expect(scores.logProbabilities == [nil] && scores.total == 0 && scores.perplexity == 1)
  }

  @Test("bad tokens and broken weights are errors")
  func errors() throws {
    let model = try LanguageFolderTests.model("transformer")
    #expect(throws: ScoreError.empty) { try TokenScores([], model: model) }
    #expect(throws: ScoreError.outsideVocabulary(position: 1, found: -1, vocabulary: 23)) {
      try TokenScores([0, -1], model: model)
    }
    let context = try #require(model.context)
    #expect(throws: ScoreError.tooLong(found: context + 1, limit: context)) {
      try TokenScores(Array(repeating: 0, count: context + 1), model: model)
    }
    let broken = try LanguageFolderTests.model("mamba")
    broken.parameters[0].set(Tensor(repeating: .nan, broken.parameters[0].shape))
    let error = #expect(throws: NotFiniteError.self) { try TokenScores([0, 1], model: broken) }
    #expect(error?.model == "mamba" && error?.subject == "token 1")
    #expect(error?.tensor == broken.parameters[0].name)
  }
}
