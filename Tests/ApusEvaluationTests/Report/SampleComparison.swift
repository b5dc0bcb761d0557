import ApusEvaluation
import Foundation

/// Made-up comparisons with everything in them, for looking at the page and for tests of it.
enum SampleComparison {
  /// Daily returns, nine quantiles, a few failures; no model beats GARCH.
  static func series() -> ComparisonRecord {
    var draw = Draw(state: 7)
    var task = ComparisonTask(
      kind: .series, data: "index-daily.csv", rows: 5031, target: "close",
      lossName: "mean pinball loss", context: 128, budgetUnit: "seconds", budgetAmount: 20,
      seeds: [1, 2, 3, 4, 5], threads: 2, isa: "AVX2")
    task.measure = "log return"
    task.horizon = 5
    task.stepName = "day"
    task.testWindows = 748
    task.timeAxis = .utcSeconds
    var reproduction = Reproduction(
      command: "apus compare index-daily.csv --target close --horizon 5 --context 128 "
        + "--budget 20s --seeds 5 --seed 1 --threads 2 --output apus-report",
      seed: 1,
      versions: [
        .init(name: "apus", version: "0.1.0"), .init(name: "Swift", version: "6.3.1"),
        .init(name: "oneDNN", version: "2.6.3"), .init(name: "Highway", version: "1.0.3"),
      ])
    reproduction.dataSha256 = "9f2c6a0d7be14c55b7c2cf37e3a40f5b6ad1d0a0c83b2e9bb1f2b0a7c4d6e8f0"
    reproduction.dataBytes = 312_456
    reproduction.machine = "AMD EPYC 7R13, 2 cores, Linux 6.1"
    reproduction.startedAt = 1_763_700_000
    reproduction.seconds = 1834
    var record = ComparisonRecord(
      task: task,
      verdict: Verdict(
        reason: .intervalIncludesZero, model: "Jamba", baseline: "GARCH(1,1)", effect: 0.004,
        interval: -0.009...0.017, pValue: 0.61, uncorrectedPValue: 0.07, models: 9, windows: 748),
      rows: [], reproduction: reproduction)
    record.rows = rows(&draw)
    let series = walk(&draw, count: 5031)
    record.overview = stride(from: 0, to: series.count, by: 4).map { series[$0] }
    record.split = split(series)
    record.examples = [4300, 4561, 4890].map { example(series, at: $0, &draw) }
    record.health = health()
    record.openings = [
      TestOpening(
        at: 1_763_701_790, purpose: "final scores of 9 models and 8 baselines", windows: 748)
    ]
    return record
  }

  /// Characters, nats, n-grams; a model wins.
  static func text() -> ComparisonRecord {
    var draw = Draw(state: 11)
    var task = ComparisonTask(
      kind: .text, data: "plays.txt", rows: 1_115_394, target: "next character",
      lossName: "cross-entropy", context: 256, budgetUnit: "seconds", budgetAmount: 120,
      seeds: [1, 2, 3], threads: 2, isa: "AVX2")
    task.lossUnit = "nats per character"
    task.testWindows = 111_540
    var record = ComparisonRecord(
      task: task,
      verdict: Verdict(
        reason: .confirmed, model: "Mamba", baseline: "5-gram", effect: 0.08,
        interval: 0.072...0.088, pValue: 0.0001, uncorrectedPValue: 0.00003, models: 4,
        windows: 436),
      rows: [],
      reproduction: Reproduction(
        command: "apus compare plays.txt --budget 120s", seed: 1,
        versions: [.init(name: "apus", version: "0.1.0")]))
    let entries: [(String, ComparisonRow.Kind, Double)] = [
      ("Mamba", .model, 1.536), ("Jamba", .model, 1.561), ("GPT", .model, 1.622),
      ("Megalodon", .model, 1.641), ("5-gram", .baseline, 1.669), ("4-gram", .baseline, 1.774),
      ("1-gram", .baseline, 3.31),
    ]
    record.rows = entries.map { name, kind, loss in
      var row = ComparisonRow(name: name, kind: kind)
      row.loss = loss
      row.lossDeviation = kind == .model ? 0.006 : nil
      row.skill = 1 - loss / 1.669
      let width = loss == 1.669 ? 0 : 0.008
      row.interval = (1 - loss / 1.669 - width)...(1 - loss / 1.669 + width)
      row.validationLoss = loss + 0.01
      row.seconds = kind == .model ? 120 : 1.2
      row.tokensPerSecond = kind == .model ? 21_000 + 9000 * draw.uniform() : 900_000
      row.parameters = kind == .model ? 1_210_000 : 380_000
      row.millisecondsP50 = kind == .model ? 0.4 + draw.uniform() : 0.002
      row.peakBytes = kind == .model ? 410_000_000 : 90_000_000
      if kind == .model {
        row.curve = (0...40).map { index in
          LearningPoint(
            seconds: Double(index) * 3, step: index * 30,
            validationLoss: loss + 0.01 + 2.6 * exp(-Double(index) / 5) + 0.004 * draw.normal())
        }
        row.lossBySteps = [1, 2, 4, 8, 16, 32, 64, 128, 256].map {
          StepLoss(step: $0, loss: loss + 1.3 / Double($0).squareRoot())
        }
      }
      return row
    }
    record.split = [
      SplitPart(use: .train, rows: 0...892_313, times: 0...892_313),
      SplitPart(use: .validation, rows: 892_314...1_003_853, times: 892_314...1_003_853),
      SplitPart(use: .test, rows: 1_003_854...1_115_393, times: 1_003_854...1_115_393),
    ]
    record.openings = [TestOpening(at: 1_763_701_790, purpose: "final scores", windows: 111_540)]
    return record
  }

  private static func rows(_ draw: inout Draw) -> [ComparisonRow] {
    let models: [(String, Double, Double, Double, Int)] = [
      ("Jamba", 0.003981, 1.9, 410e6, 214_000), ("Mamba", 0.003989, 0.62, 268e6, 121_000),
      ("Mamba-2", 0.003996, 0.55, 251e6, 118_000), ("Megalodon", 0.004003, 1.2, 322e6, 165_000),
      ("GPT", 0.004031, 1.05, 301e6, 158_000), ("Linear attention", 0.004049, 0.71, 262e6, 140_000),
      ("Performer", 0.004066, 0.93, 287e6, 149_000),
    ]
    let baselines: [(String, Double, Double)] = [
      ("GARCH(1,1)", 0.003997, 0.011), ("GJR-GARCH", 0.004002, 0.013), ("EWMA", 0.004018, 0.003),
      ("Log-HAR", 0.004021, 0.009), ("Gradient-boosted trees", 0.004079, 0.24),
      ("Climatology", 0.004263, 0.002), ("Seasonal naive", 0.005402, 0.002),
      ("Naive", 0.005618, 0.001),
    ]
    let bar = 0.003997
    var rows = models.map { name, loss, latency, memory, parameters in
      var row = scored(name, .model, loss, bar, &draw)
      row.lossDeviation = 0.000012 + 0.000015 * draw.uniform()
      row.pValue = min(1, 0.31 + draw.uniform())
      row.seconds = 19.2 + draw.uniform()
      row.steps = 400 + Int(500 * draw.uniform())
      row.tokensPerSecond = 18_000 + 40_000 * draw.uniform()
      row.millisecondsP50 = latency
      row.millisecondsP99 = latency * 1.7
      row.peakBytes = Int(memory)
      row.parameters = parameters
      row.artifactBytes = parameters * 4 + 9000
      let rate = 2 + 3 * draw.uniform()
      row.curve = (0...40).map { index in
        let seconds = Double(index) / 2
        let loss = loss * (1.004 + 0.9 * exp(-seconds * rate / 4)) + 0.000004 * draw.normal()
        return LearningPoint(
          seconds: seconds, step: index * 20, trainLoss: loss * (1 - 0.0004 * seconds),
          validationLoss: loss)
      }
      return row
    }
    rows += baselines.map { name, loss, latency in
      var row = scored(name, .baseline, loss, bar, &draw)
      row.seconds = 0.02 + draw.uniform()
      row.millisecondsP50 = latency
      row.millisecondsP99 = latency * 1.4
      row.peakBytes = 48_000_000 + Int(30e6 * draw.uniform())
      row.parameters = 3 + Int(10 * draw.uniform())
      row.artifactBytes = 420
      return row
    }
    var diverged = ComparisonRow(name: "Reformer", kind: .model)
    diverged.status = .diverged
    diverged.message = "the loss became infinite at step 212 (seed 3); the last finite one was 41.7"
    var late = ComparisonRow(name: "Mixture of experts", kind: .model)
    late.status = .failed
    late.message = "The configuration's 'experts' is 1, but it must be 2 or more."
    return rows + [diverged, late]
  }

  private static func scored(
    _ name: String, _ kind: ComparisonRow.Kind, _ loss: Double, _ bar: Double, _ draw: inout Draw
  ) -> ComparisonRow {
    var row = ComparisonRow(name: name, kind: kind)
    row.loss = loss
    let skill = 1 - loss / bar
    let width = loss == bar ? 0 : 0.007 + 0.006 * draw.uniform() + abs(skill) / 6
    row.skill = skill
    row.interval = (skill - width)...(skill + width)
    row.validationLoss = loss * 1.004
    row.coverageError = 0.008 + abs(skill) / 6 + 0.006 * draw.uniform()
    let bias = 0.03 * draw.normal() + (skill < -0.05 ? 0.12 : 0)
    row.calibration = (1...9).map { index in
      let p = Double(index) / 10
      let shift = bias * sin(.pi * 2 * p) + 0.006 * draw.normal()
      return CalibrationPoint(nominal: p, empirical: min(1, max(0, p + shift)))
    }
    row.lossBySteps = (1...5).map { step in
      StepLoss(step: step, loss: loss * (0.985 + 0.005 * Double(step) + 0.001 * draw.normal()))
    }
    let shares = (0..<20).map { index in
      let centered = (Double(index) + 0.5) / 10 - 1
      return 0.05 * (1 + 4 * bias * (centered * centered - 0.33) + 0.09 * draw.normal())
    }
    let total = shares.reduce(0, +)
    row.pit = shares.map { $0 / total }
    return row
  }

  private static func walk(_ draw: inout Draw, count: Int) -> [SeriesPoint] {
    var variance = 1e-4
    var time = 915_408_000.0
    return (0..<count).map { index in
      time += index % 5 == 4 ? 3 * 86_400 : 86_400
      let value = variance.squareRoot() * draw.normal()
      variance = 2e-6 + 0.09 * value * value + 0.89 * variance
      return SeriesPoint(time: time, value: value)
    }
  }

  private static func split(_ series: [SeriesPoint]) -> [SplitPart] {
    let borders: [(SplitPart.Use, Int, Int)] = [
      (.train, 0, 3520), (.gap, 3521, 3525), (.validation, 3526, 4271), (.gap, 4272, 4276),
      (.test, 4277, 5030),
    ]
    return borders.map {
      SplitPart(use: $0.0, rows: $0.1...$0.2, times: series[$0.1].time...series[$0.2].time)
    }
  }

  private static func example(_ series: [SeriesPoint], at origin: Int, _ draw: inout Draw)
    -> ForecastExample
  {
    let levels = (1...9).map { Double($0) / 10 }
    let scores = [-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816]
    let past = series[(origin - 20)...origin].map { $0.value * $0.value }
    let scale = (past.reduce(0, +) / 21).squareRoot()
    let fans = [("Jamba", 0.94), ("GARCH(1,1)", 1.0)].map { name, factor in
      ForecastFan(
        name: name, levels: levels,
        quantiles: (1...5).map { step in
          scores.map { $0 * scale * factor * (1 + 0.02 * Double(step)) + 0.0004 }
        })
    }
    return ForecastExample(
      history: Array(series[(origin - 60)...origin]),
      actual: Array(series[(origin + 1)...(origin + 5)]), fans: fans)
  }

  private static func health() -> [HealthFinding] {
    var duplicates = HealthFinding(
      check: "duplicate timestamps", severity: .warning, count: 2,
      detail: "Two days stand in the file twice with equal values; the later lines were dropped.")
    duplicates.lines = ["1423: 2004-09-01,1105.91", "1424: 2004-09-01,1105.91"]
    return [
      HealthFinding(
        check: "order of time", severity: .clean, count: 0, detail: "Timestamps ascend."),
      duplicates,
      HealthFinding(
        check: "gaps", severity: .note, count: 137,
        detail: "Missing weekdays are holidays of the exchange; nothing was filled."),
      HealthFinding(
        check: "outliers", severity: .note, count: 3,
        detail: "Three returns lie beyond 9 interquartile ranges, all in October 2008."),
      HealthFinding(
        check: "look-ahead", severity: .clean, count: 0,
        detail: "Changing values after the origin changes no forecast."),
    ]
  }
}

/// Random numbers that are the same everywhere.
struct Draw {
  var state: UInt64

  mutating func uniform() -> Double {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Double((z ^ (z >> 31)) >> 11) / 9_007_199_254_740_992
  }

  mutating func normal() -> Double {
    (-2 * log(max(uniform(), 1e-12))).squareRoot() * cos(2 * .pi * uniform())
  }
}
