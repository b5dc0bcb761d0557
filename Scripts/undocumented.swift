// Lists public declarations without a comment, from the symbol graphs below the folder named; ends
// with 1 if there are any. What a protocol asks for may lean on the protocol's comment.
import Foundation

/// What is read of a symbol graph.
struct Graph: Decodable {
  struct Symbol: Decodable {
    struct Identifier: Decodable { let precise: String }
    struct Comment: Decodable {}
    struct Location: Decodable {
      struct Position: Decodable { let line: Int }
      let uri: String
      let position: Position
    }
    let identifier: Identifier
    let pathComponents: [String]
    let docComment: Comment?
    let location: Location?
  }
  struct Relationship: Decodable {
    struct Origin: Decodable {}
    let source: String
    let sourceOrigin: Origin?
  }
  let symbols: [Symbol]
  let relationships: [Relationship]
}

let folder = URL(filePath: CommandLine.arguments[1])
let files = try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted()
var count = 0
for file in files where file.hasSuffix(".json") {
  let graph = try JSONDecoder().decode(
    Graph.self, from: Data(contentsOf: folder.appending(path: file)))
  let witnesses = Set(graph.relationships.filter { $0.sourceOrigin != nil }.map(\.source))
  for symbol in graph.symbols where symbol.docComment == nil {
    guard !witnesses.contains(symbol.identifier.precise), let place = symbol.location else {
      continue
    }
    let path = place.uri.components(separatedBy: "/Sources/").last ?? place.uri
    let name = symbol.pathComponents.joined(separator: ".")
    print("Sources/\(path):\(place.position.line + 1): '\(name)' has no comment")
    count += 1
  }
}
exit(count == 0 ? 0 : 1)
