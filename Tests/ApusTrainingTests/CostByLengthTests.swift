import ApusEvaluation
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Cost by length", .steadyMachine)
struct CostByLengthTests {
  private func options(limit: Double) -> CostByLength.Options {
    var options = CostByLength.Options()
    (options.models, options.lengths) = (["transformer", "mamba"], [16, 32])
    (options.width, options.blocks, options.vocabulary) = (8, 1, 11)
    options.limitSeconds = limit
    return options
  }

  @Test("every task has a line for each model with a point for each length, drawn and as JSON")
  func lines() throws {
    let cost = try CostByLength(options(limit: 60))
    #expect(cost.tasks.keys.sorted() == ["decode", "prefill", "train"])
    for (_, lines) in cost.tasks {
      #expect(lines.map(\.name) == ["transformer", "mamba"])
      #expect(lines.map(\.isRecurrent) == [false, true])
      #expect(lines.allSatisfy { $0.points.map(\.length) == [16, 32] })
      #expect(lines.flatMap(\.points).allSatisfy { $0.microseconds > 0 })
    }
    let chart = cost.chart()
    #expect(chart.hasPrefix("<svg xmlns=") && chart.contains(">transformer<"))
    #expect(chart.components(separatedBy: "class=\"line").count == 7)  // six lines
    let json = try JSONSerialization.jsonObject(with: Data(try cost.json().utf8))
    #expect((json as? [String: Any])?["tasks"] != nil)
  }

  @Test("lengths that would take too long are left out")
  func limit() throws {
    let cost = try CostByLength(options(limit: 1e-9))
    #expect(cost.tasks.values.joined().allSatisfy { $0.points.map(\.length) == [16] })
  }
}
