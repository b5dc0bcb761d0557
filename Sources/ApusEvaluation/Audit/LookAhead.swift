/// Whether a column knows what a series does later.
///
/// A column made of the past of a series cannot be correlated with the series' innovations to come, whatever
/// it was made by: what is new at t + k is not in anything known at t. So the column is regressed on the
/// past, and what is left of it on the innovations before and after its row. A column of which later
/// innovations explain nearly all that is new is made of them; where they explain some of it, it may be a
/// leading indicator, and is doubtful.
struct LookAhead {
  /// What was found of a column.
  enum Answer: Equatable {
    /// The past explains it, or nothing that comes.
    case honest
    /// It is the series some rows ahead.
    case shift(rows: Int)
    /// It is a statistic of a window from `before` rows before to `after` rows after its row.
    case window(statistic: String, before: Int, after: Int)
    /// Later innovations explain this share of what is new in it, most of it so many rows ahead.
    case share(Double, lead: Int)
    /// Rows are too few, or too many are missing, to tell.
    case untold
  }

  /// The column.
  let column: [Double]
  /// The series whose future it must not know.
  let series: [Double]
  /// The first lead that is the future: 1, or 0 where the same row is predicted.
  let first: Int
  /// Rows of a season, so that the past is known that far back.
  let season: Int

  /// Fewest rows for a regression; below them only exact relations are looked for.
  private static let fewest = 100
  /// Rows that are looked at, the last ones of a stretch.
  private static let most = 2_000
  /// The past that is known.
  private static let lags = 24
  /// How far ahead and back innovations are looked at.
  private static let reach = 100

  /// Looks at a column beside a series.
  ///
  /// - Parameters:
  ///   - column: One value for each row; NaN where missing.
  ///   - series: The same of the series.
  ///   - first: See ``first``.
  ///   - season: Rows of a season.
  init(_ column: [Double], of series: [Double], first: Int = 1, season: Int = 1) {
    let stretch = Self.longestStretch(column, series)
    let range = max(stretch.lowerBound, stretch.upperBound - Self.most)..<stretch.upperBound
    self.column = Array(column[range])
    self.series = Array(series[range])
    (self.first, self.season) = (first, season)
  }

  /// The longest stretch of rows that have both.
  private static func longestStretch(_ column: [Double], _ series: [Double]) -> Range<Int> {
    var (best, start) = (0..<0, 0)
    for index in column.indices {
      if !(column[index].isFinite && series[index].isFinite) { start = index + 1 }
      if index + 1 - start > best.count { best = start..<index + 1 }
    }
    return best
  }

  /// The answer.
  func answer() -> Answer {
    guard column.count >= 20 else { return .untold }
    let forms = ExactForms(column: column, series: series, first: first)
    // A column that stands still, or has two values, fits many forms.
    guard forms.canTell else { return .untold }
    if let form = forms.answer() { return form }
    guard column.count >= Self.fewest else { return .honest }
    return regressed()
  }

  private func regressed() -> Answer {
    let (x, s) = (column, series)
    var lags = Array(1...min(Self.lags, x.count / 12))
    if season > lags.count, season < x.count / 4 { lags.append(season) }
    let skipped = lags.last ?? 0
    func lagged(_ values: [Double], _ lag: Int) -> [Double] {
      Array(values[(skipped - lag)..<(values.count - lag)])
    }
    var own = Residuals()
    for lag in lags { own.add(lagged(s, lag)) }
    let innovations = own.of(Array(s[skipped...]))
    var past = own
    if first > 0 { past.add(lagged(s, 0)) }
    let values = Array(x[skipped...])
    let spread = AuditStatistics.variance(values)
    let withoutOwn = past.of(values)
    guard AuditStatistics.variance(withoutOwn) > 1e-10 * spread else { return .honest }
    for lag in lags { past.add(lagged(x, lag)) }
    var news = past.of(values)
    // A column that its own past continues without end may still be made of the future: a smoothing that
    // runs backwards is such a recursion.
    if AuditStatistics.variance(news) <= 1e-10 * spread { news = withoutOwn }
    return explained(news, by: innovations)
  }

  /// The share of what is new in a column that later innovations explain, beyond earlier ones.
  private func explained(_ news: [Double], by innovations: [Double]) -> Answer {
    let reach = min(Self.reach, news.count / 6)
    let chance = 4 / Double(news.count).squareRoot()
    var (before, after) = ([(lead: Int, size: Double)](), [(lead: Int, size: Double)]())
    for lead in -reach...reach {
      let low = max(0, -lead)
      let high = min(news.count, news.count - lead)
      let size = abs(
        AuditStatistics.correlation(news[low..<high], innovations[low + lead..<high + lead]))
      guard size > chance else { continue }
      if lead < first { before.append((lead, size)) } else { after.append((lead, size)) }
    }
    guard let strongest = after.max(by: { $0.size < $1.size }) else { return .honest }
    func chosen(_ all: [(lead: Int, size: Double)], _ count: Int) -> [Int] {
      all.sorted { $0.size > $1.size }.prefix(count).map(\.lead)
    }
    let inner = reach..<news.count - reach
    let values = Array(news[inner])
    let total = AuditStatistics.variance(values)
    guard total > 0 else { return .honest }
    var regressors = Residuals()
    func add(_ leads: [Int]) {
      for lead in leads {
        regressors.add(Array(innovations[inner.lowerBound + lead..<inner.upperBound + lead]))
      }
    }
    /// The share that the regressors explain, corrected for their number.
    func share() -> Double {
      let degrees = Double(values.count) / Double(max(1, values.count - regressors.count - 1))
      return 1 - AuditStatistics.variance(regressors.of(values)) * degrees / total
    }
    add(chosen(before, 20))
    let known = share()
    add(chosen(after, 30))
    let gained = share() - known
    // Of a column that is all past and future, the part that is future counts for all.
    let decisive = known + gained > 0.85 && gained > 0.25 ? max(gained, 0.86) : gained
    return decisive > 0.15 ? .share(decisive, lead: strongest.lead) : .honest
  }
}
