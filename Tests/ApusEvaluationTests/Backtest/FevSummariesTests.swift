import ApusTestSupport
import Foundation
import Testing

import ApusEvaluation

@Suite("Evaluation summaries of fev")
struct FevSummariesTests {
  private func read(_ text: String) throws -> FevSummaries {
    let path = FileManager.default.temporaryDirectory.path + "/fev-\(UUID().uuidString).csv"
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try FevSummaries(readingCSVAt: path)
  }

  @Test("skill and win rate are those of the errors, failures imputed and counted")
  func skill() throws {
    let summaries = try read(
      """
      dataset_path,dataset_config,horizon,model_name,test_error,fev_version
      a,one,12,seasonal_naive,2.0,0.7.0
      a,one,12,good,1.0,0.7.0
      a,one,24,seasonal_naive,4.0,0.7.0
      a,one,24,good,1.0,0.7.0
      b,,12,seasonal_naive,1.0,0.7.0
      b,,12,good,,0.7.0
      """)
    #expect(summaries.tasks == 3 && summaries.errors.map(\.name) == ["seasonal_naive", "good"])
    let good = try summaries.skill().rows[1]
    // Ratios 1/2, 1/4 and, where it failed, 1.
    #expect(abs(good.skill - 0.5) < 1e-12 && good.failures == 1)
    #expect(abs(good.winRate - 2.5 / 3) < 1e-12)
  }

  @Test("what is no summary is told")
  func errors() throws {
    #expect(throws: FevError.self) { try read("model_name,error\na,1\n") }
    #expect(throws: FevError.self) { try read("model_name,test_error\na,1\n") }
    let head = "dataset_path,model_name,test_error\n"
    #expect(throws: FevError.self) { try read(head + "d,a,1\nd,a,2\n") }
    #expect(throws: FevError.self) { try read(head + "d,a,-1\n") }
    #expect(throws: FevError.noBaseline(asked: nil, known: ["a"])) {
      try read(head + "d,a,1\n").skill()
    }
  }
}
