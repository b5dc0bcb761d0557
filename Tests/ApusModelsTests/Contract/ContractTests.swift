import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// What every registered architecture owes its users.
@Suite("Contract of architectures", .tags(.property))
struct ContractTests {
  @Test("one token at a time equals all at once", arguments: Specimen.all)
  func oneByOne(specimen: Specimen) throws {
    let model = try specimen.shakenModel()
    let tokens = specimen.tokens(2, 37, seed: 1)
    let whole = withoutGradient { model.logits(tokens) }
    var state = model.initialState(batch: 2)
    for t in 0..<37 {
      let part = model.logits(idSlice(tokens, times: t..<t + 1), state: &state)
      expectClose(part, whole[times: t..<t + 1], absolute: 1e-5, "token \(t)")
    }
    #expect(state.positions == [37, 37])
  }

  @Test("chunks of any length equal all at once", arguments: Specimen.all)
  func chunks(specimen: Specimen) throws {
    let model = try specimen.shakenModel()
    let tokens = specimen.tokens(2, 41, seed: 2)
    let whole = withoutGradient { model.logits(tokens) }
    for seed in 0..<20 as Range<UInt64> {
      var generator = SplitMix(state: seed)
      var (state, start) = (model.initialState(batch: 2), 0)
      while start < 41 {
        let end = min(41, start + Int.random(in: 1...20, using: &generator))
        let part = model.logits(idSlice(tokens, times: start..<end), state: &state)
        expectClose(
          part, whole[times: start..<end], absolute: 1e-5, "\(start)..<\(end), seed \(seed)")
        start = end
      }
    }
  }

  @Test("a state that was copied goes on by itself", arguments: Specimen.all)
  func branches(specimen: Specimen) throws {
    let model = try specimen.shakenModel()
    let tokens = specimen.tokens(1, 12, seed: 3)
    let whole = withoutGradient { model.logits(tokens) }
    var state = model.initialState(batch: 1)
    _ = model.logits(idSlice(tokens, times: 0..<5), state: &state)
    var other = state
    _ = model.logits(specimen.tokens(1, 7, seed: 4), state: &other)
    let rest = model.logits(idSlice(tokens, times: 5..<12), state: &state)
    expectClose(rest, whole[times: 5..<12], absolute: 1e-5)
  }

  @Test("a later token never changes an earlier logit, to the bit", arguments: Specimen.all)
  func causality(specimen: Specimen) throws {
    let model = try specimen.shakenModel()
    let tokens = specimen.tokens(2, 23, seed: 5)
    let before = withoutGradient { model.logits(tokens) }
    for cut in [1, 11, 22] {
      var ids = tokens.integers
      for row in 0..<2 {
        for t in cut..<23 {
          ids[row * 23 + t] = (ids[row * 23 + t] + 7) % Int32(Specimen.vocabulary)
        }
      }
      let after = withoutGradient { model.logits(Tensor(ids, [2, 23])) }
      expectSameBits(
        after[times: 0..<cut].values, before[times: 0..<cut].values, "cut at \(cut)")
      #expect(
        bitDisagreement(
          after[times: cut..<cut + 1].values, before[times: cut..<cut + 1].values)
          != nil, "the changed token itself should count")
    }
  }

  @Test("rows of a batch do not see each other", arguments: Specimen.all)
  func rows(specimen: Specimen) throws {
    let model = try specimen.shakenModel()
    let (first, second, third) = (
      specimen.tokens(1, 19, seed: 6), specimen.tokens(1, 19, seed: 7),
      specimen.tokens(1, 19, seed: 8)
    )
    func firstRow(_ other: Tensor) -> [Float] {
      let both = Tensor(first.integers + other.integers, [2, 19])
      return Array(withoutGradient { model.logits(both) }.values.prefix(19 * Specimen.vocabulary))
    }
    expectSameBits(firstRow(second), firstRow(third))
    expectClose(firstRow(second), withoutGradient { model.logits(first) }.values, absolute: 1e-5)
  }

  @Test(
    "a step writes weights where they are: nothing holds them any more", arguments: Specimen.all)
  func inPlace(specimen: Specimen) throws {
    let model = try specimen.model()
    let tokens = specimen.tokens(2, 11, seed: 9)
    let loss = model.loss(tokens, targets: following(tokens))
    loss.backward()
    for parameter in model.parameters where parameter.isTrainable {
      let place = parameter.value.contents.storage.pointer
      var velocity = Tensor(zeros: parameter.shape)
      parameter.applySGD(
        velocity: &velocity, learningRate: 0.1, momentum: 0.9, weightDecay: 0, gradientScale: 1)
      #expect(parameter.value.contents.storage.pointer == place, "\(parameter.name) was copied")
    }
    withExtendedLifetime(loss) {}
  }

  @Test("every parameter that can be trained gets a gradient", arguments: Specimen.all)
  func gradients(specimen: Specimen) throws {
    let model = try specimen.model()
    let tokens = specimen.tokens(2, 11, seed: 9)
    model.loss(tokens, targets: following(tokens)).backward()
    for parameter in model.parameters where parameter.isTrainable {
      let gradient = try #require(parameter.gradient, "\(parameter.name) has no gradient")
      #expect(gradient.values.allSatisfy { $0.isFinite }, "\(parameter.name)")
      #expect(gradient.values.contains { $0 != 0 }, "\(parameter.name): all zeros")
    }
  }

  @Test(
    "blocks that keep only their input give the same loss and gradients", arguments: Specimen.all)
  func recomputation(specimen: Specimen) throws {
    let tokens = specimen.tokens(2, 11, seed: 14)
    func gradients(_ run: (() -> Tensor) -> Tensor) throws -> [[Float]] {
      let model = try specimen.shakenModel()
      let loss = run { model.loss(tokens, targets: following(tokens)) }
      withRecomputation { loss.backward() }
      return [loss.values] + model.parameters.map { $0.gradient?.values ?? [] }
    }
    let (kept, computed) = (
      try gradients { body in body() }, try gradients { body in withRecomputation { body() } }
    )
    for (one, other) in zip(kept, computed) { expectClose(one, other, absolute: 1e-6) }
  }

  @Test(
    "gradients equal finite differences", .tags(.gradient),
    arguments: Specimen.all.filter(\.isSmooth))
  func finiteDifferences(specimen: Specimen) throws {
    let model = try specimen.smooth.shakenModel()
    let tokens = specimen.tokens(2, 7, seed: 10)
    let targets = following(tokens)
    model.loss(tokens, targets: targets).backward()
    for (index, parameter) in model.parameters.enumerated() where parameter.isTrainable {
      // Along one random direction: every element takes part.
      let start = parameter.value.copied()
      let analytic = try #require(parameter.gradient).values
      let direction = Tensor.random(parameter.shape, seed: UInt64(index), scale: 1)
      let length = direction.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
      let expected =
        zip(analytic, direction.values)
        .reduce(0) { $0 + Double($1.0) * Double($1.1) } / length
      func loss(_ distance: Double) -> Double {
        withoutGradient {
          parameter.set(start + direction * Float(distance / length))
          // The mean in double over single losses: less rounding than the loss itself.
          let all = model.losses(tokens, targets: targets)
          return all.reduce(0) { $0 + Double($1) } / 12
        }
      }
      let step = 1.0 / 32
      let numeric =
        (8 * (loss(step) - loss(-step)) - (loss(2 * step) - loss(-2 * step))) / (12 * step)
      parameter.set(start)
      let size = analytic.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
      #expect(
        abs(numeric - expected) < 2e-3 * size + 2e-5,
        "\(parameter.name): \(expected), but by differences \(numeric), of a gradient of \(size)")
    }
  }

  @Test("names equal the committed list", arguments: Architecture.builtIn.map(\.name))
  func names(name: String) throws {
    let specimen = try #require(Specimen.all.first { $0.architecture.name == name })
    let found = try specimen.model().parameters.map { "\($0.name) \($0.shape)" }.sorted()
    let list = try String(contentsOfFile: fixturePath("names/\(name).txt"), encoding: .utf8)
    #expect(found == list.split(separator: "\n").map(String.init))
  }

  @Test("a checkpoint survives the way to a file and back", arguments: Specimen.all)
  func checkpoint(specimen: Specimen) throws {
    let model = try specimen.shakenModel()
    let tokens = specimen.tokens(1, 13, seed: 11)
    try withTemporaryFolder { folder in
      let path = folder + "/model.safetensors"
      try Safetensors.save(
        Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value) }), to: path)
      let again = try LanguageModel(
        specimen.config(), in: Scope(checkpoint: Safetensors.load(path)))
      expectSameBits(
        withoutGradient { again.logits(tokens).values },
        withoutGradient { model.logits(tokens).values })
      #expect(again.parameters.map(\.name) == model.parameters.map(\.name))
    }
  }

  @Test("a checkpoint that lacks a tensor, has another shape or one too many is refused")
  func badCheckpoints() throws {
    let specimen = Specimen.all[0]
    let model = try specimen.model()
    let good = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value) })
    let name = "transformer.h.1.mlp.c_fc.weight"
    func load(_ change: (inout [String: Tensor]) -> Void) throws -> LanguageModel {
      var tensors = good
      change(&tensors)
      return try LanguageModel(
        specimen.config(), in: Scope(checkpoint: tensors))
    }
    _ = try load { $0["transformer.h.0.attn.bias"] = Tensor(zeros: [1]) }
    #expect(throws: CheckpointError.missingTensor(name: name)) { try load { $0[name] = nil } }
    #expect(
      throws: CheckpointError.shapeMismatch(name: name, found: [96, 24], expected: [24, 96])
    ) { try load { $0[name] = Tensor(zeros: [96, 24]) } }
    #expect(throws: CheckpointError.unusedTensors(names: ["other"])) {
      try load { $0["other"] = Tensor(zeros: [1]) }
    }
  }

  @Test("a configuration survives the way to JSON and back", arguments: Specimen.all)
  func configuration(specimen: Specimen) throws {
    let json = try specimen.config().json()
    let config = try Blueprint(json: json)
    #expect(config.architecture.name == specimen.architecture.name)
    #expect(
      try String(decoding: config.json(), as: UTF8.self) == String(decoding: json, as: UTF8.self))
  }

  @Test("one batch can be overfitted", arguments: Specimen.all)
  func overfits(specimen: Specimen) throws {
    let model = try specimen.quiet.model(seed: 3)
    let tokens = specimen.tokens(2, 17, seed: 12)
    let targets = following(tokens)
    var optimizer = TestOptimizer(model.parameters.filter(\.isTrainable))
    var (loss, first) = (Float.infinity, Float.nan)
    for step in 1...400 where loss >= 0.05 {
      let current = model.loss(tokens, targets: targets)
      current.backward()
      optimizer.update(rate: 0.01)
      loss = current.scalar
      if step == 1 { first = loss }
    }
    #expect(abs(first - log(Float(Specimen.vocabulary))) < 0.5, "the loss starts at \(first)")
    #expect(loss < 0.05, "the loss ends at \(loss)")
  }

  @Test("losses by row average to the loss", arguments: Specimen.all)
  func losses(specimen: Specimen) throws {
    let model = try specimen.quiet.shakenModel()
    let tokens = specimen.tokens(2, 9, seed: 13)
    let targets = following(tokens)
    let rows = model.losses(tokens, targets: targets)
    let loss = withoutGradient { model.loss(tokens, targets: targets).scalar }
    #expect(abs(rows.reduce(0, +) / 16 - loss) < 1e-5)
    #expect(rows[8] == 0 && rows[17] == 0)
  }
}
