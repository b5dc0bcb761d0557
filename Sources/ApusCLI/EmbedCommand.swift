import Apus
import ArgumentParser
import Foundation

/// `apus embed`: lines in, sentence vectors out.
struct EmbedCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "embed",
    abstract: "Turns each line of standard input into a vector.",
    discussion: """
      EXAMPLE: apus embed --model all-MiniLM-L6-v2 < sentences.txt > vectors.json

      Takes a BERT or MiniLM folder with its tokenizer. Prints one JSON array with a vector per line of \
      input, in their order; with --json an object with the vectors, their length and the number of \
      tokens of each line, written as they come. Lines longer than the folder's sentence configuration allows are cut off.
      """)

  @Option(help: "A folder with config.json, safetensors and tokenizer.json or vocab.txt.")
  var model: String
  @OptionGroup var machine: MachineOptions

  func run() throws {
    machine.apply()
    let embedder = try TextEmbedder(folder: model)
    let dimensions = embedder.encoder.dimensions
    // A part of the lines at a time: memory does not grow with their number.
    var (text, counts) = (
      machine.json ? "{\"dimensions\":\(dimensions),\"embeddings\":[" : "[", [Int]()
    )
    var input = LineReader()
    while !Printer.results.isClosed {
      var (part, bytes) = ([String](), 0)
      while part.count < 4096, bytes <= LineReader.limit, let line = try input.next() {
        guard line.utf8.count <= LineReader.limit else {
          throw TextError.lineTooLong(line: counts.count + part.count + 1, limit: LineReader.limit)
        }
        part.append(line)
        bytes += line.utf8.count
      }
      guard !part.isEmpty else { break }
      let rows = try embedder.vectors(part, first: counts.count).map(Self.row)
      if !counts.isEmpty { text += ",\n" }
      counts += part.map {
        embedder.tokenizer.encode($0, maximum: embedder.maximumTokens).count
      }
      try Printer.results.print(text + rows.joined(separator: ",\n"), end: "")
      text = ""
    }
    try Printer.results.print(text + (machine.json ? "],\"tokens\":\(counts)}" : "]"))
  }

  /// Shorter than what the encoder makes of floats, and read back to the bit.
  private static func row(_ vector: [Float]) -> String {
    "[" + vector.map { "\($0)" }.joined(separator: ",") + "]"
  }
}
