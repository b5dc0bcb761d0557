import ApusData
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Chat templates")
struct ChatTemplateTests {
  /// 2026-03-09 04:05:06, as the fixture was made: see Scripts/make-chat-template-fixture.py.
  private static let date = Date(timeIntervalSince1970: 1_773_029_106)

  private static func fixture() throws -> [JSONValue] {
    let path = try fixturePath("chat-templates.json", from: #filePath)
    return try #require(try JSONValue(path: path, limit: 1 << 24)["cases"]?.elements)
  }

  private static func render(_ template: String, _ values: String = "{}") throws -> String {
    try ChatTemplate(template).render(
      try JSONValue(Array(values.utf8), name: "values"), date: date)
  }

  @Test("render what Jinja renders, and refuse what it refuses")
  func golden() throws {
    var templates: Set<String> = []
    for one in try Self.fixture() {
      let name = try #require(one["name"]?.string)
      let template = try #require(one["template"]?.string)
      templates.insert(template)
      let values = try #require(one["values"])
      if let wanted = one["text"]?.string {
        let text = try ChatTemplate(template).render(values, date: Self.date)
        #expect(text.unicodeScalars.elementsEqual(wanted.unicodeScalars), "\(name): \(text)")
      } else {
        #expect(throws: TemplateError.self, "\(name)") {
          try ChatTemplate(template).render(values, date: Self.date)
        }
      }
    }
    #expect(templates.count >= 25)
  }

  @Test("name the line and the cause of what is wrong")
  func errors() throws {
    func message(_ template: String) -> String {
      do { return try Self.render(template) } catch { return "\(error)" }
    }
    #expect(
      message("a\n{% if x %}")
        == "Line 2 of the chat template: a block has no 'elif' or 'else' or 'endif'. Give another template."
    )
    #expect(message("\n\n{{ x. }}").hasPrefix("Line 3 of the chat template: '.' has no name"))
    #expect(message("{% include 'x' %}").contains("the block 'include' is not known"))
    #expect(
      message("a\n{{ [] | nope }}").contains("Line 2")
        && message("{{ [] | nope }}").contains("nope"))
    #expect(
      message("{{ raise_exception('no tools') }}")
        == "The chat template refuses these messages: no tools")
    #expect(message("{{ 'a'").contains("no end '}}'"))
  }

  @Test(
    "end within their limits, and see nothing of the outside",
    arguments: [
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% for a in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}",
      "{{ 'a' * 99999999 }}", "{{ [1] * 99999999 }}", "{{ range(999999999) | list }}",
      "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ 9 ** 99 }}",
      "{{ 9223372036854775807 + 1 }}",
      "{% set l = [] %}{% for i in range(999) %}{% set _ = l.append(l) %}{% endfor %}{{ l | tojson }}",
      "{% set l = [] %}{% for i in range(999) %}{% set _ = l.append(l) %}{% endfor %}{{ l }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
      "{% set l = range(99999) | list %}{% for i in l %}{% if 'x' in l %}{% endif %}{% endfor %}",
      "{{ range(99999) | unique | list }}",
    ])
  func limits(template: String) throws {
    let start = ContinuousClock.now
    #expect(throws: TemplateError.self) { try Self.render(template) }
    #expect(ContinuousClock.now - start < .seconds(10))
  }

  @Test("are read however deep they are nested, or refused")
  func depth() throws {
    for (open, close) in [("(", ")"), ("[", "]"), ("-", ""), ("not ", "")] {
      let deep =
        String(repeating: open, count: 100_000) + "1" + String(repeating: close, count: 100_000)
      #expect(throws: TemplateError.self) { try ChatTemplate("{{ \(deep) }}") }
    }
    let chain = String(repeating: "1+", count: 100_000) + "1"
    let filters = "1" + String(repeating: "|string", count: 100_000)
    for long in [chain, filters, String(repeating: "x.", count: 100_000) + "x"] {
      #expect(throws: TemplateError.self) { try ChatTemplate("{{ \(long) }}") }
    }
    let equal =
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}"
      + "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}"
    #expect(try Self.render(equal) == "False")
    let blocks = String(repeating: "{% if 1 %}", count: 100_000)
    #expect(throws: TemplateError.self) { try ChatTemplate(blocks) }
    #expect(try Self.render("{{ ''.__class__ }}{{ [].__len__ }}{{ self }}{{ __import__ }}") == "")
  }
}
