import ApusData
import ApusModels
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Probes")
struct ProbeTests {
  /// A probe that takes a second.
  static func small(_ task: ProbeKind, model: String) -> ProbeOptions {
    var options = ProbeOptions(task, model: model)
    (options.width, options.batch, options.steps) = (16, 4, 2)
    (options.vocabulary, options.items) = (16, 3)
    (options.length, options.lengths) = (24, [16, 40])
    (options.examples, options.validationExamples, options.validateEvery) = (6, 5, 2)
    return options
  }

  @Test("refuse a context where it changes nothing, and take it where there is a look-back")
  func context() async throws {
    var options = Self.small(.induction, model: "mamba")
    options.context = 16
    await #expect(throws: ProbeOptionsError.noLookBack(model: "mamba")) {
      try await Probe(options).run()
    }
    options = Self.small(.induction, model: "sliding")
    options.context = 16
    #expect(try await Probe(options).run().parameters > 0)
  }

  @Test(
    "run from task to report, for any architecture", arguments: Architecture.all.map(\.name),
    ProbeKind.allCases)
  func runs(model: String, task: ProbeKind) async throws {
    let options = Self.small(task, model: model)
    let report = try await Probe(options).run()
    #expect(report.training.steps == 2 && report.training.stopReason == .budget)
    #expect(report.training.curve.last?.accuracy != nil)
    #expect(report.scores.map(\.length) == [16, 40])
    let asked = [ProbeKind.induction: 1, .selectiveCopy: 3, .recall: 3, .listOps: 1][task] ?? 0
    for score in report.scores {
      #expect(score.examples == 6 && score.answers == 6 * asked)
      #expect(score.accuracy == Double(score.correct) / Double(score.answers))
    }
    #expect(report.parameters > 0 && report.options == options)
  }

  @Test(
    "chunks of a long sequence give the answers of the whole", arguments: ["mamba", "transformer"])
  func chunks(model: String) throws {
    let probe = try Probe(Self.small(.selectiveCopy, model: model))
    let subject = try ProbeTraining(probe).model
    for parameter in subject.parameters {
      let noise = Tensor(normal: parameter.shape, deviation: 0.2, key: RandomKey(seed: 4))
      parameter.set(withoutGradient { parameter.value + noise })
    }
    let examples = try (0..<3).map {
      try probe.generator.example($0, length: 40, key: probe.key(.test))
    }
    let whole = subject.judge(examples)
    let loss = withoutGradient { Double(subject.loss(examples).scalar) }
    #expect(whole.answers == 9 && abs(whole.loss / 9 - loss) < 1e-4)
    for chunk in [3, 10, 60, 135] {
      let parts = subject.judge(examples, chunk: chunk)
      #expect(parts.answers == 9 && parts.correct == whole.correct)
      #expect(abs(parts.loss - whole.loss) < 1e-4)
    }
  }

  @Test("train until no answer is wrong, and then stop")
  func learns() async throws {
    var options = Self.small(.recall, model: "transformer")
    // One pair, one question: the value stands at the second place, always.
    (options.items, options.length, options.lengths) = (1, 4, [4])
    (options.width, options.batch, options.steps) = (32, 32, 1500)
    (options.learningRate, options.validateEvery, options.patience) = (0.003, 25, 2)
    options.validationExamples = 64
    let report = try await Probe(options).run()
    #expect(report.training.stopReason == .earlyStop, "\(report.training.curve)")
    #expect(report.training.curve.suffix(2).allSatisfy { $0.accuracy == 1 })
    #expect(report.scores[0].accuracy == 1)
  }

  @Test("the same options give the same weights, another seed others")
  func deterministic() async throws {
    func weights(seed: UInt64) async throws -> [Float] {
      var options = Self.small(.induction, model: "mamba")
      (options.seed, options.shortest) = (seed, 5)
      let probe = try Probe(options)
      let task = try ProbeTraining(probe)
      _ = try await Trainer(probe.trainerOptions).run(task)
      return task.parameters.flatMap(\.value.values)
    }
    let first = try await weights(seed: 1)
    #expect(try await weights(seed: 1) == first)
    #expect(try await weights(seed: 2) != first)
  }

  @Test("lengths of training stay between the shortest and the longest, evenly in the logarithm")
  func lengths() throws {
    var options = Self.small(.induction, model: "lstm")
    (options.shortest, options.length) = (8, 128)
    let task = try ProbeTraining(Probe(options))
    let lengths = (0..<2000).map { task.length(step: $0) }
    #expect(lengths.allSatisfy { (8...128).contains($0) })
    let below = lengths.filter { $0 < 32 }.count
    #expect(abs(below - 1000) < 120, "\(below) of 2,000 are under 32")
    options.shortSteps = 3
    let growing = try ProbeTraining(Probe(options))
    #expect((0..<3).map { growing.length(step: $0) } == Array(lengths[0..<3]))
    #expect((3..<20).allSatisfy { growing.length(step: $0) == 128 })
    options.shortest = nil
    let fixed = try ProbeTraining(Probe(options))
    #expect((0..<20).allSatisfy { fixed.length(step: $0) == 128 })
  }

  @Test("memory does not grow with the length where the state does not")
  func memory() throws {
    let probe = try Probe(Self.small(.induction, model: "mamba"))
    let subject = try ProbeTraining(probe).model
    func peak(_ length: Int) throws -> Int {
      let example = try probe.generator.example(0, length: length, key: probe.key(.test))
      Machine.resetPeakBytes()
      _ = subject.judge([example], chunk: 256)
      return Machine.peakBytes
    }
    _ = try peak(300)
    let short = try peak(1000)
    #expect(try peak(8000) < short + short / 4)
  }

  @Test("training, validation and test share no example")
  func parts() throws {
    let probe = try Probe(Self.small(.selectiveCopy, model: "lstm"))
    let sets = try [Probe.Part.training, .validation, .test].map { part in
      Set(
        try (0..<200).map {
          try probe.generator.example($0, length: 24, key: probe.key(part)).tokens
        })
    }
    #expect(sets[0].union(sets[1]).union(sets[2]).count == 600)
  }
}

@Suite("Recipes of probes")
struct ProbeRecipeTests {
  @Test("say what differs from the task's usual options")
  func partial() throws {
    let json = """
      {"task": "mqar", "model": "mamba", "width": 32, "learning_rate": 0.01, "clip": 2,
       "settings": {"selective": false, "state_size": 8}, "lengths": [64, 128], "decay": "linear"}
      """
    var expected = ProbeOptions(.recall, model: "mamba")
    (expected.width, expected.learningRate, expected.clip) = (32, 0.01, 2)
    expected.settings = ["selective": .bool(false), "state_size": .integer(8)]
    (expected.lengths, expected.decay) = ([64, 128], .linear)
    #expect(try ProbeOptions(recipe: Data(json.utf8)) == expected)
  }

  @Test("are what a report carries", arguments: ProbeKind.allCases)
  func roundTrip(task: ProbeKind) throws {
    var options = ProbeOptions(task, model: "lstm")
    (options.context, options.seconds) = (99, 3.5)
    (options.shortest, options.shortSteps) = (8, 100)
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    #expect(try ProbeOptions(recipe: encoder.encode(options)) == options)
  }

  /// The recipes that come with the project.
  static func committed() throws -> [String] {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    return try fixtures(in: tests.appendingPathComponent("../../../Recipes").standardized.path) {
      $0.hasSuffix(".json")
    }
  }

  @Test("that come with the project make a probe", arguments: try committed())
  func shipped(path: String) throws {
    let data = try #require(FileManager.default.contents(atPath: path))
    #expect(throws: Never.self) { try Probe(ProbeOptions(recipe: data)) }
  }

  @Test("that mean nothing are refused")
  func refused() {
    func failure(_ json: String) -> ProbeOptionsError? {
      do {
        _ = try ProbeOptions(recipe: Data(json.utf8))
        return nil
      } catch {
        return error as? ProbeOptionsError
      }
    }
    #expect(failure("[1]") == .notAnObject)
    #expect(failure("{") == .notAnObject)
    #expect(failure(#"{"model": "mamba"}"#) == .noTask(known: ProbeKind.allCases.map(\.rawValue)))
    if case .unknownKey("widht", _) = failure(#"{"task": "mqar", "model": "m", "widht": 3}"#) {
    } else {
      Issue.record("an unknown key passed")
    }
    if case .wrongValue("width", _) = failure(#"{"task": "mqar", "model": "m", "width": "w"}"#) {
    } else {
      Issue.record("a text as a number passed")
    }
  }

  @Test("with numbers out of range are refused before anything is made")
  func ranges() throws {
    for change: (inout ProbeOptions) -> Void in [
      { $0.width = 0 }, { $0.length = 0 }, { $0.batch = -1 }, { $0.lengths = [0] },
      { $0.shortest = 300 }, { $0.minimumShare = 1 }, { $0.examples = 0 }, { $0.steps = -1 },
    ] {
      var options = ProbeOptions(.induction, model: "mamba")
      change(&options)
      #expect(throws: ProbeOptionsError.self) { try Probe(options) }
    }
    var options = ProbeOptions(.induction, model: "mamba")
    options.settings = ["no_such_key": .integer(1)]
    #expect(throws: ConfigError.self) { try Probe(options) }
    #expect(throws: ConfigError.self) { try Probe(ProbeOptions(.induction, model: "oracle")) }
  }
}
