/// A drawing with two scales, to which marks are added from back to front.
///
/// Colors are classes of the page's style sheet (`c1` and so on set `--c`), so that a drawing
/// follows the reader's light or dark scheme and the printer.
package struct Chart {
  /// Room around the plot.
  package struct Margins {
    package var top: Double
    package var right: Double
    package var bottom: Double
    package var left: Double

    /// Margins that suit a chart with both axes, unless said otherwise.
    package init(top: Double = 26, right: Double = 16, bottom: Double = 34, left: Double = 44) {
      (self.top, self.right, self.bottom, self.left) = (top, right, bottom, left)
    }
  }

  /// Outer width, in pixels of the page.
  package let width: Double
  /// Outer height.
  package let height: Double
  /// The horizontal scale.
  package let x: ChartScale
  /// The vertical scale.
  package let y: ChartScale
  /// Room around the plot.
  package let margins: Margins
  private var marks: [Markup] = []

  /// An empty drawing; `x` and `y` receive the range of coordinates they have to span.
  package init(
    width: Double, height: Double, margins: Margins = Margins(),
    x: (_ from: Double, _ to: Double) -> ChartScale,
    y: (_ from: Double, _ to: Double) -> ChartScale
  ) {
    (self.width, self.height, self.margins) = (width, height, margins)
    self.x = x(margins.left, width - margins.right)
    self.y = y(height - margins.bottom, margins.top)
  }

  /// Left edge of the plot.
  package var left: Double { margins.left }
  /// Right edge of the plot.
  package var right: Double { width - margins.right }
  /// Upper edge of the plot.
  package var top: Double { margins.top }
  /// Lower edge of the plot.
  package var bottom: Double { height - margins.bottom }

  /// The finished drawing; `label` is read to those who do not see it.
  package func svg(label: String, class name: String = "") -> Markup {
    let (w, h) = (Figures.coordinate(width), Figures.coordinate(height))
    return .element(
      "svg",
      [
        "viewBox": "0 0 \(w) \(h)", "width": w, "height": h, "role": "img", "aria-label": label,
        "class": name.isEmpty ? "chart" : "chart \(name)",
      ], marks)
  }

  /// Adds any mark.
  package mutating func add(_ mark: Markup) {
    marks.append(mark)
  }
}

// Axes.
extension Chart {
  /// Quiet lines across with their numbers at the left, and what they mean above them.
  package mutating func drawYAxis(
    _ title: String, about count: Int = 5, label: (ChartTick) -> String = { $0.label }
  ) {
    for tick in y.ticks(about: count) {
      let at = y(tick.value)
      addSegment((left, at), (right, at), class: "grid")
      addText(label(tick), at: (left - 7, at + 4), class: "tick end")
    }
    let full = [title, Figures.power(y.exponent) ?? ""].filter { !$0.isEmpty }
    guard !full.isEmpty else { return }
    addText(full.joined(separator: " "), at: (0, 13), class: "axis")
  }

  /// Numbers below the plot, and what they mean at the right end.
  package mutating func drawXAxis(
    _ title: String, about count: Int = 6, label: (ChartTick) -> String = { $0.label }
  ) {
    addSegment((left, bottom), (right, bottom), class: "rule")
    var lastEnd = -Double.infinity
    for tick in x.ticks(about: count) {
      let (at, text) = (x(tick.value), label(tick))
      let half = LabelPlacement.textWidth(text) / 2
      addSegment((at, bottom), (at, bottom + 4), class: "rule")
      guard at - half > lastEnd + 4 else { continue }
      // A tick at the very edge keeps its last letters.
      addText(text, at: (min(at, width - half), bottom + 17), class: "tick middle")
      lastEnd = at + half
    }
    if !title.isEmpty { addText(title, at: (right, bottom + 32), class: "axis end") }
  }
}

// Marks.
extension Chart {
  /// A straight line between two coordinates.
  package mutating func addSegment(
    _ from: (Double, Double), _ to: (Double, Double), class name: String
  ) {
    add(
      .element(
        "line",
        [
          "x1": Figures.coordinate(from.0), "y1": Figures.coordinate(from.1),
          "x2": Figures.coordinate(to.0), "y2": Figures.coordinate(to.1), "class": name,
        ]))
  }

  /// Text at a coordinate of its baseline.
  package mutating func addText(
    _ text: String, at: (Double, Double), class name: String, tooltip: String? = nil
  ) {
    let title = tooltip.map { [Markup.element("title", [:], [.text($0)])] } ?? []
    add(
      .element(
        "text",
        ["x": Figures.coordinate(at.0), "y": Figures.coordinate(at.1), "class": name],
        title + [.text(text)]))
  }

  /// A line through points of the data; a value that is not finite interrupts it.
  package mutating func addLine(
    _ points: [(x: Double, y: Double)], class name: String, tooltip: String? = nil
  ) {
    let path = Self.path(points.map { ($0.x.isFinite && $0.y.isFinite) ? (x($0.x), y($0.y)) : nil })
    guard !path.isEmpty else { return }
    let title = tooltip.map { [Markup.element("title", [:], [.text($0)])] } ?? []
    add(inPlot([.element("path", ["d": path, "class": "line \(name)"], title)]))
  }

  /// The area between two curves.
  package mutating func addBand(
    _ points: [(x: Double, low: Double, high: Double)], class name: String,
    tooltip: String? = nil
  ) {
    let usable = points.filter { $0.x.isFinite && $0.low.isFinite && $0.high.isFinite }
    guard usable.count > 1 else { return }
    let path = Self.path(
      usable.map { (x($0.x), y($0.high)) } + usable.reversed().map { (x($0.x), y($0.low)) })
    let title = tooltip.map { [Markup.element("title", [:], [.text($0)])] } ?? []
    add(inPlot([.element("path", ["d": path + "Z", "class": "band \(name)"], title)]))
  }

  /// A rectangle between coordinates of the data.
  package mutating func addBar(
    from low: (x: Double, y: Double), to high: (x: Double, y: Double), class name: String,
    tooltip: String? = nil
  ) {
    let (x1, x2, y1, y2) = (x(low.x), x(high.x), y(high.y), y(low.y))
    let title = tooltip.map { [Markup.element("title", [:], [.text($0)])] } ?? []
    add(
      .element(
        "rect",
        [
          "x": Figures.coordinate(min(x1, x2)), "y": Figures.coordinate(min(y1, y2)),
          "width": Figures.coordinate(abs(x2 - x1)), "height": Figures.coordinate(abs(y2 - y1)),
          "class": name,
        ], title))
  }

  /// A dot at a point of the data.
  package mutating func addDot(
    _ point: (x: Double, y: Double), radius: Double, class name: String, tooltip: String
  ) {
    guard point.x.isFinite, point.y.isFinite else { return }
    add(
      .element(
        "circle",
        [
          "cx": Figures.coordinate(x(point.x)), "cy": Figures.coordinate(y(point.y)),
          "r": Figures.coordinate(radius), "class": name,
        ], [.element("title", [:], [.text(tooltip)])]))
  }

  /// Names at the right ends of lines, moved apart where lines end close together.
  ///
  /// - Parameter ends: The name, the value at the line's end, and the class that colors it, the
  ///   important ones first; those that do not fit are left out.
  package mutating func addEndLabels(_ ends: [(name: String, y: Double, class: String)]) {
    let gap = 14.0
    let room = Int((bottom - top) / gap) + 1
    let shown = ends.filter { $0.y.isFinite }.prefix(max(room, 0))
    let wanted = shown.map { min(max(y($0.y), top), bottom) }
    let places = LabelPlacement.spread(wanted, gap: gap, in: top...max(top, bottom))
    for (end, (want, place)) in zip(shown, zip(wanted, places)) {
      if abs(want - place) > 3 {
        addSegment((right + 2, want), (right + 10, place), class: "leader \(end.class)")
      }
      let name = Self.shortened(end.name, to: margins.right - 14)
      addText(name, at: (right + 13, place + 4), class: "name \(end.class)", tooltip: end.name)
    }
  }

  /// Marks that are cut off at the edges of the plot.
  private func inPlot(_ content: [Markup]) -> Markup {
    let (l, t) = (Figures.coordinate(left), Figures.coordinate(top - 2))
    let (w, h) = (Figures.coordinate(right - left), Figures.coordinate(bottom - top + 4))
    return .element(
      "svg",
      ["x": l, "y": t, "width": w, "height": h, "viewBox": "\(l) \(t) \(w) \(h)"], content)
  }

  /// The path through coordinates; `nil` lifts the pen.
  package static func path(_ points: [(Double, Double)?]) -> String {
    var path = ""
    var isDown = false
    for point in points {
      guard let point else {
        isDown = false
        continue
      }
      path += (isDown ? "L" : "M") + Figures.coordinate(point.0) + " " + Figures.coordinate(point.1)
      isDown = true
    }
    return path
  }

  /// `text`, cut to about `width` pixels at 12 pixels a line.
  package static func shortened(_ text: String, to width: Double) -> String {
    guard LabelPlacement.textWidth(text) > width else { return text }
    var cut = text
    while !cut.isEmpty, LabelPlacement.textWidth(cut) > width - 8 { cut.removeLast() }
    return cut + "…"
  }
}
