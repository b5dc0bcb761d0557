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
  /// The most steps of a run: every product of steps and micro-batches is far below 64 bits.
  static let mostSteps = 1 << 40

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
    try files.sweep(directory)
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
      try files.removeTree(temporary)
      try fill(temporary, with: checkpoint)
    } catch {
      try? files.removeTree(temporary)
      throw error
    }
    let place = path(of: manifest.step)
    if Files.kind(of: place) != nil { try discard(place) }
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
  package var isEmpty: Bool { get throws { try steps.isEmpty } }

  /// The newest checkpoint whose every byte is as it was written. Damaged ones after it are moved aside;
  /// those that a newer Apus wrote, or that the system cannot read now, are not damaged and stay.
  ///
  /// - Returns: Nil when there is none at all; and what to tell the user about damaged ones.
  /// - Throws: ``TrainingError/noValidCheckpoint(path:reason:)`` when all are damaged,
  ///   ``TrainingError/newerCheckpoint(path:found:known:)``, `FileError`.
  package func newest() throws -> (StoredCheckpoint?, messages: [String]) {
    var messages: [String] = []
    var reason: String?
    for step in try steps.reversed() {
      do {
        let found = try verified(step)
        // What a kill left out between the rename and the names.
        try point("LATEST", to: step)
        if let best = found.manifest.bestStep { try point("BEST", to: best) }
        return (found, messages)
      } catch let error as TrainingError where error.isDamage {
        reason = reason ?? error.description
        let aside = "\(directory)/damaged-\(Self.name(step))"
        try files.removeTree(aside)
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
  /// - Throws: ``TrainingError/damagedCheckpoint(path:problem:)``,
  ///   ``TrainingError/newerCheckpoint(path:found:known:)``; `FileError` where the system cannot read it.
  package func verified(_ step: Int) throws -> StoredCheckpoint {
    let place = path(of: step)
    func damaged(_ problem: String) -> TrainingError {
      .damagedCheckpoint(path: place, problem: problem)
    }
    let manifest: Manifest
    do {
      manifest = try Manifest(at: place)
    } catch let error as JSONFileError {
      throw damaged("\(error)")
    } catch let error as FileError where error.isMissing {
      throw damaged("its MANIFEST.json is missing")
    }
    guard manifest.step == step, manifest.files.map(\.name) == Checkpoint.fileNames else {
      throw damaged("its MANIFEST.json belongs to another checkpoint")
    }
    for file in manifest.files {
      let path = "\(place)/\(file.name)"
      guard Files.kind(of: path) == .file else { throw damaged("\(file.name) is missing") }
      let (size, sha256) = try Digest.sizeAndSHA256(path)
      guard size == file.size else {
        throw damaged("\(file.name) has \(size) bytes instead of \(file.size)")
      }
      guard sha256 == file.sha256 else { throw damaged("\(file.name) has other bytes") }
    }
    return StoredCheckpoint(manifest: manifest, path: place)
  }

  // MARK: Housekeeping

  /// The steps of all checkpoints, ascending. A link is none, whatever it is called.
  package var steps: [Int] {
    get throws {
      try Files.names(in: directory).compactMap(Self.step)
        .filter { Files.kind(of: path(of: $0)) == .folder }.sorted()
    }
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
    guard let bytes = try? Files.contents(of: "\(directory)/\(name)", limit: 64) else { return nil }
    return Self.step(String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .newlines))
  }

  /// Removes all but the last few, those that LATEST and BEST name, and those that hold the best
  /// weights of one that stays.
  private func prune() throws {
    let all = try steps
    var kept = Set(all.suffix(keepLast) + ["LATEST", "BEST"].compactMap(step))
    for step in kept {
      if let best = (try? Manifest(at: path(of: step)))?.bestStep { kept.insert(best) }
    }
    for step in all where !kept.contains(step) { try discard(path(of: step)) }
  }

  /// Removes a checkpoint; half removed it does not look like one any more.
  private func discard(_ path: String) throws {
    let name = path.split(separator: "/").last ?? ""
    let doomed = "\(directory)/.tmp-old-\(name)-\(Files.process)"
    try files.removeTree(doomed)
    try files.rename(path, to: doomed)
    try files.removeTree(doomed)
  }
}
