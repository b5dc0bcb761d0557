import ApusEvaluation
import Foundation
import Testing

@Suite("Report")
struct ReportTests {
  @Test("it loads nothing from anywhere")
  func noNetwork() throws {
    for record in [SampleComparison.series(), SampleComparison.text()] {
      let page = try renderReport(record)
      for trace in ["http:", "https:", "//", "src=", "href=", "url(", "@import"] {
        #expect(!page.contains(trace), "\(trace)")
      }
      #expect(page.hasPrefix("<!DOCTYPE html>"))
      #expect(!page.contains("{{"))
      #expect(!page.contains("nan"))
      #expect(!page.contains("Markup(") && !page.contains("Optional("))
    }
  }

  @Test("it says after which step training was at its best")
  func bestStep() throws {
    var record = SampleComparison.series()
    let model = try #require(record.rows.firstIndex { $0.kind == .model && $0.status == .ok })
    record.rows[model].steps = 505
    record.rows[model].curve = [(21, 3.0), (42, 2), (77, .nan), (505, 4)].map {
      LearningPoint(seconds: Double($0.0), step: $0.0, validationLoss: $0.1)
    }
    #expect(try renderReport(record).contains("505 steps, best at 42"))
  }

  @Test("it shows hostile strings as text, wherever they stand")
  func escaping() throws {
    let evil = "<script>alert(1)</script>"
    // The quote with a combining mark is one character, but a browser sees the quote.
    let sly = "\"\u{301} onload=\"alert(2)\u{0}' {{headline}} {{{headline}}}"
    var record = SampleComparison.series()
    for index in record.rows.indices {
      let name = record.rows[index].name
      record.rows[index].name = "\(index)" + evil + sly
      record.rows[index].message = evil + sly
      for example in record.examples.indices {
        for fan in record.examples[example].fans.indices
        where record.examples[example].fans[fan].name == name {
          record.examples[example].fans[fan].name = record.rows[index].name
        }
      }
    }
    record.verdict.model = record.rows[0].name
    record.verdict.baseline = evil + sly
    record.task.covariates = [evil + sly]
    record.task.data = evil + sly
    record.task.target = evil + sly
    record.task.measure = evil + sly
    record.task.lossName = evil + sly
    record.task.lossUnit = evil + sly
    record.task.stepName = evil + sly
    record.task.budgetUnit = evil + sly
    record.task.isa = evil + sly
    record.health[1].check = evil + sly
    record.health[1].detail = evil + sly
    record.health[1].lines = [evil + sly]
    record.openings[0].purpose = evil + sly
    record.reproduction.command = evil + sly
    record.reproduction.machine = evil + sly
    record.reproduction.dataSha256 = evil + sly
    record.reproduction.versions = [.init(name: evil + sly, version: evil + sly)]
    let page = try renderReport(record)
    let scalars = Array(page.unicodeScalars)
    #expect(page.components(separatedBy: "<script>").count == 2)  // ours
    #expect(!page.contains("<script>alert"))
    #expect(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"))
    #expect(!page.unicodeScalars.contains("\u{0}"))
    // A combining mark never follows a raw quote.
    let marks = scalars.indices.filter { scalars[$0] == "\u{301}" }
    #expect(!marks.isEmpty)
    #expect(marks.allSatisfy { scalars[$0 - 1] == ";" })
    #expect(page.contains("{{headline}}"))  // text stays text; the template is rendered once
  }

  @Test("it leaves out sections without data")
  func sections() throws {
    let series = try renderReport(SampleComparison.series())
    for title in [
      "Leaderboard", "Learning curves", "Quality, latency, memory", "Forecasts", "Calibration",
      "Error by horizon", "PIT histogram", "Split", "Data health", "Reproduction",
    ] { #expect(series.contains("<h2>\(title)</h2>"), "\(title)") }
    let text = try renderReport(SampleComparison.text())
    for title in ["Forecasts", "Calibration", "PIT histogram", "Data health"] {
      #expect(!text.contains("<h2>\(title)</h2>"), "\(title)")
    }
  }

  @Test("it renders a record in which everything failed or is missing")
  func empty() throws {
    var record = SampleComparison.series()
    for index in record.rows.indices {
      record.rows[index] = ComparisonRow(name: "row \(index)", kind: .model)
      record.rows[index].status = .failed
      record.rows[index].message = "out of memory"
    }
    record.verdict.model = nil
    (record.split, record.overview, record.examples) = ([], [], [])
    (record.health, record.openings) = ([], [])
    let page = try renderReport(record)
    #expect(page.contains("out of memory"))
    #expect(!page.contains("<h2>Learning curves</h2>"))
    record.rows = []
    #expect(try renderReport(record).contains("<h2>Leaderboard</h2>"))
  }

  @Test(
    "it survives numbers that are not finite or absurd",
    arguments: [
      Double.nan, .infinity, -.infinity, 0, -0.0, 1e308, -1e308, .leastNonzeroMagnitude,
    ])
  func absurd(value: Double) throws {
    var record = SampleComparison.series()
    record.task.budgetAmount = value
    record.reproduction.startedAt = value
    record.reproduction.seconds = value
    record.openings[0].at = value
    record.task.testWindows = .max
    record.task.horizon = 0
    for index in record.rows.indices {
      record.rows[index].loss = index % 2 == 0 ? value : record.rows[index].loss
      record.rows[index].skill = value
      record.rows[index].validationLoss = value
      record.rows[index].millisecondsP50 = value
      record.rows[index].seconds = value
      record.rows[index].pValue = value
      record.rows[index].peakBytes = index % 2 == 0 ? .max : .min
      record.rows[index].parameters = .min
      record.rows[index].curve = [
        LearningPoint(seconds: value, step: .max, validationLoss: value),
        LearningPoint(seconds: 1, step: 0, validationLoss: 1),
      ]
      record.rows[index].calibration = [CalibrationPoint(nominal: value, empirical: value)]
      record.rows[index].lossBySteps = [
        StepLoss(step: .min, loss: value), StepLoss(step: .max, loss: 1),
      ]
      record.rows[index].pit = [value, 0.5, 0.5]
      if !value.isNaN { record.rows[index].interval = value...value }
    }
    record.overview[3] = SeriesPoint(time: value, value: value)
    record.examples[0].history[59] = SeriesPoint(time: value, value: value)
    record.examples[1].fans[0].quantiles[1][2] = value
    record.examples[2].fans[0].quantiles = [[1], []]
    record.examples[2].fans[1].levels = []
    if !value.isNaN {
      record.split[0].times = value...value
      record.split[1].rows = Int.min...Int.max
    }
    #expect(try renderReport(record).hasSuffix("</html>\n"))
  }
}
