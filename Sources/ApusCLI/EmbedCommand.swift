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

      Takes a BERT or MiniLM folder with its tokenizer. Prints one JSON array with a vector per line of
      input, in their order; with --json an object with the vectors, their length and the number of
      tokens of each line. Lines longer than the folder's sentence configuration allows are cut off.
      """)

  @Option(help: "A folder with config.json, safetensors and tokenizer.json or vocab.txt.")
  var model: String
  @OptionGroup var machine: MachineOptions

  func run() throws {
    machine.apply()
    let embedder = try TextEmbedder(folder: model)
    var lines: [String] = []
    while let line = readLine() { lines.append(line) }
    let vectors = try embedder.vectors(lines)
    guard machine.json else { return try emit(Self.array(vectors)) }
    let counts = lines.map {
      embedder.tokenizer.encode($0, maximum: embedder.maximumTokens).count
    }
    try emit(
      """
      {"dimensions":\(embedder.encoder.dimensions),"tokens":\(counts),"embeddings":\
      \(Self.array(vectors))}
      """)
  }

  /// A vector a line: shorter than what the encoder makes of floats, and read back to the bit.
  private static func array(_ vectors: [[Float]]) -> String {
    let rows = vectors.map { "[" + $0.map { "\($0)" }.joined(separator: ",") + "]" }
    return "[" + rows.joined(separator: ",\n") + "]"
  }
}
