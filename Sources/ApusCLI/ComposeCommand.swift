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

      The data must be such that no expert was trained on it: the router learns from what each loses \
      there, and is judged on a part of it that is held out. The folder then serves in the place of a \
      model's: apus forecast, stream and score take it. Where no router beats the best expert, that one \
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
  @Option(parsing: .unconditional, help: "Characters of a passage, for text. Default: 512.")
  var passage: Int?
  @Flag(name: .shortAndLong, help: "No progress.")
  var quiet = false
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    guard coverage > 0, coverage <= 1 else {
      throw ValidationError("--coverage is \(coverage), but it must be above 0 and at most 1.")
    }
    try requireRange([("--passage", passage, 1...65536)])
  }

  func run() async throws {
    machine.apply()
    let paths = commaSeparated(experts)
    let requests = try Composing.Requests(
      readingFileAt: data, forExperts: paths, reading: columns.reading, passage: passage ?? 512)
    switch requests {
    case .series:
      try refuse(
        [("--passage", passage != nil)], unless: false,
        because: "is for language models, but the experts are forecasters. Leave it out.")
    case .text:
      try refuse(
        columns.given, unless: false,
        because: "is for forecasters, but the experts are language models. Leave it out.")
    }
    let progress = Progress(isQuiet: quiet)
    defer { progress.end() }
    let made = try await Composing(
      experts: paths, requests: requests, output: output, coverage: coverage
    ).run { progress.show($0) }
    try made.composition.save()
    progress.end()
    try Printer.results.print(machine.json ? try jsonText(made.summary) : sentence(made.summary))
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
