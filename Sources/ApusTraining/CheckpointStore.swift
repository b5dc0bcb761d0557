package import ApusTensor
import Foundation

/// The folder of a run's checkpoints. Whatever happens in the middle of a change, the folder holds a
/// whole checkpoint afterwards: the one before or the new one.
///
///     ckpt-120/  model.safetensors  optimizer.safetensors  state.json  MANIFEST.json
///     LATEST     the name of the newest
///     BEST       the name of the one that validated best
///
/// A checkpoint grows under another name, every file is flushed to the disk, its manifest comes last,
/// and a rename makes it one.
package final class CheckpointStore {
  /// The version of the layout that is written, and the newest that is read.
  package static let formatVersion = 1

  /// Where the checkpoints lie.
  package let directory: String
  private let keepLast: Int
  private let files: Files
  private let freeBytes: (String) -> Int?
  private let lock: Int32

  /// Opens or makes the folder, takes its lock, and sweeps out what dead processes left.
  ///
  /// - Throws: ``TrainingError/busy(path:)`` while another process trains there; `FileError`.
  package init(
    _ directory: String, keepLast: Int, files: Files = Files(),
    freeBytes: @escaping (String) -> Int? = Files.freeBytes
  ) throws {
    try files.makeFolder(directory)
    guard let lock = try Files.lock(directory + "/.lock") else {
      throw TrainingError.busy(path: directory)
    }
    self.directory = directory
    self.keepLast = keepLast
    self.files = files
    self.freeBytes = freeBytes
    self.lock = lock
    try sweep()
  }

  deinit { Files.unlock(lock) }

  // MARK: Writing

  /// Writes a checkpoint, then lets `LATEST` and, where one is best, `BEST` name it, and removes
  /// those that are neither among the last nor named.
  ///
  /// - Throws: `FileError`, and ``TrainingError/noSpace(path:needed:found:)`` before anything is
  ///   written; what stood before stands afterwards.
  package func save(_ checkpoint: Checkpoint) throws {
    let manifest = checkpoint.manifest
    let temporary = "\(directory)/.tmp-\(Self.name(manifest.step))-\(Files.process)"
    do {
      try requireSpace(for: checkpoint.byteCount)
      try removeTree(temporary)
      try fill(temporary, with: checkpoint)
    } catch {
      try? removeTree(temporary)
      throw error
    }
    let place = path(of: manifest.step)
    if Files.isFolder(place) { try discard(place) }
    try files.rename(temporary, to: place)
    try files.syncFolder(directory)
    try point("LATEST", to: manifest.step)
    if let best = manifest.bestStep { try point("BEST", to: best) }
    try prune()
  }

  private func fill(_ folder: String, with checkpoint: Checkpoint) throws {
    try files.makeFolder(folder)
    try Safetensors.save(checkpoint.model, with: files.write, "\(folder)/\(Checkpoint.modelFile)")
    try Safetensors.save(
      checkpoint.optimizer, with: files.write, "\(folder)/\(Checkpoint.optimizerFile)")
    try write(checkpoint.state, to: "\(folder)/\(Checkpoint.stateFile)")
    var manifest = checkpoint.manifest
    manifest.files = try Checkpoint.fileNames.map { name in
      let (size, sha256) = try Digest.sizeAndSHA256("\(folder)/\(name)")
      return Manifest.File(name: name, size: size, sha256: sha256)
    }
    try write(JSONEncoder.tidy.encode(manifest), to: "\(folder)/MANIFEST.json")
    try files.syncFolder(folder)
  }

  private func write(_ data: Data, to path: String) throws {
    try files.write(path) { try $0.write(Array(data)) }
  }

  /// Lets a name point to a checkpoint, if it is there.
  private func point(_ name: String, to step: Int) throws {
    guard Files.isFolder(path(of: step)) else { return }
    try files.replace("\(directory)/\(name)") { try $0.write(Array("\(Self.name(step))\n".utf8)) }
  }

  /// - Throws: ``TrainingError/noSpace(path:needed:found:)`` unless a fifth more is free.
  package func requireSpace(for bytes: Int) throws {
    let (fifth, found) = (bytes / 5, freeBytes(directory) ?? .max)
    let needed = bytes + fifth
    guard found >= needed else {
      throw TrainingError.noSpace(path: directory, needed: needed, found: found)
    }
  }

  // MARK: Reading

  /// Whether there is any checkpoint, good or bad.
  package var isEmpty: Bool { steps.isEmpty }

  /// The newest checkpoint whose every byte is as it was written. Damaged newer ones are moved aside.
  ///
  /// - Returns: Nil when there is none at all; and what to tell the user about damaged ones.
  /// - Throws: ``TrainingError/noValidCheckpoint(path:reason:)`` when all are damaged.
  package func newest() throws -> (StoredCheckpoint?, messages: [String]) {
    var messages: [String] = []
    var reason: String?
    for step in steps.reversed() {
      do {
        let found = try verified(step)
        // What a kill left out between the rename and the names.
        try point("LATEST", to: step)
        if let best = found.manifest.bestStep { try point("BEST", to: best) }
        return (found, messages)
      } catch let error as TrainingError {
        reason = reason ?? error.description
        let aside = "\(directory)/damaged-\(Self.name(step))"
        try removeTree(aside)
        try files.rename(path(of: step), to: aside)
        messages.append(
          "\(error.description) It is now '\(aside)'; the run goes on from the one before.")
      }
    }
    if let reason { throw TrainingError.noValidCheckpoint(path: directory, reason: reason) }
    return (nil, messages)
  }

  /// The checkpoint of a step, every byte of it checked.
  ///
  /// - Throws: ``TrainingError/damagedCheckpoint(path:problem:)``.
  package func verified(_ step: Int) throws -> StoredCheckpoint {
    let place = path(of: step)
    func damaged(_ problem: String) -> TrainingError {
      .damagedCheckpoint(path: place, problem: problem)
    }
    guard let data = FileManager.default.contents(atPath: place + "/MANIFEST.json"),
      let manifest = try? JSONDecoder().decode(Manifest.self, from: data)
    else { throw damaged("its MANIFEST.json is missing or unreadable") }
    guard manifest.formatVersion <= Self.formatVersion else {
      throw damaged("it has format \(manifest.formatVersion), and this is an older Apus")
    }
    guard manifest.step == step, manifest.files.map(\.name) == Checkpoint.fileNames else {
      throw damaged("its MANIFEST.json belongs to another checkpoint")
    }
    for file in manifest.files {
      guard let (size, sha256) = try? Digest.sizeAndSHA256("\(place)/\(file.name)") else {
        throw damaged("\(file.name) is missing")
      }
      guard size == file.size else {
        throw damaged("\(file.name) has \(size) bytes instead of \(file.size)")
      }
      guard sha256 == file.sha256 else { throw damaged("\(file.name) has other bytes") }
    }
    return StoredCheckpoint(manifest: manifest, path: place)
  }

  // MARK: Housekeeping

  /// The steps of all checkpoints, ascending.
  package var steps: [Int] { names.compactMap(Self.step).sorted() }

  private var names: [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
  }

  private static func name(_ step: Int) -> String { "ckpt-\(step)" }

  private static func step(_ name: String) -> Int? {
    guard name.hasPrefix("ckpt-"), let step = Int(name.dropFirst(5)), name == Self.name(step)
    else { return nil }
    return step
  }

  private func path(of step: Int) -> String { "\(directory)/\(Self.name(step))" }

  /// The step that LATEST or BEST names.
  package func step(named name: String) -> Int? {
    guard let data = FileManager.default.contents(atPath: "\(directory)/\(name)") else {
      return nil
    }
    return Self.step(String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines))
  }

  /// Removes all but the last few, those that LATEST and BEST name, and those that hold the best
  /// weights of one that stays.
  private func prune() throws {
    let all = steps
    var kept = Set(all.suffix(keepLast) + ["LATEST", "BEST"].compactMap(step))
    for step in kept {
      guard let data = FileManager.default.contents(atPath: path(of: step) + "/MANIFEST.json"),
        let manifest = try? JSONDecoder().decode(Manifest.self, from: data)
      else { continue }
      if let best = manifest.bestStep { kept.insert(best) }
    }
    for step in all where !kept.contains(step) { try discard(path(of: step)) }
  }

  /// Removes a checkpoint; half removed it does not look like one any more.
  private func discard(_ path: String) throws {
    let name = path.split(separator: "/").last ?? ""
    let doomed = "\(directory)/.tmp-old-\(name)-\(Files.process)"
    try removeTree(doomed)
    try files.rename(path, to: doomed)
    try removeTree(doomed)
  }

  private func removeTree(_ folder: String) throws {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return }
    for name in names { try files.remove("\(folder)/\(name)") }
    try files.removeFolder(folder)
  }

  /// Removes what processes that are gone left half done.
  private func sweep() throws {
    let names = names.filter {
      $0.hasPrefix(".tmp-") || $0.hasPrefix("LATEST.tmp-") || $0.hasPrefix("BEST.tmp-")
    }
    for name in names {
      guard let number = name.split(separator: "-").last.flatMap({ Int32($0) }) else { continue }
      // Of our own number there can only be what an earlier process left: we have just begun.
      guard number == Files.process || !Files.isAlive(process: number) else { continue }
      let path = "\(directory)/\(name)"
      if Files.isFolder(path) { try removeTree(path) } else { try files.remove(path) }
    }
  }
}
