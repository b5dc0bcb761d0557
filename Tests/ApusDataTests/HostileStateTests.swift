import ApusData
import Foundation
import Testing

@Suite("Hostile stored values and times")
struct HostileStateTests {
  static let limits: [Int64] = [.min, .min + 1, -1 << 62, 0, 1 << 62, .max - 1, .max]
  static let cadences = [
    Cadence(.steps), Cadence(.seconds(60)), Cadence(.days(366)), Cadence(.businessDays),
    Cadence(.months(120_000)), Cadence(.irregular),
  ]

  @Test("times at the limits of 64 bits have facts, and successors or an error", arguments: limits)
  func timesAtLimits(seconds: Int64) {
    let stamp = Timestamp(secondsSinceEpoch: seconds)
    #expect((0..<7).contains(stamp.weekday) && (0..<86_400).contains(stamp.secondOfDay))
    #expect((1...31).contains(stamp.civil.day) && !stamp.description.isEmpty)
    for cadence in Self.cadences {
      let features = CalendarFeatures(cadence).values(at: stamp)
      #expect(features.allSatisfy { abs($0) <= 1 })
      if seconds.magnitude > 1 << 62 {
        #expect(throws: CadenceError.beyondTime(after: stamp, count: 4096)) {
          try cadence.stamps(after: stamp, count: 4096)
        }
      } else {
        let ahead = try? cadence.stamps(after: stamp, count: 4096)
        #expect(ahead?.count == 4096)
        #expect(zip(ahead ?? [], (ahead ?? []).dropFirst()).allSatisfy(<))
      }
    }
  }

  @Test("a cadence is inferred from times as far apart as they can be")
  func farApart() {
    let stamps = Self.limits.map { Timestamp(secondsSinceEpoch: $0) }
    for count in 3...stamps.count {
      for start in 0...stamps.count - count {
        let part = Array(stamps[start..<start + count])
        let cadence = Cadence(inferredFrom: part)
        #expect(cadence.frequency.isPossible)
        for known in Self.cadences + [cadence] { _ = known.holes(in: part) }
      }
    }
    let minutes = (0..<20_000).map { Timestamp(secondsSinceEpoch: .max - 60 * 20_000 + 60 * $0) }
    #expect(Cadence(inferredFrom: minutes).frequency == .seconds(60))
  }

  static let good = """
    {"frequency":{"seconds":{"_0":3600}},"monthEnd":"fixedDay","phaseSeconds":0,"openSlots":[],\
    "openWeekdays":[true,true,true,true,true,false,false]}
    """

  @Test(
    "a stored cadence that would hang or trap is refused with its key",
    arguments: [
      (#""_0":3600"#, #""_0":0"#, "frequency"), (#""_0":3600"#, #""_0":-60"#, "frequency"),
      (#""_0":3600"#, #""_0":86400"#, "frequency"),
      (#"{"seconds":{"_0":3600}}"#, #"{"days":{"_0":0}}"#, "frequency"),
      (#"{"seconds":{"_0":3600}}"#, #"{"days":{"_0":9223372036854775807}}"#, "frequency"),
      (#"{"seconds":{"_0":3600}}"#, #"{"months":{"_0":9223372036854775807}}"#, "frequency"),
      (#"{"seconds":{"_0":3600}}"#, #"{"months":{"_0":0}}"#, "frequency"),
      (#""phaseSeconds":0"#, #""phaseSeconds":3600"#, "phaseSeconds"),
      (#""phaseSeconds":0"#, #""phaseSeconds":-1"#, "phaseSeconds"),
      ("[]", "[false]", "openSlots"), ("[]", "[true,true]", "openSlots"),
      ("[]", "[" + Array(repeating: "false", count: 168).joined(separator: ",") + "]", "openSlots"),
      ("[true,true,true,true,true,false,false]", "[true,true]", "openWeekdays"),
      ("[true,true,true,true,true,false,false]", "[]", "openWeekdays"),
      (
        "[true,true,true,true,true,false,false]", "[false,false,false,false,false,false,false]",
        "openWeekdays"
      ),
    ])
  func cadence(part: String, change: String, key: String) throws {
    #expect(Self.good.contains(part))
    _ = try decoded(Cadence.self, Self.good)
    expectRefusal(Cadence.self, Self.good.replacing(part, with: change), key: key)
  }

  @Test("a cadence survives being stored", arguments: cadences)
  func survives(cadence: Cadence) throws { #expect(try roundTrip(cadence) == cadence) }

  @Test(
    "a stored scaler without a mean or a scale is refused with its key",
    arguments: [
      (#"{"means":[1],"deviations":[]}"#, "deviations"),
      (#"{"means":[],"deviations":[1]}"#, "deviations"),
      (#"{"means":[1],"deviations":[0]}"#, "deviations"),
      (#"{"means":[1],"deviations":[-1]}"#, "deviations"),
    ])
  func standardScaler(text: String, key: String) {
    expectRefusal(StandardScaler.self, text, key: key)
  }

  @Test("numbered columns at the limit of a number are read as columns")
  func numberedColumns() throws {
    let names = (0..<6).map { "V\(Int.max - 5 + $0)" } + ["V-1"]
    let text = (["id"] + names).joined(separator: ",") + "\na,1,2,3,4,5,6,7\nb,1,2,3,4,5,6,7\n"
    _ = try? SeriesTable(parsingCSV: Array(text.utf8))
    let wrapped = "id,V\(Int.max),V2,V3,V4\na,1,2,3,4\nb,1,2,3,4\n"
    _ = try? SeriesTable(parsingCSV: Array(wrapped.utf8))
  }

  @Test("steps beyond what a number counts one by one are no times")
  func steps() throws {
    var reader = RowReader(options: SeriesOptions(), isIntraday: false) { _ in true }
    #expect(try reader.line("step,close").rows.isEmpty)
    #expect(try reader.line("1,5").rows.first?.stamp == Timestamp(secondsSinceEpoch: 1))
    for step in ["9223372036854774784", "-9223372036854775808", "1e15", "1.5"] {
      let error = #expect(throws: RowError.self) { try reader.line("\(step),5") }
      #expect(error?.problem.contains("below 10^15") == true)
    }
  }

  @Test(
    "a stored format whose columns make no date is passed over",
    arguments: [
      #"{"parts":{"columns":[]}}"#, #"{"parts":{"columns":["x"]}}"#,
      #"{"parts":{"columns":["x","x","x","x","x"]}}"#, #"{"ordinal":{"column":"none"}}"#,
    ])
  func format(time: String) throws {
    var options = SeriesOptions()
    options.format = try decoded(
      TableFormat.self,
      """
      {"time":\(time),"isUniversal":false,"targets":["y"],"covariates":[],\
      "numbers":{"usesDecimalComma":false,"missingWords":[]}}
      """)
    let text = "x,y\n1,2\n2,3\n3,4\n"
    #expect(try SeriesTable(parsingCSV: Array(text.utf8), options: options).rowCount == 3)
    var reader = RowReader(options: options, isIntraday: false) { _ in true }
    for line in text.split(separator: "\n") { _ = try? reader.line(String(line)) }
  }

  @Test("quotes with accents in a quoted field are undoubled by bytes")
  func accentedQuotes() throws {
    var options = SeriesOptions()
    options.id = ["id"]
    let table = try SeriesTable(
      parsingCSV: Array("id,date,y\n\"a\"\"\u{301}b\",2020-01-01,1\n".utf8), options: options)
    #expect(Array(table.series[0].id.utf8) == Array("a\"\u{301}b".utf8))
  }

  private func decoded<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
    try JSONDecoder().decode(type, from: Data(text.utf8))
  }

  private func expectRefusal<Value: Decodable>(_ type: Value.Type, _ text: String, key: String) {
    let error = #expect(throws: DecodingError.self) { try decoded(type, text) }
    guard case .dataCorrupted(let context) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(context.codingPath.last?.stringValue == key)
  }
}
