public import ApusTensor

/// An error of a run.
public enum TrainingError: Error, Equatable {
  /// An option has a value that makes no sense.
  case option(name: String, found: String, expected: String)
  /// There is nothing to train.
  case noParameters
  /// A tensor of a checkpoint does not fit the model.
  case wrongTensor(tensor: String, problem: String)
  /// Two parameters have one name, so a checkpoint cannot tell them apart.
  case duplicateParameter(name: String)
  /// The folder for checkpoints holds those of another run.
  case occupied(path: String)
  /// Another process trains in the folder.
  case busy(path: String)
  /// The disk is too full to begin, or for one more checkpoint. In bytes.
  case noSpace(path: String, needed: Int, found: Int)
  /// A checkpoint is not as it was written.
  case damagedCheckpoint(path: String, problem: String)
  /// A checkpoint was written by a newer Apus.
  case newerCheckpoint(path: String, found: Int, known: Int)
  /// Every checkpoint of a folder is damaged.
  case noValidCheckpoint(path: String, reason: String)
  /// A run was begun with other options or another model.
  case otherConfiguration(path: String, differences: [String])
  /// A run was begun with other data.
  case otherData(path: String, found: String, expected: String)
  /// Too many steps in a row gave no finite loss or gradient.
  case diverged(step: Int)
  /// The run is over, and its last checkpoint could not be written.
  case lastCheckpoint(path: String, reason: String)
}

extension TrainingError {
  /// Whether a checkpoint is not as it was written, so that another may take its place.
  var isDamage: Bool {
    switch self {
    case .damagedCheckpoint, .wrongTensor: true
    default: false
    }
  }

  /// Whether it is the folder of checkpoints that is wrong, and not the model or its training.
  var concernsFolder: Bool {
    switch self {
    case .option, .noParameters, .duplicateParameter, .diverged: false
    default: true
    }
  }
}

extension TrainingError {
  private static let unnamedDifference =
    "the model or its data settings differ, or it was a version of Apus that trained in another way"
}

extension TrainingError: ApusError {
  public var exitStatus: ExitStatus {
    switch self {
    case .option, .otherConfiguration: .usage
    case .otherData, .damagedCheckpoint, .newerCheckpoint, .noValidCheckpoint, .wrongTensor:
      .badData
    case .occupied, .busy: .cannotCreate
    case .noSpace, .lastCheckpoint: .inputOutput
    case .noParameters, .duplicateParameter: .configuration
    case .diverged: .failure
    }
  }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .option(let name, let found, let expected):
      "The option \(name) is \(found); it must be \(expected)."
    case .noParameters:
      "The model has no trainable parameter. Unfreeze some, or train another model."
    case .wrongTensor(let tensor, let problem):
      """
      '\(tensor)' \(problem) in the checkpoint. It belongs to another model or optimizer: resume \
      with the options it was made with.
      """
    case .duplicateParameter(let name):
      "Two parameters are called '\(name)'. Give each a name of its own, so that it can be saved."
    case .occupied(let path):
      """
      '\(path)' holds checkpoints of an earlier run. Resume that run, or choose another folder.
      """
    case .busy(let path):
      "Another process trains in '\(path)'. Wait for it, or choose another folder."
    case .noSpace(let path, let needed, let found):
      """
      A checkpoint in '\(path)' needs \(needed / 1_000_000 + 1) MB, and \(found / 1_000_000) MB are \
      free. Free some space, or choose a folder on another disk.
      """
    case .damagedCheckpoint(let path, let problem):
      "The checkpoint '\(path)' is damaged: \(problem)."
    case .newerCheckpoint(let path, let found, let known):
      """
      The checkpoint '\(path)' has format \(found), and this Apus reads formats up to \(known). \
      Resume with a newer Apus.
      """
    case .noValidCheckpoint(let path, let reason):
      """
      No checkpoint in '\(path)' can be used; the newest says: \(reason) \
      Choose another folder to start afresh.
      """
    case .otherConfiguration(let path, let differences):
      """
      The run in '\(path)' was begun with another configuration: \
      \(differences.isEmpty ? Self.unnamedDifference : differences.joined(separator: "; ")). \
      Resume with the same one, or choose another folder.
      """
    case .otherData(let path, let found, let expected):
      """
      The run in '\(path)' was begun with other data: SHA-256 \(expected.prefix(12))…, now \
      \(found.prefix(12))…. Resume with the same data, or choose another folder.
      """
    case .diverged(let step):
      """
      Training gave no finite loss any more at step \(step), so no model was written. Lower the \
      learning rate, or look for extreme values in the data.
      """
    case .lastCheckpoint(let path, let reason):
      """
      The run is over, but its last checkpoint in '\(path)' could not be written. \(reason) \
      Then resume: the steps since the checkpoint before are made again.
      """
    }
  }
}
