import Apus
import Foundation

/// The exit code of an error, after sysexits.
func exitStatus(of error: any Error) -> Int32 {
  switch error {
  case SeriesError.notFound: 66
  case is SeriesError, is SafetensorsError, is TrainingDataError, is CheckpointError: 65
  case is ConfigError: 78
  case let error as ModelFolderError: error.isMissing ? 66 : 65
  default: 1
  }
}
