import Foundation
import Testing

/// Rules of the house that neither the compiler nor the formatter knows.
@Suite("House rules")
struct HouseRulesTests {
  /// A Swift file of Sources, without its comments.
  struct Source: CustomTestStringConvertible {
    let path: String
    let code: String
    var module: String { String(path.split(separator: "/")[1]) }
    var testDescription: String { path }

    /// The pieces of code that a regular expression finds.
    func matches(of pattern: String) -> [String] {
      var (pieces, rest) = ([String](), code[...])
      while let found = rest.range(of: pattern, options: .regularExpression) {
        pieces.append(String(rest[found]))
        rest = rest[found.upperBound...]
      }
      return pieces
    }

    init(path: String) throws {
      self.path = path
      code = try Repository.text(path).split(separator: "\n", omittingEmptySubsequences: false)
        .map { line in line.range(of: "//").map { line[..<$0.lowerBound] } ?? line }
        .joined(separator: "\n")
    }
  }

  static func sources() throws -> [Source] {
    let top = Repository.folder.appending(path: "Sources")
    return try FileManager.default.subpathsOfDirectory(atPath: top.path).sorted()
      .filter { $0.hasSuffix(".swift") }.map { try Source(path: "Sources/\($0)") }
  }

  @Test("a module imports lower floors alone")
  func importsRunDownwards() throws {
    let floors = [
      ["CApusKernels"], ["ApusTensor"], ["ApusNN", "ApusData"], ["ApusModels"], ["ApusRuntime"],
      ["ApusEvaluation"], ["ApusTraining"], ["Apus"], ["ApusCLI"],
    ]
    let floor = Dictionary(
      uniqueKeysWithValues: floors.enumerated().flatMap { index, names in
        names.map { ($0, index) }
      })
    let sources = try Self.sources()
    #expect(sources.count > 200)
    for source in sources {
      let own = try #require(floor[source.module], "\(source.path): no floor")
      for line in source.matches(of: #"(?m)^[@\w ]*\bimport \w+"#) {
        let name = line.split(separator: " ").last.map(String.init) ?? ""
        guard let other = floor[name] else { continue }
        #expect(other < own, "\(source.path) imports \(name)")
        #expect(
          name != "CApusKernels" || source.module == "ApusTensor",
          "\(source.path): kernels have one door")
      }
    }
  }

  @Test(
    "no file does what one owner does",
    arguments: [
      (#"\.modelType *=="#, "ask the architecture, not its name"),
      (#"Mirror\("#, "no reflection"),
      (#"try!|\bas! |\bfatalError\("#, "throw a typed error"),
    ])
  func ownersAreAsked(pattern: String, rule: String) throws {
    for source in try Self.sources() {
      #expect(source.matches(of: pattern).isEmpty, "\(source.path): \(rule)")
    }
  }

  @Test("a configuration is cast in its own file alone")
  func configurationsAreNotCast() throws {
    for source in try Self.sources() {
      for cast in source.matches(of: #"\b(?:as[?!]?|is) (?:\w+\.)?\w+Config\b"#) {
        let name = cast.split { !$0.isLetter && !$0.isNumber }.last ?? ""
        #expect(source.code.contains("struct \(name)"), "\(source.path): \(cast)")
      }
    }
  }

  @Test("no initializer trains")
  func initializersDoNotTrain() throws {
    for source in try Self.sources() where source.module == "ApusTraining" {
      for start in source.code.ranges(of: " init(") {
        let body = Self.body(in: source.code[start.lowerBound...])
        #expect(
          body.range(of: #"\b(run|train|backward)\("#, options: .regularExpression) == nil,
          "\(source.path): \(body.prefix(60))")
      }
    }
  }

  /// From a declaration to the brace that closes its body.
  static func body(in code: Substring) -> Substring {
    guard let open = code.firstIndex(of: "{") else { return "" }
    var depth = 0
    for index in code[open...].indices {
      if code[index] == "{" { depth += 1 }
      if code[index] == "}" { depth -= 1 }
      if depth == 0 { return code[...index] }
    }
    return code
  }
}
