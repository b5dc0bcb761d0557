extension TrainerOptions {
  /// How forecasters are trained, by `apus compare` and `apus train` alike.
  ///
  /// A series holds few rows beside what a minute of training reads, so that a model is at its best
  /// early: its first validation comes after half a hundredth of the budget, and gaps widen from
  /// there.
  ///
  /// - Parameter learningRate: The peak; by default 0.002. The floor is a twentieth of it.
  /// - Returns: Options with the default budget.
  static func forecaster(learningRate: Double?) -> TrainerOptions {
    var options = TrainerOptions()
    options.schedule = .cosine(peak: learningRate ?? 2e-3)
    options.validateEvery = .widening(to: 0.05)
    return options
  }

  /// How language models are trained, by `apus compare` and `apus train` alike.
  ///
  /// - Parameter learningRate: The peak; by default 0.003. The floor is a twentieth of it.
  /// - Returns: Options with the default budget.
  static func languageModel(learningRate: Double?) -> TrainerOptions {
    var options = TrainerOptions()
    options.schedule = .cosine(peak: learningRate ?? 3e-3)
    options.beta2 = 0.99
    return options
  }
}
