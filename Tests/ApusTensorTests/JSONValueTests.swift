import ApusTensor
import Testing

@Suite("JSON values")
struct JSONValueTests {
  static func value(_ text: String) throws -> JSONValue { try JSONValue(text.utf8, name: "test") }

  @Test("numbers stay as they were written")
  func numbers() throws {
    let text = #"{"a": [1.0, 1, 1e-05, -Infinity, 12345678901234567890], "b": {"c": null}}"#
    let read = try Self.value(text)
    #expect(read["a"]?.elements?[0] == .number("1.0") && read["a"]?.elements?[0].integer == 1)
    #expect(read["a"]?.elements?[2].integer == nil && read["a"]?.elements?[4].integer == nil)
    #expect(read["b"]?["c"] == .null && read["c"] == nil && read["a"]?["b"] == nil)
    #expect(try Self.value(read.text()) == read)
    #expect(read.text().contains("1.0,") && read.text().contains("-Infinity"))
  }

  @Test("keys that look alike but differ in bytes are two; equal ones are refused")
  func keys() throws {
    let read = try Self.value("{\"\u{E9}\": 1, \"e\u{301}\": 2}")
    #expect(read["\u{E9}"]?.integer == 1 && read["e\u{301}"]?.integer == 2)
    #expect(throws: JSONFileError.self) { try Self.value(#"{"a": 1, "\u0061": 2}"#) }
  }

  @Test("a member is replaced in its place or added at the end")
  func setting() throws {
    let read = try Self.value(#"{"a": 1, "b": [], "c": {}}"#)
    let changed = read.setting("b", to: .string("x\"\n")).setting("d", to: .bool(true))
    #expect(changed.members?.map(\.key) == ["a", "b", "c", "d"])
    #expect(try Self.value(changed.text()) == changed)
  }

  @Test(
    "what is no JSON is refused",
    arguments: ["", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"\\x\"", "[1e999]", "infinity"])
  func refused(text: String) {
    #expect(throws: JSONFileError.self) { try Self.value(text) }
  }

  @Test("nesting has a bound")
  func depth() throws {
    #expect(throws: JSONFileError.self) {
      try Self.value(String(repeating: "[", count: 65) + String(repeating: "]", count: 65))
    }
    _ = try Self.value(String(repeating: "[", count: 64) + String(repeating: "]", count: 64))
  }
}
