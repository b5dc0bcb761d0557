import Apus
import ArgumentParser

/// `apus score`: how likely a model finds given tokens.
struct ScoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "score",
    abstract: "Prints the log-probability of each token of a sequence.",
    discussion: """
      EXAMPLE: apus score --model gpt2 --tokens ids.json --logits logits.safetensors

      One line per token: position, id, natural logarithm of its probability given those before it \
      (empty for the first); with --json the array log_probabilities, its total and the perplexity. Of \
      a BERT folder with a masked-language head each token is scored given the whole sequence.
      """)

  @Option(help: "A folder with config.json and safetensors.")
  var model: String
  @Option(help: "A JSON array of token ids, such as [464, 1182].")
  var tokens: String
  @Option(help: "Writes the logits here, as one float32 tensor 'logits' [T, V]. Default: nowhere.")
  var logits: String?
  @OptionGroup var machine: MachineOptions

  func run() throws {
    machine.apply()
    let scores = try TokenScores(ofFile: tokens, modelAt: model, logits: logits)
    guard !machine.json else { return try Printer.results.print(try jsonText(scores)) }
    let lines = zip(scores.tokens, scores.logProbabilities).enumerated().map { place, score in
      "\(place)\t\(score.0)\t\(score.1.map { "\($0)" } ?? "")"
    }
    try Printer.results.print(lines.joined(separator: "\n"))
    Printer.messages.note("total \(scores.total) nats, perplexity \(scores.perplexity)")
  }
}
