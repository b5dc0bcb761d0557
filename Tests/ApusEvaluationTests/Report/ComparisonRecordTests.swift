import ApusEvaluation
import Foundation
import Testing

@Suite("Comparison record")
struct ComparisonRecordTests {
  @Test("it survives a round trip through JSON")
  func roundTrip() throws {
    for record in [SampleComparison.series(), SampleComparison.text()] {
      #expect(try ComparisonRecord(json: record.json()) == record)
    }
  }

  @Test("it keeps numbers that are not finite")
  func nonFinite() throws {
    var record = SampleComparison.series()
    record.rows[0].loss = .infinity
    record.rows[1].skill = .nan
    let copy = try ComparisonRecord(json: record.json())
    #expect(copy.rows[0].loss == .infinity)
    #expect(copy.rows[1].skill?.isNaN == true)
  }

  @Test("it writes keys in snake case")
  func keys() throws {
    let text = String(decoding: try SampleComparison.series().json(), as: UTF8.self)
    for key in [
      "coverage_error", "milliseconds_p50", "data_sha256", "validation_loss", "time_axis",
    ] {
      #expect(text.contains("\"\(key)\""), "\(key)")
    }
  }

  @Test("it ranks by loss, failures last, and finds the bar")
  func standing() {
    var record = SampleComparison.series()
    let order = record.ranked.map(\.name)
    #expect(order.prefix(4) == ["Jamba", "Mamba", "Mamba-2", "GARCH(1,1)"])
    #expect(order.suffix(2) == ["Reformer", "Mixture of experts"])
    #expect(record.bestBaseline?.name == "GARCH(1,1)")
    record.verdict.model = "Mamba"
    #expect(record.bestModel?.name == "Mamba")
    record.verdict.model = nil
    record.rows = record.rows.filter { $0.kind == .baseline }
    #expect(record.bestModel == nil)
  }
}

@Suite("Leaderboard")
struct LeaderboardTests {
  @Test("it has every key in every row, null where nothing exists")
  func keys() throws {
    let data = try Leaderboard(SampleComparison.series()).json()
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(object["headline"] as? String == "No model beats GARCH(1,1)")
    let verdict = try #require(object["verdict"] as? [String: Any])
    #expect(verdict["recommended"] is NSNull && verdict["model"] as? String == "Jamba")
    #expect(verdict["baseline"] as? String == "GARCH(1,1)" && verdict["models"] as? Int == 9)
    #expect(verdict["reason"] as? String == "interval_includes_zero")
    let rows = try #require(object["rows"] as? [[String: Any]])
    #expect(rows.count == 17)
    for row in rows {
      for key in [
        "name", "kind", "status", "loss", "skill", "interval", "seconds", "parameters",
        "tokens_per_second",
      ] { #expect(row[key] != nil, "\(key)") }
    }
    #expect(rows[0]["name"] as? String == "Jamba")
    #expect((rows[0]["interval"] as? [Double])?.count == 2)
    #expect(rows[3]["kind"] as? String == "baseline")
    #expect(rows[16]["status"] as? String == "failed")
    #expect(rows[16]["loss"] is NSNull)
  }

  @Test("it has no number that is not finite")
  func finite() throws {
    var record = SampleComparison.series()
    record.rows[0].loss = .nan
    record.rows[1].interval = -.infinity...1
    record.verdict.interval = -.infinity...1
    let data = try Leaderboard(record).json()
    let board = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let rows = try #require(board["rows"] as? [[String: Any]])
    let broken = try #require(rows.first { $0["name"] as? String == "Jamba" })
    #expect(broken["loss"] is NSNull)
    #expect(broken["rank"] is NSNull)
    #expect(rows[0]["interval"] is NSNull)
    #expect((board["verdict"] as? [String: Any])?["interval"] is NSNull)
  }
}
