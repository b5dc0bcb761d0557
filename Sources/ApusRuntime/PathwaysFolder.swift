public import ApusModels
import ApusNN
import ApusTensor
import Foundation

/// A ``Pathways`` model on disk: `trunk.safetensors`, `bank.safetensors`, `task-NAME.safetensors` for each
/// task, and `pathways.json`.
///
/// A task's file holds its own tensors alone, so that adding one writes one, and removing one leaves the
/// others' bits.
public enum PathwaysFolder {
  /// Saves the model; `pathways.json` last.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - path: The folder; made when missing.
  /// - Throws: ``ModelFolderError`` or what the file system says.
  public static func save(_ model: Pathways, to path: String) throws {
    try ModelFolder.makeFolder(path)
    func write(_ prefix: String, to name: String) throws {
      let own = model.parameters.filter { $0.name.hasPrefix(prefix) }
      try Safetensors.save(ModelFolder.named(own), to: path + "/" + name)
    }
    try write("trunk.", to: "trunk.safetensors")
    try write("bank.", to: "bank.safetensors")
    for task in model.config.tasks {
      try write("tasks.\(task.name).", to: "task-\(task.name).safetensors")
    }
    try ModelFolder.write(ModelFolder.encoded(model.config), to: path + "/pathways.json")
  }

  /// Loads a model.
  ///
  /// - Parameter path: The folder.
  /// - Returns: The model.
  /// - Throws: ``ModelFolderError``, or what is wrong with configuration or weights.
  public static func load(_ path: String) throws -> Pathways {
    let file = path + "/pathways.json"
    let data = try ModelFolder.read(file, purpose: "the tasks of a Pathways model")
    guard let config = try? JSONDecoder().decode(PathwaysConfig.self, from: data) else {
      throw ModelFolderError.damaged(path: file, reason: "it is not what Apus writes")
    }
    try config.validate()
    var tensors: [String: Tensor] = [:]
    let names = ["trunk", "bank"] + config.tasks.map { "task-\($0.name)" }
    for name in names {
      let part = try Safetensors.load("\(path)/\(name).safetensors")
      tensors.merge(part) { first, _ in first }
    }
    return try Pathways(config, in: Scope(checkpoint: tensors))
  }
}
