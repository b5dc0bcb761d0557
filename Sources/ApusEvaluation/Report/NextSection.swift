/// What to do next, as the template fills it in.
struct NextSection {
  /// A command.
  struct Step {
    let title: Markup
    let note: Markup
    let command: Markup?
  }

  let sentences: [Markup]
  let steps: [Step]

  init?(_ record: ComparisonRecord) {
    sentences = record.advice.map { .text($0) }
    steps = (record.recommendation?.next ?? []).map { step in
      Step(
        title: .text(step.title), note: .text(step.note.map { ": \($0)." } ?? ""),
        command: step.command.map(Markup.text))
    }
    if sentences.isEmpty, steps.isEmpty { return nil }
  }
}

extension ComparisonRecord {
  /// What would help, in sentences; none where nothing is known to.
  public var advice: [String] {
    var advice: [String] = []
    if verdict.reason == .tooFewWindows || verdict.reason == .notSignificant {
      advice.append(
        "More rows, or a shorter horizon, would give the test more windows that share no target.")
    }
    let unfinished = ranked.filter { $0.unfinished != nil }.map(\.name)
    if let first = unfinished.first {
      let names =
        unfinished.count == 1
        ? "\(first) was" : "\(unfinished.joined(separator: ", ")) were"
      advice.append(
        "\(names) still improving at the end of the budget: a longer one (--budget) is worth a try."
      )
    }
    if let found = residuals?.autocorrelation, found.pValue < 0.05 {
      advice.append(
        "The errors of \(residuals?.name ?? "") still hold a pattern: a longer look-back (--context), a season "
          + "(--season) or columns that are known ahead (--future) may catch it.")
    }
    return advice
  }
}
