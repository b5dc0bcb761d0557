public import Apus
public import ArgumentParser

// Choices of the library as words of the command line.
extension Precision: ExpressibleByArgument {}
extension Measure: ExpressibleByArgument {}
extension ProbeKind: ExpressibleByArgument {}
extension PathwaysExercise: ExpressibleByArgument {}
