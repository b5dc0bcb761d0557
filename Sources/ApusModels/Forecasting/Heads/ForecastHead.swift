/// What the last layer of a ``Forecaster`` says about each step ahead, and by which loss it learns.
///
/// All of them end in the same quantiles.
public enum ForecastHead: Sendable, Hashable {
  /// Quantiles that cannot cross, by pinball loss (Koenker and Bassett, 1978, *Regression Quantiles*).
  case quantiles
  /// Location, scale and degrees of freedom, above 2, of Student's t, by likelihood.
  case studentT
  /// A mixture of normal distributions, by likelihood (Bishop, 1994, *Mixture Density Networks*).
  case mixture(components: Int)
  /// A negative binomial of whole numbers from 0 up with zeros besides, by likelihood (Salinas et al., 2017,
  /// *DeepAR*, arXiv:1704.04110; Lambert, 1992, *Zero-Inflated Poisson Regression*), in their own units.
  case counts

  /// The names of all of them.
  public static let names = ["quantiles", "student-t", "mixture", "counts"]

  /// Components of a mixture where nothing is said.
  public static let usualComponents = 3

  /// The head of a name; a mixture has ``usualComponents``. Nil for another name.
  public init?(named name: String) {
    switch name {
    case "quantiles": self = .quantiles
    case "student-t": self = .studentT
    case "mixture": self = .mixture(components: Self.usualComponents)
    case "counts": self = .counts
    default: return nil
    }
  }

  /// The name of ``names``.
  public var name: String {
    switch self {
    case .quantiles: "quantiles"
    case .studentT: "student-t"
    case .mixture: "mixture"
    case .counts: "counts"
    }
  }

  /// Components of a mixture; nil of other heads.
  var components: Int? {
    if case .mixture(let components) = self { components } else { nil }
  }

  /// Whether values are whole numbers in their own units: rows then have a scale of their own, and no
  /// location.
  public var isOfCounts: Bool { self == .counts }
}
