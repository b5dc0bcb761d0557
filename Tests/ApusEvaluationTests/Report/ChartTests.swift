import ApusEvaluation
import Testing

@Suite("Chart scale")
struct ChartScaleTests {
  @Test("it maps a linear domain to coordinates, downwards too")
  func linear() {
    let down = ChartScale(.linear, over: [0, 4, .nan, .infinity], from: 100, to: 20)
    #expect([0, 1, 4].map { down($0) } == [100, 80, 20])
    #expect(down(5) == 0)
  }

  @Test("it maps equal ratios to equal distances")
  func logarithmic() {
    let scale = ChartScale(.logarithmic, over: [0.01, 100, 0, -3], from: 0, to: 400)
    #expect(abs(scale(0.1) - 100) < 1e-9)
    #expect(abs(scale(1) - 200) < 1e-9)
    #expect(scale.ticks(about: 5).map(\.label) == ["0.01", "0.1", "1", "10", "100"])
  }

  @Test(
    "it marks round numbers",
    arguments: [
      ([0.0, 1], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
      ([-3, 7], ["−2", "0", "2", "4", "6"]),
      ([0, 12_000], ["0", "2 k", "4 k", "6 k", "8 k", "10 k", "12 k"]),
      ([0.0039, 0.0043], ["3.9", "4.0", "4.1", "4.2", "4.3"]),
      ([1e-7, 5e-7], ["100", "200", "300", "400", "500"]),
    ])
  func marks(values: [Double], labels: [String]) {
    #expect(
      ChartScale(.linear, over: values, from: 0, to: 1).ticks(about: 5).map(\.label) == labels)
  }

  @Test("it leaves out the power of ten of small numbers")
  func exponent() {
    #expect(ChartScale(.linear, over: [0.0039, 0.0043], from: 0, to: 1).exponent == -3)
    #expect(ChartScale(.linear, over: [1e-7, 5e-7], from: 0, to: 1).exponent == -9)
    #expect(ChartScale(.linear, over: [0, 0.02], from: 0, to: 1).exponent == 0)
  }

  @Test("it widens a domain of one value, and has one for none")
  func degenerate() {
    #expect(ChartScale(.linear, over: [5, 5], from: 0, to: 1).domain == 4.5...5.5)
    #expect(ChartScale(.linear, over: [], from: 0, to: 1).domain == 0...1)
    #expect(ChartScale(.logarithmic, over: [4], from: 0, to: 1).domain == 2...8)
  }

  @Test(
    "it marks the calendar",
    arguments: [
      // 2015-06-10 to 2015-07-07, 2014-11-15 to 2016-02-15, 1999 to 2018, one day
      (1_433_894_400.0, 1_436_227_200.0, ["11 Jun", "18 Jun", "25 Jun", "2 Jul"]),
      (1_416_009_600.0, 1_455_494_400.0, ["2015", "Apr", "Jul", "Oct", "2016"]),
      (
        915_148_800.0, 1_514_764_800.0,
        ["2000", "2002", "2004", "2006", "2008", "2010", "2012", "2014", "2016", "2018"]
      ),
      (86_400.0, 172_800.0, ["2 Jan", "06:00", "12:00", "18:00", "3 Jan"]),
    ])
  func calendar(low: Double, high: Double, labels: [String]) {
    let count = labels.count > 6 ? 8 : 4
    let ticks = ChartScale(.time, over: [low, high], from: 0, to: 1).ticks(about: count)
    #expect(ticks.map(\.label) == labels)
  }
}

@Suite("Chart date")
struct ChartDateTests {
  @Test(
    "it knows the calendar",
    arguments: [
      (0.0, "1970-01-01"), (951_782_400, "2000-02-29"), (-86_400, "1969-12-31"),
      (-1, "1969-12-31 23:59"), (4_102_444_800, "2100-01-01"), (1_763_700_000, "2025-11-21 04:40"),
      (-2_203_891_200, "1900-03-01"),
    ])
  func dates(seconds: Double, text: String) {
    #expect(ChartDate(seconds: seconds)?.text == text)
  }

  @Test("it counts back to the seconds of every month for 800 years")
  func roundTrip() {
    for month in 0..<9600 {
      let civil = ChartDate(seconds: ChartDate.seconds(year: 1600, month: month))
      let found = civil.map { [$0.year, $0.month, $0.day, $0.second] }
      #expect(found == [1600 + month / 12, month % 12 + 1, 1, 0])
    }
  }

  @Test("it refuses what is no moment", arguments: [Double.nan, .infinity, -1e13])
  func refuses(seconds: Double) {
    #expect(ChartDate(seconds: seconds) == nil)
  }
}

@Suite("Label placement")
struct LabelPlacementTests {
  @Test("it moves labels apart as little as possible")
  func spread() {
    let spread = { LabelPlacement.spread($0, gap: 10, in: 0...100) }
    #expect(spread([50, 20]) == [50, 20])
    #expect(spread([50, 50]) == [45, 55])
    #expect(spread([48, 50, 52]) == [40, 50, 60])
    #expect(spread([0, 1]) == [0, 10])
    #expect(spread([99, 100, 30]) == [90, 100, 30])
    #expect(spread([]) == [])
  }

  @Test("it keeps the order and the gap for a hundred seeds")
  func law() {
    for seed in 0..<100 {
      var draw = Draw(state: UInt64(seed))
      let wanted = (0..<8).map { _ in 100 * draw.uniform() }
      let placed = LabelPlacement.spread(wanted, gap: 12, in: 0...100)
      let sorted = wanted.indices.sorted { wanted[$0] < wanted[$1] }.map { placed[$0] }
      for (a, b) in zip(sorted, sorted.dropFirst()) {
        #expect(b - a >= 12 - 1e-9, "seed \(seed)")
      }
      #expect(sorted[0] >= -1e-9 && sorted[7] <= 100 + 1e-9, "seed \(seed)")
    }
  }

  @Test("it puts labels beside discs, over nothing else")
  func around() throws {
    let bounds = LabelPlacement.Box(x: 0, y: 0, width: 200, height: 100)
    let discs = [40.0, 46, 180].map {
      LabelPlacement.Disc(x: $0, y: 50, radius: 5, label: "Mamba")
    }
    let boxes = LabelPlacement.around(discs, in: bounds).compactMap(\.self)
    #expect(boxes.count == 3)
    for (index, box) in boxes.enumerated() {
      for other in boxes.dropFirst(index + 1) { #expect(box.overlap(other) == 0) }
      #expect(abs(box.overlap(bounds) - box.width * box.height) < 1e-9)
    }
    #expect(boxes[2].x < 180)  // no room at the right
    let crowd = (0..<40).map { _ in LabelPlacement.Disc(x: 50, y: 50, radius: 5, label: "x") }
    #expect(LabelPlacement.around(crowd, in: bounds).contains { $0 == nil })
  }
}

@Suite("Chart")
struct ChartTests {
  /// 100 × 60 with a plot from (10, 10) to (90, 50).
  private var chart: Chart {
    Chart(
      width: 100, height: 60, margins: Chart.Margins(top: 10, right: 10, bottom: 10, left: 10),
      x: { ChartScale(.linear, over: [0, 4], from: $0, to: $1) },
      y: { ChartScale(.linear, over: [0, 2], from: $0, to: $1) })
  }

  @Test("it draws a line where the points are, and lifts the pen at a gap")
  func line() {
    var chart = chart
    chart.addLine([(0, 0), (1, 1), (2, .nan), (3, 2), (4, 0.5)], class: "c1")
    #expect(chart.svg(label: "").source.contains("d=\"M10 50L30 30M70 10L90 40\""))
  }

  @Test("it draws a band as a closed path")
  func band() {
    var chart = chart
    chart.addBand([(0, 0, 1), (4, 1, 2)], class: "c1")
    #expect(chart.svg(label: "").source.contains("d=\"M10 30L90 10L90 30L10 50Z\""))
  }

  @Test("it draws dots and bars with their tooltips escaped")
  func dot() {
    var chart = chart
    chart.addDot((2, 1), radius: 3, class: "c1", tooltip: "<b>")
    chart.addBar(from: (1, 0), to: (2, 1.5), class: "bar")
    let source = chart.svg(label: "\"a\" & 'b'").source
    #expect(source.contains("cx=\"50\" cy=\"30\" r=\"3\" class=\"c1\"><title>&lt;b&gt;</title>"))
    #expect(source.contains("x=\"30\" y=\"20\" width=\"20\" height=\"30\""))
    #expect(source.contains("aria-label=\"&quot;a&quot; &amp; &#39;b&#39;\""))
  }

  @Test("it shortens names that are too long")
  func shortened() {
    #expect(Chart.shortened("GPT", to: 60) == "GPT")
    let short = Chart.shortened("A name without an end, never", to: 60)
    #expect(short.hasSuffix("…") && short.count < 12)
    #expect(Chart.shortened("abc", to: 0) == "…")
  }
}
