/// The cost of a token at one length, for each model that was measured.
public struct CostLine: Codable, Sendable {
  /// A point of the line.
  public struct Point: Codable, Sendable {
    /// Tokens of the sequence.
    public var length: Int
    /// Microseconds for each token.
    public var microseconds: Double

    /// Creates a point.
    public init(length: Int, microseconds: Double) {
      (self.length, self.microseconds) = (length, microseconds)
    }
  }

  /// The architecture.
  public var name: String
  /// Whether a further token costs the same however many came before.
  public var isRecurrent: Bool
  /// The points, by ascending length.
  public var points: [Point]

  /// Creates a line.
  public init(name: String, isRecurrent: Bool, points: [Point]) {
    (self.name, self.isRecurrent, self.points) = (name, isRecurrent, points)
  }
}

/// Draws the cost of a token against the length of the sequence, both in ratios, one panel per task,
/// as an SVG file that needs nothing else.
///
/// - Parameters:
///   - panels: A title and the lines of each panel.
///   - caption: What was measured, and where.
/// - Returns: The whole file.
public func costChart(_ panels: [(title: String, lines: [CostLine])], caption: String) -> String {
  let (width, height, gap) = (620.0, 430.0, 24.0)
  var content: [Markup] = [
    .element("rect", ["width": "100%", "height": "100%", "class": "paper"]),
    .element("text", ["x": "12", "y": "24", "class": "caption"], [.text(caption)]),
  ]
  for (index, panel) in panels.enumerated() {
    let place = 12 + Double(index) * (width + gap)
    content.append(
      .element(
        "svg",
        ["x": Figures.coordinate(place), "y": "40", "width": Figures.coordinate(width)],
        [costPanel(panel.title, panel.lines, width: width, height: height)]))
  }
  let total = 24 + Double(panels.count) * (width + gap) - gap
  let style = Markup.element("style", [:], [.text(costStyle)])
  let drawing = Markup.element(
    "svg",
    [
      "xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-label": caption,
      "width": Figures.coordinate(total), "height": Figures.coordinate(height + 52),
      "viewBox": "0 0 \(Figures.coordinate(total)) \(Figures.coordinate(height + 52))",
    ], [style] + content)
  return drawing.source + "\n"
}

private func costPanel(
  _ title: String, _ lines: [CostLine], width: Double, height: Double
) -> Markup {
  let points = lines.flatMap(\.points)
  var chart = Chart(
    width: width, height: height, margins: Chart.Margins(right: 130, bottom: 40, left: 56),
    x: { ChartScale(.logarithmic, over: points.map { Double($0.length) }, from: $0, to: $1) },
    y: {
      ChartScale(
        .logarithmic, over: points.map(\.microseconds), from: $0, to: $1, padding: 0.04)
    })
  chart.drawYAxis("\(title): microseconds a token")
  chart.addSegment((chart.left, chart.bottom), (chart.right, chart.bottom), class: "rule")
  for length in Set(points.map(\.length)).sorted() {
    let at = chart.x(Double(length))
    chart.addSegment((at, chart.bottom), (at, chart.bottom + 4), class: "rule")
    let label = length % 1024 == 0 ? "\(length / 1024)k" : "\(length)"
    chart.addText(label, at: (at, chart.bottom + 17), class: "tick middle")
  }
  chart.addText(
    "tokens of the sequence", at: (chart.right, chart.bottom + 34), class: "axis end")
  for line in lines {
    chart.addLine(
      line.points.map { (Double($0.length), $0.microseconds) },
      class: line.isRecurrent ? "c1" : "c2",
      tooltip: line.name)
  }
  let ends = lines.compactMap { line in
    line.points.last.map { (line.name, $0.microseconds, line.isRecurrent ? "c1" : "c2") }
  }
  chart.addEndLabels(ends)
  return chart.svg(label: title)
}

/// The classes of the page's style sheet that these marks use, for paper that is always white.
private let costStyle = """
  .paper { fill: white } text { font: 12px sans-serif; fill: #5b636d }
  .caption { fill: #16191d; font-size: 13px } .end { text-anchor: end } .middle { text-anchor: middle }
  .c1 { --c: #0a62b3 } .c2 { --c: #bf4a05 } .name { fill: var(--c) } .grid { stroke: #e9ebee }
  .rule { stroke: #c5cad0 } .leader { stroke: var(--c); opacity: .6 }
  .line { fill: none; stroke: var(--c); stroke-width: 1.6; stroke-linejoin: round }
  """
