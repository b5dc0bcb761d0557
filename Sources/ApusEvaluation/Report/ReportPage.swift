/// What the template fills in. Every value is ``Markup``, so everything is escaped exactly once,
/// here; the template therefore inserts all values as they are.
struct ReportPage {
  /// A label and what it says.
  struct Fact {
    let label: Markup
    let value: Markup

    init(_ label: String, _ value: String) {
      self.label = .text(label)
      self.value = .text(value)
    }
  }

  /// A drawing for wide and one for narrow screens.
  struct Drawing {
    let wide: Markup
    let narrow: Markup

    /// Draws twice, half the page wide (or all of it) and for a telephone.
    init?(wide: Double = 570, _ draw: (_ width: Double) -> Markup?) {
      guard let first = draw(wide), let second = draw(358) else { return nil }
      (self.wide, narrow) = (first, second)
    }
  }

  /// One small drawing of a series of the same kind.
  struct Panel {
    let title: Markup
    let subtitle: Markup
    let look: Markup
    let drawing: Markup
  }

  /// The same drawing of another row.
  struct Histogram {
    let title: Markup
    let look: Markup
    let drawing: Drawing
  }

  /// A part of the split in words.
  struct Part {
    let use: Markup
    let from: Markup
    let to: Markup
    let rows: Markup
    let look: Markup
  }

  /// A check of the data in words.
  struct Finding {
    let severity: Markup
    let sign: Markup
    let check: Markup
    let count: Markup
    let detail: Markup
    let hasLines: Bool
    let lines: Markup
  }

  let title: Markup
  let kicker: Markup
  let headline: Markup
  let explanation: Markup
  let facts: [Fact]
  let outlook: Outlook?
  let next: NextSection?
  let hasBasis: Bool
  let basis: [Markup]
  let series: SeriesSection?
  let residuals: ResidualSection?
  let barName: Markup?
  let confidence: Markup
  let table: LeaderboardTable
  let curves: Drawing?
  let tradeoff: Drawing?
  let horizon: Drawing?
  let horizonTitle: Markup
  let calibration: Drawing?
  let hasPit: Bool
  let pit: [Histogram]
  let hasFans: Bool
  let fans: [Panel]
  let measures: MeasureTable?
  let split: Drawing?
  let parts: [Part]
  let hasHealth: Bool
  let health: [Finding]
  let openingNote: Markup
  let openings: [Fact]
  let command: Markup
  let reproduction: [Fact]

  init(_ record: ComparisonRecord) {
    let cast = ChartCast(record)
    let isText = record.task.kind == .text
    title = .text("\(record.headline) · \(record.task.data)")
    kicker = .text(record.task.data)
    headline = .text(Self.unbroken(record.headline))
    explanation = .text(Self.unbroken(record.explanation))
    facts = Self.facts(record)
    outlook = Outlook(record, cast: cast)
    next = NextSection(record)
    basis = record.protocolSentences.map { .text(Self.unbroken($0)) }
    hasBasis = !basis.isEmpty
    series = SeriesSection(record, cast: cast)
    residuals = ResidualSection(record, cast: cast)
    barName = cast.bar.map { .text($0.name) }
    confidence = .text(Figures.percent(record.verdict.confidence, decimals: 0))
    table = LeaderboardTable(record, cast: cast)
    curves = Drawing { learningCurveChart(record, cast: cast, width: $0) }
    tradeoff = Drawing { tradeoffChart(record, cast: cast, width: $0) }
    horizon = Drawing { horizonChart(record, cast: cast, width: $0) }
    horizonTitle = .text(isText ? "Loss by position in the context" : "Error by horizon")
    calibration = Drawing { calibrationChart(record, cast: cast, width: $0) }
    pit = Self.histograms(cast)
    hasPit = !pit.isEmpty
    fans = Self.fanPanels(record, cast: cast)
    hasFans = !fans.isEmpty
    measures = MeasureTable(record)
    split = Drawing(wide: 1172) { splitChart(record, width: $0) }
    parts = Self.parts(record)
    health = record.health.map(Finding.init)
    hasHealth = !health.isEmpty
    openingNote = .text(Self.openingNote(record))
    openings = record.openings.map {
      Fact(
        ComparisonTask.TimeAxis.utcSeconds.text($0.at.rounded()),
        "\($0.purpose); \(Figures.count($0.windows)) scored"
      )
    }
    command = .text(record.reproduction.command)
    reproduction = Self.reproduction(record)
  }
}

extension ReportPage {
  /// A text in which no line ends between a number and its unit or name.
  static func unbroken(_ text: String) -> String {
    text.replacing(" %", with: "\u{202F}%").replacing("p = ", with: "p\u{A0}=\u{A0}")
      .replacing("p < ", with: "p\u{A0}<\u{A0}")
  }

  private static func facts(_ record: ComparisonRecord) -> [Fact] {
    let task = record.task
    let measure = task.measure.map { " as \($0)" } ?? ""
    let horizon = task.horizon.map { p in
      "next \(p == 1 ? task.stepName : "\(p) \(task.stepName)s") of "
    }
    let amount = task.budgetAmount
    let seconds = amount < 120 ? Figures.short(amount) + " s" : Figures.round(amount / 60) + " min"
    let budget =
      task.budgetUnit == "seconds"
      ? "\(seconds) of training each"
      : "\(Figures.short(task.budgetAmount)) \(task.budgetUnit) each"
    func counted(_ count: Int, _ one: String) -> String {
      "\(Figures.count(count)) \(one)\(count == 1 ? "" : "s")"
    }
    return [
      Fact("question", (horizon ?? "") + task.target + measure),
      Fact("judged by", task.lossName),
      Fact("data", counted(task.rows, task.kind == .text ? "character" : "row")),
      Fact("context", counted(task.context, task.kind == .text ? "token" : "row")),
      Fact("budget", budget),
      Fact("seeds", task.seeds.count == 1 ? "1" : "\(task.seeds.count) per model"),
      task.testWindows.map {
        let every = task.originStride.map { ", on one date in \($0)" } ?? ""
        return Fact("test", counted($0, task.kind == .text ? "token" : "origin") + every)
      },
      Fact("machine", "\(task.threads) thread\(task.threads == 1 ? "" : "s"), \(task.isa)"),
    ].compactMap(\.self)
  }

  private static func histograms(_ cast: ChartCast) -> [Histogram] {
    let rows = cast.pair
    let ceiling = rows.flatMap(\.row.pit).filter(\.isFinite).max() ?? 0
    guard ceiling > 0 else { return [] }
    return rows.compactMap { role in
      Drawing { pitChart(role.row, ceiling: ceiling * 1.08, look: role.look, width: $0) }
        .map { Histogram(title: .text(role.row.name), look: .text(role.look), drawing: $0) }
    }
  }

  /// Up to three origins across, the model above the baseline.
  private static func fanPanels(_ record: ComparisonRecord, cast: ChartCast) -> [Panel] {
    let examples = record.examples.prefix(6)
    return stride(from: 0, to: examples.count, by: 3).flatMap { first in
      cast.pair.flatMap { role in
        examples[first..<min(first + 3, examples.count)].compactMap { example -> Panel? in
          let shared = example.fans.filter { fan in cast.pair.contains { $0.row.name == fan.name } }
          guard let fan = shared.first(where: { $0.name == role.row.name }),
            let drawing = fanChart(
              example, fan: fan, sharing: shared, look: role.look, task: record.task, width: 370)
          else { return nil }
          let origin = record.task.timeAxis.text(example.history.last?.time ?? 0)
          return Panel(
            title: .text(role.row.name), subtitle: .text("from \(origin)"),
            look: .text(role.look), drawing: drawing)
        }
      }
    }
  }

  private static func parts(_ record: ComparisonRecord) -> [Part] {
    record.split.map { part in
      Part(
        use: .text(part.use.label),
        from: .text(record.task.timeAxis.text(part.times.lowerBound)),
        to: .text(record.task.timeAxis.text(part.times.upperBound)),
        rows: .text(Figures.count(part.rowCount)), look: .text(part.use.rawValue))
    }
  }

  private static func openingNote(_ record: ComparisonRecord) -> String {
    switch record.openings.count {
    case 0: "It is not recorded when the test split was opened."
    case 1: "The test split was opened once, after every choice had been made on validation."
    default:
      """
      The test split was opened \(record.openings.count) times, so scores may be too good: choices \
      made after the first look have seen the answer.
      """
    }
  }

  private static func reproduction(_ record: ComparisonRecord) -> [Fact] {
    let (block, task) = (record.reproduction, record.task)
    return [
      Fact("seed", "\(block.seed)"),
      Fact("model seeds", task.seeds.map(String.init).joined(separator: ", ")),
      Fact("data", task.data + (block.dataBytes.map { ", \(Figures.bytes($0))" } ?? "")),
      block.dataSha256.map { Fact("SHA-256", $0) },
      Fact("threads", "\(task.threads)"),
      Fact("instruction set", task.isa),
      block.machine.map { Fact("machine", $0) },
      Fact("versions", block.versions.map { "\($0.name) \($0.version)" }.joined(separator: " · ")),
      block.startedAt.finite.map {
        Fact("started", ComparisonTask.TimeAxis.utcSeconds.text($0.rounded()) + " UTC")
      },
      block.seconds.finite.map { Fact("took", Figures.duration($0)) },
    ].compactMap(\.self)
  }
}

extension ReportPage.Finding {
  init(_ finding: HealthFinding) {
    severity = .text(finding.severity.rawValue)
    let signs: [HealthFinding.Severity: String] = [
      .clean: "✓", .note: "i", .warning: "!", .problem: "✕",
    ]
    sign = .text(signs[finding.severity] ?? "")
    check = .text(finding.check)
    count = .text(finding.count == 0 ? "" : Figures.count(finding.count))
    detail = .text(finding.detail)
    hasLines = !finding.lines.isEmpty
    lines = .text(finding.lines.prefix(20).joined(separator: "\n"))
  }
}
