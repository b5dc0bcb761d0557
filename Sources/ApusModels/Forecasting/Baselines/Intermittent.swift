/// Demand that comes now and then: Croston's method and its kin.
///
/// Sizes z of what is not 0 and intervals p between are smoothed with 0.1 each, on arrival only:
/// Croston forecasts `z / p`; the approximation of Syntetos and Boylan takes off its bias,
/// `(1 - 0.1 / 2) z / p`. Teunter, Syntetos and Babai smooth the probability d of any demand at every
/// step, which lets it fade, and forecast `d z`. All steps ahead are the same. Errors act as factors,
/// so that quantiles of demand stay at 0 or above. Missing values move nothing.
/// Croston, 1972; Syntetos and Boylan, 2005, *The accuracy of intermittent demand estimates*;
/// Teunter, Syntetos and Babai, 2011, *Intermittent demand: Linking forecasting to inventory
/// obsolescence*.
package struct Intermittent: AnchorRule {
  package enum Form: Sendable, Hashable {
    case croston
    case syntetosBoylan
    case teunterSyntetosBabai
  }

  let form: Form
  package var residuals = ResidualQuantiles()
  private var smallest = 0.0
  /// How much of each surprise moves sizes, intervals and probabilities.
  private static let smoothing = 0.1

  package init(_ form: Form) { self.form = form }

  package var warmUp: Int { 1 }

  package mutating func estimate(_ history: [Double], task: ForecastTask) {
    smallest = smallestScale(of: history)
  }

  package func anchors(_ task: ForecastTask) -> Anchors { Anchors(form, smallest: smallest) }

  package struct Anchors: AnchorMemory {
    private let form: Form
    private let smallest: Double
    /// The smoothed size; NaN before the first demand.
    private var size = Double.nan
    private var interval = 1.0
    private var probability = Double.nan
    private var sinceDemand = 0.0

    fileprivate init(_ form: Form, smallest: Double) {
      (self.form, self.smallest) = (form, smallest)
    }

    package mutating func push(_ value: Double) {
      guard value.isFinite else { return }
      let isDemand = value != 0
      let share = Intermittent.smoothing
      probability =
        probability.isNaN
        ? (isDemand ? 1 : 0) : probability + share * ((isDemand ? 1 : 0) - probability)
      sinceDemand += 1
      guard isDemand else { return }
      if size.isNaN {
        (size, interval) = (value, sinceDemand)
      } else {
        size += share * (value - size)
        interval += share * (sinceDemand - interval)
      }
      sinceDemand = 0
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      let rate: Double =
        switch form {
        case .croston: size / interval
        case .syntetosBoylan: (1 - Intermittent.smoothing / 2) * size / interval
        case .teunterSyntetosBabai: probability * size
        }
      // Before any demand there is none to expect.
      let point = rate.isNaN ? 0 : rate
      let scale = max(abs(point), smallest)
      let anchor = Anchor(location: 0, scale: point < 0 ? -scale : scale, mean: point)
      return [Anchor](repeating: anchor, count: steps)
    }
  }
}
