@_exported import ApusData
@_exported import ApusEvaluation
@_exported import ApusModels
@_exported import ApusNN
@_exported import ApusRuntime
@_exported import ApusTensor
@_exported import ApusTraining
