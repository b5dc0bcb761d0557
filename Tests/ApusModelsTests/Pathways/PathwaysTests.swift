import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Pathways")
struct PathwaysTests {
  static func config(_ change: (inout PathwaysConfig) -> Void = { _ in }) -> PathwaysConfig {
    var config = PathwaysConfig()
    (config.width, config.blocks, config.heads, config.context) = (24, 3, 3, 64)
    (config.expertWidth, config.experts, config.taskWidth, config.patch) = (20, 5, 7, 4)
    config.tasks = [
      PathwaysTask(name: "text", head: .language),
      PathwaysTask(name: "ahead", head: .forecast(horizon: 3, levels: [0.1, 0.5, 0.9])),
      PathwaysTask(name: "kind", head: .classes(count: 4)),
    ]
    change(&config)
    return config
  }

  /// A model whose every weight counts.
  static func model(_ config: PathwaysConfig = config(), seed: UInt64 = 1) throws -> Pathways {
    let model = try Pathways(config, key: RandomKey(seed: seed))
    for (index, parameter) in model.parameters.enumerated() {
      let noise = Tensor.random(parameter.shape, seed: seed &+ 50 &+ UInt64(index), scale: 0.2)
      parameter.set(withoutGradient { parameter.value + noise })
    }
    return model
  }

  static func batch(_ task: Int, seed: UInt64 = 3) -> PathwaysBatch {
    let tokens = Tensor.randomIntegers([2, 11], below: 256, seed: seed)
    let numbers = Tensor.random([3, 18], seed: seed, scale: 2).values
    let series = (0..<3).map { Array(numbers[$0 * 18..<$0 * 18 + 18 - $0]) }
    switch task {
    case 0: return PathwaysBatch(input: .tokens(tokens), target: .tokens(tokens))
    case 1:
      return PathwaysBatch(
        input: .series(series), target: .values(Tensor.random([3, 3], seed: seed, scale: 1)))
    default:
      return PathwaysBatch(
        input: .series(series), target: .classes(Tensor([0, 3, 1] as [Int32], [3])))
    }
  }

  @Test("gradients equal finite differences in every task", arguments: 0..<3)
  func gradients(task: Int) throws {
    let model = try Self.model()
    let batch = Self.batch(task)
    model.loss(batch, task: task).loss.backward()
    for (index, parameter) in model.parameters.enumerated() {
      let isOther =
        parameter.name.hasPrefix("tasks.")
        && !parameter.name.hasPrefix("tasks.\(model.config.tasks[task].name).")
      let isUnread = parameter.name.hasPrefix(task == 0 ? "trunk.patches" : "trunk.embedding")
      guard !isOther, !isUnread else {
        #expect(parameter.gradient == nil, "\(parameter.name)")
        continue
      }
      let analytic = try #require(parameter.gradient, "\(parameter.name)").values
      let direction = Tensor.random(parameter.shape, seed: UInt64(index), scale: 1)
      let start = parameter.value.copied()
      let length = direction.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
      func loss(_ distance: Double) -> Double {
        withoutGradient {
          parameter.set(start + direction * Float(distance / length))
          return Double(model.loss(batch, task: task).loss.scalar)
        }
      }
      let step = 1.0 / 512
      let numeric = (loss(step) - loss(-step)) / (2 * step)
      parameter.set(start)
      let expected =
        zip(analytic, direction.values).reduce(0) { $0 + Double($1.0) * Double($1.1) } / length
      let size = analytic.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
      // Routes may change along the way, and pinball has corners: the direction must agree.
      #expect(abs(numeric - expected) < 0.05 * size + 2e-3, "\(parameter.name)")
    }
  }

  @Test("a new task begins as its parent, to the bit, and takes no gradient to what is old")
  func identity() throws {
    let model = try Self.model()
    for parent in 0..<3 {
      let grown = try model.adding(
        "new", head: model.config.tasks[parent].head, parent: model.config.tasks[parent].name,
        ownExperts: 2, key: RandomKey(seed: 9))
      let batch = Self.batch(parent)
      let (old, new) = withoutGradient {
        (
          model.trunk(batch.input, task: parent).hidden.values,
          grown.trunk(batch.input, task: 3).hidden.values
        )
      }
      expectSameBits(new, old)
      grown.loss(batch, task: 3).loss.backward()
      let own = Set(grown.parameters(ofTask: 3).map(\.name))
      for parameter in grown.parameters {
        #expect((parameter.gradient != nil) == own.contains(parameter.name), "\(parameter.name)")
      }
    }
  }

  @Test("training a new task changes no bit of the others")
  func noForgetting() throws {
    let model = try Self.model()
    let before = withoutGradient {
      (0..<3).map { model.output(Self.batch($0).input, task: $0).values }
    }
    let weights = model.parameters.map(\.value.values)
    let grown = try model.adding(
      "new", head: .classes(count: 4), parent: "kind", key: RandomKey(seed: 9))
    var optimizer = TestOptimizer(grown.parameters.filter(\.isTrainable))
    let batch = Self.batch(2, seed: 8)
    var losses: [Float] = []
    for _ in 0..<50 {
      let loss = grown.loss(batch, task: 3).loss
      loss.backward()
      optimizer.update(rate: 0.01)
      losses.append(loss.scalar)
    }
    #expect((losses.last ?? 1) < 0.5 * (losses.first ?? 0))
    for task in 0..<3 {
      let after = withoutGradient { grown.output(Self.batch(task).input, task: task).values }
      expectSameBits(after, before[task])
    }
    for (parameter, old) in zip(model.parameters, weights) {
      expectSameBits(
        try #require(grown.parameters.first { $0.name == parameter.name }).value.values, old)
    }
  }

  @Test("tasks of tasks see published experts, and only those")
  func publishing() throws {
    let grown = try Self.model().adding(
      "second", head: .classes(count: 2), parent: "kind", key: RandomKey(seed: 4))
    #expect(throws: ConfigError.self) {
      try grown.adding(
        "third", head: .classes(count: 2), parent: "kind", seeing: ["second"],
        key: RandomKey(seed: 5))
    }
    #expect(throws: ConfigError.self) {
      try grown.adding(
        "third", head: .classes(count: 2), parent: "second", key: RandomKey(seed: 5))
    }
    let third = try grown.publishing("second").adding(
      "third", head: .classes(count: 2), parent: "kind", seeing: ["second"],
      key: RandomKey(seed: 5))
    let routes = third.routes(Self.batch(2).input, task: 4)
    #expect(routes.map(\.expertCount) == [5, 6, 6])
    #expect(third.routes(Self.batch(2).input, task: 3).map(\.expertCount) == [5, 5, 5])
  }

  @Test("later positions change neither earlier outputs nor routes")
  func causality() throws {
    let model = try Self.model()
    let tokens = Tensor.randomIntegers([1, 20], below: 256, seed: 5)
    var changed = tokens.integers
    for t in 12..<20 { changed[t] = (changed[t] + 9) % 256 }
    let (before, after) = withoutGradient {
      (
        model.trunk(.tokens(tokens), task: 0),
        model.trunk(.tokens(Tensor(changed, [1, 20])), task: 0)
      )
    }
    expectSameBits(
      after.hidden[times: 0..<12].values, before.hidden[times: 0..<12].values)
    for (one, other) in zip(before.logits, after.logits) {
      expectSameBits(other[times: 0..<12].values, one[times: 0..<12].values)
    }
  }

  @Test("forecasts follow the unit of their series, and rise with their levels")
  func units() throws {
    let model = try Self.model()
    let values = Tensor.random([1, 30], seed: 6, scale: 1).values
    let plain = model.quantiles(.series([values]), task: 1)
    let moved = model.quantiles(.series([values.map { 50 * $0 + 7 }]), task: 1)
    for (one, other) in zip(plain[0].joined(), moved[0].joined()) {
      #expect(abs(50 * one + 7 - other) < 0.02 * max(1, abs(other)))
    }
    #expect(plain[0].allSatisfy { zip($0, $0.dropFirst()).allSatisfy(<=) })
    let gaps = model.quantiles(.series([[.nan, 1, .nan, 2]]), task: 1)
    #expect(gaps.joined().joined().allSatisfy { $0.isFinite })
  }

  @Test("route statistics add up")
  func statistics() throws {
    let model = try Self.model()
    let found = RouteStatistics(model, inputs: (0..<3).map { ($0, Self.batch($0).input) })
    for (task, tokens) in zip(found.tasks, [22, 15, 15]) {
      #expect(task.tokens == tokens)
      for layer in task.layers {
        #expect(layer.counts.reduce(0, +) == 2 * tokens)
        #expect(abs(layer.shares.reduce(0, +) - 1) < 1e-5)
        #expect(layer.together.joined().reduce(0, +) == 2 * tokens)
        #expect(layer.effectiveExperts <= 5.0001 && layer.effectiveExperts >= 1)
      }
    }
    #expect(found.sharing.count == 3)
    #expect(found.sharing.allSatisfy { $0.layers.allSatisfy { $0 > 0 && $0 <= 1.0001 } })
    let map = found.heatMap()
    #expect(map.contains("block 2") && map.contains("expert 4") && map.contains("ahead"))
  }

  @Test("one task with routing by task alone sends every token to the same experts")
  func taskRouting() throws {
    let model = try Self.model(Self.config { $0.routing = .task })
    for routes in model.routes(Self.batch(0).input, task: 0) {
      let chosen = routes.experts.integers
      #expect((0..<chosen.count).allSatisfy { chosen[$0] == chosen[$0 % 2] })
    }
  }

  @Test("configurations that cannot be are refused")
  func hostile() {
    for change: (inout PathwaysConfig) -> Void in [
      { $0.width = 0 }, { $0.heads = 5 }, { $0.perToken = 9 }, { $0.tasks[1].name = "text" },
      { $0.tasks[0].name = "../x" }, { $0.tasks[2].head = .classes(count: 1) },
      { $0.tasks[1].head = .forecast(horizon: 0, levels: [0.5]) },
      { $0.tasks[1].head = .forecast(horizon: 3, levels: [0.9, 0.1]) }, { $0.experts = -1 },
      { $0.tasks[0].ownExperts = 1000 },
    ] {
      #expect(throws: ConfigError.self) { try Self.config(change).validate() }
    }
  }
}
