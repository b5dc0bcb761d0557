import Apus
import Foundation

/// The exit code of an error, after sysexits: 64 usage, 65 bad data, 66 no input, 73 cannot create, 74
/// input or output failed, 78 configuration.
func exitStatus(of error: any Error) -> Int32 {
  switch error {
  case SeriesError.notFound, TextError.unreadable(.notFound): 66
  case is SeriesError, is SplitError, is MeasureError, is TextError, is RecipeError,
    is ForecastError,
    is SafetensorsError, is TrainingDataError, is CheckpointError, is ComparisonError,
    is ComposingError,
    is RouterError:
    65
  case TokenizerError.missing: 66
  case is TokenFileError, is ScoreError, is JSONFileError, is TokenizerError, is NotFiniteError,
    is CadenceError:
    65
  case is ConfigError: 78
  case let error as FileError where error.isMissing: 66
  case is ProbeError, is ProbeOptionsError: 64
  case let error as FileError where error.isRefused: 65
  case is FileError: 74
  case let error as ModelFolderError: error.exitStatus
  case let error as TrainingError: error.exitStatus
  default: 1
  }
}

extension ModelFolderError {
  fileprivate var exitStatus: Int32 {
    switch self {
    case .missingFile: 66
    case .damaged, .wrongTask, .doesNotFit: 65
    case .cannotCreate: 73
    }
  }
}

extension TrainingError {
  fileprivate var exitStatus: Int32 {
    switch self {
    case .option, .otherConfiguration: 64
    case .otherData, .damagedCheckpoint, .noValidCheckpoint, .wrongTensor: 65
    case .occupied, .busy: 73
    case .noSpace, .lastCheckpoint: 74
    case .noParameters, .duplicateParameter: 78
    case .diverged: 1
    }
  }
}
