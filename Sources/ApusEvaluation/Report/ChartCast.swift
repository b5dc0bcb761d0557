/// Who plays which part in the drawings: the model put forward, the bar it has to beat, a few
/// rivals in color, and the rest in gray.
package struct ChartCast: Sendable {
  /// A row and the class that colors it.
  package struct Role: Sendable {
    package let row: ComparisonRow
    /// `c1` the model put forward, `c2` the best baseline, `c3` to `c6` rivals, `c0` the rest.
    package let look: String

    var isQuiet: Bool { look == "c0" }
  }

  /// All rows with a loss, the important ones first.
  package let roles: [Role]
  /// The model put forward.
  package let lead: ComparisonRow?
  /// The best baseline.
  package let bar: ComparisonRow?

  package init(_ record: ComparisonRecord) {
    let (lead, bar) = (record.bestModel, record.bestBaseline)
    let others = record.ranked.filter {
      $0.score != nil && $0.name != lead?.name && $0.name != bar?.name
    }
    let models = others.filter { $0.kind == .model }
    let rivals = models.prefix(4).enumerated().map { Role(row: $1, look: "c\($0 + 3)") }
    let rest = models.dropFirst(4) + others.filter { $0.kind == .baseline }
    roles =
      (lead.map { [Role(row: $0, look: "c1")] } ?? [])
      + (bar.map { [Role(row: $0, look: "c2")] } ?? [])
      + rivals + rest.map { Role(row: $0, look: "c0") }
    (self.lead, self.bar) = (lead, bar)
  }

  /// The class of the row with this name.
  package func look(of name: String) -> String {
    roles.first { $0.row.name == name }?.look ?? "c0"
  }

  /// The model put forward and the best baseline.
  package var pair: [Role] {
    roles.filter { $0.look == "c1" || $0.look == "c2" }
  }
}
