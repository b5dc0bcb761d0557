import ApusEvaluation
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Cost by length", .steadyMachine)
struct CostByLengthTests {
  private func options(limit: Double) -> CostMeasurement {
    var options = CostMeasurement()
    (options.models, options.lengths) = (["transformer", "mamba"], [16, 32])
    (options.width, options.blocks, options.vocabulary) = (8, 1, 11)
    options.limitSeconds = limit
    return options
  }

  @Test("every task has a line for each model with a point for each length, drawn and as JSON")
  func lines() async throws {
    let cost = try await options(limit: 60).run()
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
  func limit() async throws {
    let cost = try await options(limit: 1e-9).run()
    #expect(cost.tasks.values.joined().allSatisfy { $0.points.map(\.length) == [16] })
  }

  @Test("a measurement of one model joins an earlier one of all, under the same sizes alone")
  func joining() async throws {
    var small = options(limit: 60)
    small.lengths = [16]
    let all = try await small.run()
    (small.models, small.tasks) = (["mamba"], [.train])
    let one = try await small.run()
    let both = try one.joined(with: Data(try all.json().utf8))
    #expect(both.tasks["train"]?.map(\.name) == ["transformer", "mamba"])
    let cost = { (cost: CostByLength, index: Int) in
      cost.tasks["train"]?[index].points.first?.microseconds
    }
    #expect(cost(both, 0) == cost(all, 0) && cost(both, 1) == cost(one, 0))
    #expect(both.tasks["decode"]?.count == 2)
    small.width = 16
    let wider = try await small.run()
    #expect(throws: CostError.otherConditions) {
      try wider.joined(with: Data(try all.json().utf8))
    }
    #expect(throws: CostError.noMeasurement) { try one.joined(with: Data("[]".utf8)) }
  }
}
