/// A page of sentences, drawings and tables that needs nothing but itself.
///
/// - Parameters:
///   - title: What the window is called.
///   - body: The page.
/// - Returns: The document.
func plainPage(_ title: String, _ body: [Markup]) -> Markup {
  .element(
    "html", ["lang": "en"],
    [
      .element(
        "head", [:],
        [
          .element("meta", ["charset": "utf-8"]),
          .element(
            "meta", ["name": "viewport", "content": "width=device-width, initial-scale=1"]),
          .element("meta", ["name": "color-scheme", "content": "light dark"]),
          .element("title", [:], [.text(title)]),
          .element("style", [:], [.text(plainStyle)]),
        ]),
      .element("body", [:], body),
    ])
}

/// A table that scrolls where a screen is narrow.
func plainTable(_ heads: [String], _ rows: [[String]]) -> Markup {
  func cells(_ names: [String], _ element: StaticString) -> Markup {
    .element("tr", [:], names.map { .element(element, [:], [.text($0)]) })
  }
  return .element(
    "div", ["class": "scroll"],
    [.element("table", [:], [cells(heads, "th")] + rows.map { cells($0, "td") })])
}

/// Without quotes and angle brackets, which would be escaped.
private let plainStyle = """
  :root { --paper: #fff; --ink: #16191d; --soft: #5b636d; --hair: #e9ebee; --c1: #0a62b3; \
  --bad: #bb2a2a; --warn: #9a6100; --wash: #eef0f2; }
  @media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e8eaec; --soft: #a2aab3; \
  --hair: #262b30; --c1: #63b1f5; --bad: #f08080; --warn: #e0ac4e; --wash: #22272c; } }
  body { margin: 0 auto; max-width: 1000px; padding: 24px 16px; background: var(--paper); \
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
  h1 { font-size: 24px; font-weight: 400; overflow-wrap: anywhere; }
  li { overflow-wrap: anywhere; }
  figure { margin: 20px 0; } figcaption { color: var(--soft); overflow-wrap: anywhere; }
  svg { display: block; max-width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--soft); }
  .end { text-anchor: end; } .middle { text-anchor: middle; }
  .grid, .rule { stroke: var(--hair); } .line { fill: none; stroke: var(--c1); stroke-width: 1.2; }
  .gap { fill: var(--wash); } .still { stroke: var(--warn); stroke-width: 3; } \
  .outlier { fill: var(--bad); } .ahead { fill: var(--c1); opacity: .12; }
  .scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
  th, td { padding: 2px 10px; text-align: right; white-space: nowrap; }
  th { color: var(--soft); font-weight: 400; }
  """
