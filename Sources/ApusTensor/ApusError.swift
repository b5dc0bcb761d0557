/// An error of Apus: a sentence that says what was found, what was expected and what to do, and the
/// status with which a command that it stops ends.
public protocol ApusError: Error, Sendable, CustomStringConvertible {
  /// The status with which a command ends because of it.
  var exitStatus: ExitStatus { get }
}

/// Exit statuses of commands: those of `sysexits.h`, and what a failed gate ends with.
public enum ExitStatus: Int32, Sendable, CaseIterable {
  /// Everything was done.
  case success = 0
  /// It could not be done, for a reason that none of the others names.
  case failure = 1
  /// No model beats the best baseline.
  case gateNotMet = 2
  /// The command or the options of a call make no sense.
  case usage = 64
  /// The data, or a file of Apus, is not as it must be.
  case badData = 65
  /// A file or folder is not there.
  case missingInput = 66
  /// Output cannot be created.
  case cannotCreate = 73
  /// Reading or writing failed.
  case inputOutput = 74
  /// The configuration of a model cannot be.
  case configuration = 78
  /// Ctrl-C ended it; another signal ends a command with 128 and its number.
  case interrupted = 130
}

/// The question "Did you mean …?" with the known name that is nearest to a wrong one, led by a space;
/// empty when none is near.
///
/// - Parameters:
///   - name: What was typed.
///   - known: What could have been meant.
/// - Returns: The question, or an empty text.
package func suggestion(for name: String, among known: [String]) -> String {
  nearest(to: name, in: known).map { " Did you mean '\($0)'?" } ?? ""
}

/// The candidate that differs least from `name`, when it differs in two letters or a third of them at most.
private func nearest(to name: String, in candidates: [String]) -> String? {
  let wanted = Array(name.lowercased().prefix(64))
  var best: (name: String, distance: Int)?
  for candidate in candidates.prefix(1_000) {
    let letters = Array(candidate.lowercased().prefix(64))
    var row = Array(0...letters.count)
    for (i, letter) in wanted.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, other) in letters.enumerated() {
        let cost = letter == other ? diagonal : diagonal + 1
        diagonal = row[j + 1]
        row[j + 1] = min(cost, row[j] + 1, row[j + 1] + 1)
      }
    }
    if row[letters.count] < best?.distance ?? .max { best = (candidate, row[letters.count]) }
  }
  guard let best, best.distance <= max(2, wanted.count / 3), best.distance < wanted.count else {
    return nil
  }
  return best.name
}
