public import ApusTensor

/// An error of a model's folder.
public enum ModelFolderError: Error, Equatable {
  /// A file is missing.
  case missingFile(path: String, purpose: String)
  /// A file is damaged.
  case damaged(path: String, reason: String)
  /// A file is that of another model than the rest of the folder.
  case mixed(path: String, file: String)
  /// The folder was written by a newer Apus.
  case newerFormat(path: String, found: Int, known: Int)
  /// The model was made for something else.
  case wrongTask(path: String, found: String, expected: String)
  /// A pretrained forecaster has not been asked anything yet.
  case notAsked(path: String, family: String)
  /// A weight is too large for the type it is to be saved in.
  case doesNotFit(tensor: String, value: Float, dtype: DType)
  /// A file lies outside of the folder, by way of a link.
  case leavesFolder(path: String)
  /// The folder or a file in it cannot be written.
  case cannotCreate(path: String, reason: String)

  /// Whether the input is not there at all.
  public var isMissing: Bool {
    if case .missingFile = self { true } else { false }
  }
}

extension ModelFolderError: ApusError {
  public var exitStatus: ExitStatus {
    switch self {
    case .missingFile: .missingInput
    case .damaged, .mixed, .newerFormat, .wrongTask, .notAsked, .doesNotFit, .leavesFolder: .badData
    case .cannotCreate: .cannotCreate
    }
  }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .missingFile(let path, let purpose):
      "There is no file '\(path)', which should hold \(purpose). Check the path."
    case .damaged(let path, let reason):
      "The file '\(path)' is damaged: \(reason). Save the model again."
    case .mixed(let path, let file):
      """
      '\(file)' in '\(path)' was not written together with the rest of the folder: half of it is \
      another model. Copy the whole folder again, or save the model again. If you changed \(file) on \
      purpose, take 'config' and 'weights' out of \(FolderFiles.card).
      """
    case .newerFormat(let path, let found, let known):
      """
      '\(path)' has format \(found), and this Apus reads formats up to \(known). Use a newer Apus.
      """
    case .wrongTask(let path, let found, let expected):
      "The model in '\(path)' was made for '\(found)', but this needs '\(expected)'. Choose another."
    case .notAsked(let path, let family):
      """
      '\(path)' holds \(family) as it was published, but this needs one that knows what it forecasts. Run \
      apus train --model with this folder, --data and --output, and give the folder that it writes.
      """
    case .doesNotFit(let tensor, let value, let dtype):
      """
      Tensor '\(tensor)' has the element \(value), which \(dtype.rawValue) cannot hold. \
      Save in BF16 or F32.
      """
    case .leavesFolder(let path):
      "'\(path)' is reached by a link that leaves the model's folder. Put the file itself there."
    case .cannotCreate(let path, let reason):
      "'\(path)' cannot be written: \(reason)"
    }
  }
}
