extension Cadence {
  /// Whether stamps can be those of rows that follow each other like this: a table of another frequency
  /// asks another question.
  ///
  /// A few rows may show no frequency, and days that rest at no weekend may be working days yet.
  ///
  /// - Parameters:
  ///   - other: How the rows follow each other.
  ///   - stamps: Theirs, in order.
  /// - Returns: False only where the rows cannot follow each other like this.
  public func admits(_ other: Cadence, stamps: [Timestamp]) -> Bool {
    switch (frequency, other.frequency) {
    case (.irregular, let found): found != .steps
    case (.steps, let found): found == .steps
    case (_, .irregular), (.businessDays, .businessDays): true
    case (.businessDays, .days(1)): stamps.allSatisfy { openWeekdays[$0.weekday] }
    case (let one, let found): one == found
    }
  }

  /// Whether a row comes too early after the one before it to be the next: at less than half of a step.
  public func isTooEarly(_ stamp: Timestamp, after last: Timestamp) -> Bool {
    let step: Double =
      switch frequency {
      case .nanoseconds(let nanoseconds): Double(nanoseconds) / 1e9
      case .seconds(let seconds): Double(seconds)
      case .businessDays: 86_400
      case .days(let days): Double(days) * 86_400
      case .months(let months): Double(months) * 28 * 86_400
      case .steps, .irregular: 0
      }
    let span =
      Double(stamp.secondsSinceEpoch) - Double(last.secondsSinceEpoch)
      + Double(stamp.nanosecond - last.nanosecond) / 1e9
    return span * 2 < step
  }
}
