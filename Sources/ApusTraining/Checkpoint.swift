package import ApusTensor
package import Foundation

/// A checkpoint to be written.
package struct Checkpoint {
  static let modelFile = "model.safetensors"
  static let optimizerFile = "optimizer.safetensors"
  static let stateFile = "state.json"
  static let fileNames = [modelFile, optimizerFile, stateFile]

  /// Everything but the files, which the store fills in.
  package var manifest: Manifest
  /// The model's tensors.
  package var model: [String: Tensor]
  /// The optimizer's tensors.
  package var optimizer: [String: Tensor]
  /// The contents of `state.json`.
  package var state: Data

  /// Creates a checkpoint.
  package init(
    step: Int, parentStep: Int?, bestStep: Int?, model: [String: Tensor],
    optimizer: [String: Tensor], state: Data
  ) {
    manifest = Manifest(step: step, parentStep: parentStep, bestStep: bestStep)
    self.model = model
    self.optimizer = optimizer
    self.state = state
  }

  /// About how much it takes on the disk.
  package var byteCount: Int {
    let tensors = [model, optimizer].flatMap(\.values)
    return tensors.reduce(state.count + 65_536) { $0 + $1.count * $1.dtype.size + 200 }
  }
}

/// `MANIFEST.json`: what a checkpoint consists of.
package struct Manifest: Codable {
  /// One file.
  package struct File: Codable {
    package var name: String
    /// In bytes.
    package var size: Int
    /// In hexadecimal.
    package var sha256: String
  }

  package var formatVersion = CheckpointStore.formatVersion
  /// The steps made when it was written.
  package var step: Int
  /// The checkpoint before it, whose run it continues.
  package var parentStep: Int?
  /// The checkpoint with the weights that had validated best by then.
  package var bestStep: Int?
  package var files: [File] = []

  /// Describes a checkpoint whose files are not written yet.
  init(step: Int, parentStep: Int?, bestStep: Int?) {
    (self.step, self.parentStep, self.bestStep) = (step, parentStep, bestStep)
  }

  /// Reads the manifest of a checkpoint's folder.
  ///
  /// - Throws: ``TrainingError/newerCheckpoint(path:found:known:)``, `JSONFileError` with the key that is
  ///   wrong, `FileError`.
  init(at folder: String) throws {
    let path = "\(folder)/MANIFEST.json"
    let json = try JSONValue(path: path, limit: 1 << 20)
    if let found = json["formatVersion"]?.integer, found > CheckpointStore.formatVersion {
      throw TrainingError.newerCheckpoint(
        path: folder, found: found, known: CheckpointStore.formatVersion)
    }
    self = try json.decoded(as: Manifest.self, path: path)
    for (key, step) in [("step", step), ("bestStep", bestStep ?? 0)]
    where !(0...CheckpointStore.mostSteps).contains(step) {
      throw JSONFileError.wrongValue(
        path: path, key: key, problem: "\(step) is no number of steps")
    }
  }
}

/// A checkpoint on the disk that was found in order.
package struct StoredCheckpoint {
  package let manifest: Manifest
  /// Its folder.
  package let path: String

  /// The model's tensors, mapped.
  package func model() throws -> [String: Tensor] {
    try Safetensors.load("\(path)/\(Checkpoint.modelFile)")
  }

  /// The optimizer's tensors, mapped.
  package func optimizer() throws -> [String: Tensor] {
    try Safetensors.load("\(path)/\(Checkpoint.optimizerFile)")
  }

  /// The contents of `state.json`, checked.
  ///
  /// - Throws: ``TrainingError``.
  func state() throws -> CheckpointState {
    let file = "\(path)/\(Checkpoint.stateFile)"
    do {
      let json = try JSONValue(path: file, limit: 1 << 28)
      if let found = json["formatVersion"]?.integer, found > CheckpointState.formatVersion {
        throw TrainingError.newerCheckpoint(
          path: path, found: found, known: CheckpointState.formatVersion)
      }
      let state = try json.decoded(as: CheckpointState.self, path: file)
      try state.validate(step: manifest.step, path: file)
      return state
    } catch let error as JSONFileError {
      throw TrainingError.damagedCheckpoint(path: path, problem: "\(error)")
    }
  }
}

extension JSONEncoder {
  /// Sorted, so that equal values make equal bytes, and fit to be read.
  static var tidy: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    return encoder
  }
}
