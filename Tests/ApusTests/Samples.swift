import Foundation

/// Runs an example in a fresh folder that holds `Samples`, as the top of the repository does, and
/// removes the folder afterwards.
func besideSamples(_ example: () async throws -> Void) async throws {
  let files = FileManager.default
  let (before, folder) = (
    files.currentDirectoryPath,
    files.temporaryDirectory.appending(path: "apus-\(UUID().uuidString)")
  )
  try files.createDirectory(at: folder, withIntermediateDirectories: true)
  defer {
    _ = files.changeCurrentDirectoryPath(before)
    try? files.removeItem(at: folder)
  }
  try files.createSymbolicLink(
    at: folder.appending(path: "Samples"),
    withDestinationURL: Repository.folder.appending(path: "Samples"))
  _ = files.changeCurrentDirectoryPath(folder.path)
  try await example()
}
