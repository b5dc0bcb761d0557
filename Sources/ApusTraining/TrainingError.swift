/// What can be wrong with a run.
public enum TrainingError: Error, Equatable {
  /// An option has a value that makes no sense.
  case option(name: String, found: String, expected: String)
  /// There is nothing to train.
  case noParameters
  /// A checkpoint's optimizer state does not fit the model.
  case optimizerState(tensor: String, problem: String)
}

extension TrainingError: CustomStringConvertible {
  /// What was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .option(let name, let found, let expected):
      "The option \(name) is \(found); it must be \(expected)."
    case .noParameters:
      "The model has no trainable parameter. Unfreeze some, or train another model."
    case .optimizerState(let tensor, let problem):
      """
      The optimizer's '\(tensor)' \(problem) in the checkpoint. \
      It belongs to another model or optimizer: resume with the options it was made with.
      """
    }
  }
}
