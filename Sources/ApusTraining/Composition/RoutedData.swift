import ApusData
import ApusModels
import ApusRuntime
import ApusTensor

/// Blocks of L rows of every series that have L rows before them and a target after.
struct SeriesBlocks {
  struct Block {
    let series: Int
    /// The first row; a multiple of L.
    let start: Int
    /// 0 to learn from, 1 to choose by, 2 to judge by.
    let part: Int
  }

  let all: [Block]
  private let lookBack: Int
  private let horizon: Int

  init(_ table: SeriesTable, lookBack: Int, horizon: Int) {
    self.lookBack = lookBack
    self.horizon = horizon
    var all: [Block] = []
    for (series, one) in table.series.enumerated() {
      let starts = Array(stride(from: lookBack, to: one.count - horizon, by: lookBack))
      for (number, start) in starts.enumerated() {
        let isBySeries = table.series.count >= 10
        let place = isBySeries ? series * 7 % 10 : number * 10 / max(starts.count, 1)
        all.append(Block(series: series, start: start, part: place < 6 ? 0 : place < 8 ? 1 : 2))
      }
    }
    self.all = all
  }

  /// The loss of an expert on a block: its mean pinball loss, times two, over the mean step of the L rows
  /// before; not a number where nothing moves or no target is there.
  func loss(of forecaster: Forecaster, on block: Block, in frame: SeriesFrame) -> Double {
    let context = (block.start - lookBack..<block.start).map { frame.measured($0) }
    let steps = zip(context.dropFirst(), context).map { abs($0 - $1) }.filter(\.isFinite)
    let scale = steps.reduce(0, +) / Double(max(steps.count, 1))
    guard scale > 0 else { return .nan }
    let end = min(block.start + lookBack, frame.count - horizon)
    let rows = block.start..<max(block.start, end)
    let forecast = SeriesForecast(forecaster, frame: frame, rows: rows)
    let losses = zip(rows, forecast.quantiles).map { row, quantiles in
      originLoss(
        quantiles, targets: (1...horizon).map { frame.measured(row + $0) }, levels: forecast.levels)
    }.filter(\.isFinite)
    return 2 * losses.reduce(0, +) / Double(max(losses.count, 1)) / scale
      / (losses.isEmpty ? 0 : 1)
  }
}

/// Passages of a text: a request and what follows it.
struct TextPassages {
  struct Passage {
    let request: String
    let answer: String

    /// The mean loss of a model over the answer, in nats per byte.
    func loss(of model: LanguageModel, tokenizer: TextTokenizer) throws -> Double {
      let (before, after) = (tokenizer.encode(request), tokenizer.encode(answer))
      let bound = model.context ?? .max
      let tokens = (before + after).suffix(bound)
      let scores = try TokenScores(Array(tokens), model: model)
      let nats = scores.logProbabilities.suffix(min(after.count, tokens.count - 1)).compactMap(
        \.self)
      return -nats.reduce(0, +) / Double(max(answer.utf8.count, 1))
    }
  }

  let all: [Passage]

  init(_ text: String, length: Int) {
    let scalars = Array(text.unicodeScalars)
    let half = max(length / 2, 1)
    all = stride(from: 0, to: scalars.count - 2 * half + 1, by: 2 * half).map { start in
      func string(_ range: Range<Int>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars[range])
        return String(view)
      }
      return Passage(
        request: string(start..<start + half), answer: string(start + half..<start + 2 * half))
    }
  }
}
