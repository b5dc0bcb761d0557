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

/// What can be wrong with a fixture.
package enum FixtureError: Error, Equatable {
  /// No folder `Fixtures` above the file holds it.
  case missing(name: String, file: String)
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
