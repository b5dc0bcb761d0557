import ApusEvaluation
import Foundation
import Testing

@Suite("Unfinished training")
struct UnfinishedTrainingTests {
  private func curve(_ loss: (Double) -> Double, steps: Int = 200, every: Int = 10)
    -> [LearningPoint]
  {
    stride(from: every, through: steps, by: every).map {
      LearningPoint(seconds: Double($0) / 10, step: $0, validationLoss: loss(Double($0)))
    }
  }

  @Test("a power law is continued exactly: what twice the steps bring, and at what cost")
  func law() throws {
    let found = try #require(UnfinishedTraining(curve { 1 + 4 * pow($0, -0.5) }))
    let (end, twice) = (1 + 4 / 200.0.squareRoot(), 1 + 4 / 400.0.squareRoot())
    expectNear(found.gain, 1 - twice / end, within: 1e-9)
    expectNear(found.seconds, 20, within: 1e-12)
    // From step 10 to 200; the last quarter begins at 150.
    let (first, before) = (1 + 4 / 10.0.squareRoot(), 1 + 4 / 150.0.squareRoot())
    expectNear(found.lastQuarter, (before - end) / (first - end), within: 1e-9)
    #expect(
      found.sentence("mamba") == """
        mamba is unfinished: 4.5\u{202F}% of its improvement fell in the last quarter of its training; about \
        20 s more for each run may lower its validation loss by another 6.5\u{202F}% (an estimate from \
        its learning curve).
        """)
  }

  @Test("what has settled, grows again, or tells nothing is not unfinished")
  func finished() {
    #expect(UnfinishedTraining(curve { 1 + 4 * pow($0, -2) }) == nil)
    #expect(UnfinishedTraining(curve { _ in 1 }) == nil)
    #expect(UnfinishedTraining(curve { 1 + abs($0 - 120) / 50 }) == nil)
    #expect(UnfinishedTraining(curve { 2 + $0 / 100 }) == nil)
    #expect(UnfinishedTraining(curve({ 1 + 4 / $0 }, steps: 50)) == nil)
    #expect(UnfinishedTraining([]) == nil)
    #expect(UnfinishedTraining(curve { _ in .nan }) == nil)
    var late = curve { 1 + 4 * pow($0, -0.5) }
    late[late.count - 1].validationLoss = .infinity
    #expect(UnfinishedTraining(late) != nil)
  }

  @Test("of several seeds more than half must be unfinished, and the means are told")
  func seeds() throws {
    let (slow, slower) = (curve { 1 + 4 * pow($0, -0.5) }, curve { 1 + 8 * pow($0, -0.4) })
    let still = curve { 1 + 4 * pow($0, -2) }
    #expect(UnfinishedTraining(ofRuns: [slow, still]) == nil)
    #expect(UnfinishedTraining(ofRuns: []) == nil)
    let both = try #require(UnfinishedTraining(ofRuns: [slow, slower, still]))
    let parts = try [slow, slower].map { try #require(UnfinishedTraining($0)) }
    expectNear(both.gain, (parts[0].gain + parts[1].gain) / 2, within: 1e-12)
  }

  @Test("a power law is found among its noise, and none where losses grow")
  func fit() throws {
    let law = try #require(PowerLaw((1...40).map { (Double($0), 2 + 3 * pow(Double($0), -0.7)) }))
    for (found, known) in [(law.a, 2), (law.b, 3), (law.c, 0.7)] {
      expectNear(found, known, within: 1e-9)
    }
    #expect(PowerLaw((1...40).map { (Double($0), Double($0)) }) == nil)
    #expect(PowerLaw([(1, 1), (1, 2)]) == nil)
  }
}
