import Apus
import ArgumentParser
import Foundation

/// `apus compose`: several trained models behind a router.
struct ComposeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compose",
    abstract: "Puts trained models behind a router that chooses one for each request.",
    discussion: """
      EXAMPLE: apus compose --experts calm,wild,trend --data new.csv --output panel

      The data must be such that no expert was trained on it: the router learns from what each loses
      there, and is judged on a part of it that is held out. The folder then serves in the place of a
      model's: apus forecast, stream and score take it. Where no router beats the best expert, that one
      is taken for every request.
      """)

  @Option(help: "Folders of trained models, separated by commas.")
  var experts: String
  @Option(help: "A CSV of series for forecasters, a text file for language models.")
  var data: String
  @Option(help: "The folder of the composition.")
  var output: String
  @Option(
    parsing: .unconditional,
    help: "Share of requests that are routed; unsure ones go to the best expert.")
  var coverage = 0.9
  @Option(parsing: .unconditional, help: "Characters of a passage, for text.")
  var passage = 512
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    guard coverage > 0, coverage <= 1 else {
      throw ValidationError("--coverage is \(coverage), but it must be above 0 and at most 1.")
    }
    try requireRange([("--passage", passage, 65536)])
  }

  func run() async throws {
    machine.apply()
    let paths = commaSeparated(experts)
    guard let first = paths.first else { throw ComposingError.noExperts }
    try ModelFolder.prepare(output)
    let requests: Composing.Requests
    if case .forecaster(let saved) = try ModelFolder.open(first).contents {
      requests = .series(
        try SeriesTable(readingCSVAt: data, options: columns.reading.completed(by: saved)))
    } else {
      let corpus = try TextCorpus(readingAt: data, unit: .bytes)
      let text = corpus.tokenizer.decode(corpus.train + corpus.validation)
      requests = .text(text, passage: passage)
    }
    let made = try await Composing(
      experts: paths, requests: requests, output: output, coverage: coverage
    ).run()
    try made.composition.save()
    try emit(machine.json ? try jsonText(made.summary) : sentence(made.summary))
  }

  private func sentence(_ summary: ComposingSummary) -> String {
    func rounded(_ value: Double) -> String { String(format: "%.5g", value) }
    let report = summary.report
    let lines = zip(summary.experts, zip(report.single, report.shares)).map { name, figures in
      "  \(name): \(rounded(figures.0)) alone, takes \(Int((figures.1 * 100).rounded())) %"
    }
    return """
      router: \(summary.predictor), base \(summary.base)
      mean loss on \(report.examples) held-out requests: \(rounded(report.routed)) routed \
      (± \(rounded(report.standardError)) against the best expert), \
      \(rounded(report.hindsight)) in hindsight
      \(lines.joined(separator: "\n"))
      a decision takes \(rounded(summary.routerSeconds * 1e6)) µs, \
      \(rounded(summary.overhead * 100)) % of an expert's time
      composition: \(output)
      """
  }
}
