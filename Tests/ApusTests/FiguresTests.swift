import Foundation
import Testing

/// Figures in texts come from committed results, or say when they were measured.
///
/// `APUS_UPDATE_FIGURES=1` writes the figures of the results into the texts instead.
@Suite("Figures in texts")
struct FiguresTests {
  @Test("are those of the committed results", arguments: Document.all)
  func areThoseOfResults(_ document: Document) throws {
    let text = try Repository.text(document.path)
    let mistakes = document.mistakes(in: text)
    guard ProcessInfo.processInfo.environment["APUS_UPDATE_FIGURES"] != nil else {
      #expect(mistakes.isEmpty, "\(document.path)\n\(mistakes.joined(separator: "\n"))")
      return
    }
    let updated = try Document.updated(text)
    try Data(updated.utf8).write(to: Repository.folder.appending(path: document.path))
  }

  @Test("stand in texts whose links lead to files", arguments: Document.all)
  func linksLeadToFiles(_ document: Document) throws {
    let folder = Repository.folder.appending(path: document.path).deletingLastPathComponent()
    for link in try Repository.text(document.path).matches(of: /\]\(([^)#:]+)(?:#[^)]*)?\)/) {
      let place = folder.appending(path: String(link.1)).path
      #expect(FileManager.default.fileExists(atPath: place), "\(link.1)")
    }
  }

  @Test("are asked for in every file that readers see")
  func coverDocuments() {
    #expect(Document.all.map(\.path).contains("README.md"))
    #expect(Document.all.count { $0.path.hasPrefix("Sources/ApusModels/ApusModels.docc/") } > 15)
    #expect(Document.all.count { $0.path.hasPrefix("Documentation/") } > 5)
  }
}

/// A text with figures.
struct Document: CustomTestStringConvertible {
  /// From the top of the repository.
  let path: String
  var testDescription: String { path }

  /// README, the articles of all catalogs, the pages of Documentation.
  static let all: [Document] = {
    let catalogs = (try? Repository.files(in: "Sources", suffix: "")) ?? []
    let articles = catalogs.flatMap { folder in
      let name = folder.split(separator: "/").last ?? ""
      return (try? Repository.files(in: "\(folder)/\(name).docc", suffix: ".md")) ?? []
    }
    let pages = (try? Repository.files(in: "Documentation", suffix: ".md")) ?? []
    return (["README.md"] + articles + pages).map(Document.init)
  }()

  /// What is wrong with the figures of a text, each with its line.
  func mistakes(in text: String) -> [String] {
    var (mistakes, claims) = ([String](), [String]())
    var logged: [String] = []  // the headings above the last date of a log
    for block in Markdown(text).blocks {
      switch block.kind {
      case .comment where block.text.hasPrefix("figures\n"):
        claims = block.text.split(separator: "\n").dropFirst().map(String.init)
      case .text:
        if block.text.contains(/\bLog of \d{4}-\d\d-\d\d/) { logged = block.headings }
        let isLogged = !logged.isEmpty && block.headings.starts(with: logged)
        let found = Self.mistakes(
          in: block.text, claims: claims,
          mustClaim: !isLogged
            && (block.headings.last == "Measured" || Figures.areMeasured(in: block.text)))
        mistakes += found.map { "line \(block.line): \($0)" }
        claims = []
      case .comment, .heading, .code:
        if !claims.isEmpty { mistakes.append("line \(block.line): no text follows the figures") }
        claims = []
      }
    }
    return mistakes
  }

  /// What is wrong with one block.
  static func mistakes(in text: String, claims: [String], mustClaim: Bool) -> [String] {
    if claims.isEmpty {
      let figures = mustClaim ? Figures.places(in: text).map { String(text[$0]) } : []
      return figures.isEmpty
        ? [] : ["no source for \(figures.joined(separator: ", ")) in '\(text.prefix(60))…'"]
    }
    var mistakes: [String] = []
    var sourced: [Range<String.Index>] = []
    for claim in claims {
      do {
        let finding = try FigureClaim(claim).check(text)
        mistakes += finding.mistakes
        sourced += finding.covered
      } catch {
        mistakes.append("'\(claim)': \(error)")
      }
    }
    let others = Figures.places(in: text).filter { place in
      !sourced.contains { $0.overlaps(place) }
    }
    return mistakes + others.map { "no source for \(text[$0])" }
  }

  /// The text with the figures that its sources have now.
  static func updated(_ text: String) throws -> String {
    var (result, claims) = (text, [String]())
    for block in Markdown(text).blocks {
      if block.kind == .comment, block.text.hasPrefix("figures\n") {
        claims = block.text.split(separator: "\n").dropFirst().map(String.init)
        continue
      }
      var updated = block.text
      for claim in claims {
        let finding = try FigureClaim(claim).check(updated)
        for (place, value) in zip(finding.figures, finding.expected).reversed() {
          updated.replaceSubrange(place, with: value)
        }
      }
      claims = []
      if updated != block.text { result = result.replacing(block.text, with: updated) }
    }
    return result
  }
}
