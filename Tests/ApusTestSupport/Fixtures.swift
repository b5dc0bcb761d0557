import Foundation

/// The path of a fixture: `name` in the nearest folder `Fixtures` at or above the calling file.
package func fixturePath(_ name: String, from file: String = #filePath) throws -> String {
  var folder = URL(filePath: file).deletingLastPathComponent()
  while folder.pathComponents.count > 1 {
    let candidate = folder.appending(path: "Fixtures/\(name)").path(percentEncoded: false)
    if FileManager.default.fileExists(atPath: candidate) { return candidate }
    folder.deleteLastPathComponent()
  }
  throw FixtureError.missing(name: name, file: file)
}

/// The paths of what a folder holds, sorted.
///
/// - Parameters:
///   - folder: The folder.
///   - isWanted: The paths to keep. Default: all.
/// - Returns: At least one path: with none, a test that runs once for each would pass without running.
/// - Throws: ``FixtureError/none(in:)``.
package func fixtures(
  in folder: String, where isWanted: (_ path: String) -> Bool = { _ in true }
) throws -> [String] {
  let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
  let paths = names.sorted().map { "\(folder)/\($0)" }.filter(isWanted)
  guard !paths.isEmpty else { throw FixtureError.none(in: folder) }
  return paths
}

/// The folders of language models made by the authors' code: a model, a case, and its tolerances.
///
/// - Parameters:
///   - part: `/encoders` for those. Default: the decoders.
///   - file: A file of the tests.
/// - Returns: At least one folder.
/// - Throws: ``FixtureError/none(in:)``.
package func goldenFolders(_ part: String = "", from file: String = #filePath) throws -> [String] {
  let tests = URL(filePath: file).pathComponents.prefix { $0 != "Tests" }.joined(separator: "/")
  return try fixtures(in: "\(tests.dropFirst())/Tests/ApusModelsTests/Fixtures\(part)") { folder in
    ["config.json", "case.safetensors", "model.safetensors", "versions.json"].allSatisfy {
      FileManager.default.fileExists(atPath: "\(folder)/\($0)")
    }
  }
}

/// What can be wrong with a fixture.
package enum FixtureError: Error, Equatable {
  /// No folder `Fixtures` above the file holds it.
  case missing(name: String, file: String)
  /// The folder is missing, or nothing in it is wanted.
  case none(in: String)
}

/// Calls `body` with the path of a fresh folder, and removes the folder afterwards.
package func withTemporaryFolder<Result>(
  _ body: (_ path: String) throws -> Result
) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appending(path: "apus-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path(percentEncoded: false))
}

/// The same for a body that is awaited.
package func withTemporaryFolder<Result>(
  _ body: (_ path: String) async throws -> Result
) async throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appending(path: "apus-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try await body(folder.path(percentEncoded: false))
}
