import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Mixture of experts", .tags(.kernel, .gradient))
struct ExpertsTests {
  /// n tokens, width D, F inside, X experts, k of them.
  struct Sizes: CustomTestStringConvertible, Sendable {
    var (tokens, width, hidden, experts, perToken): (Int, Int, Int, Int, Int)
    var rule = RouterRule.mixtral
    var isFused = false
    var testDescription: String {
      "n \(tokens) D \(width) F \(hidden) X \(experts) k \(perToken) \(rule)"
        + (isFused ? " fused" : "")
    }

    /// x, logits, then gate, up and down of each expert.
    func inputs(seed: UInt64) -> [Tensor] {
      var shapes: [Shape] = [[tokens, width], [tokens, experts]]
      if isFused {
        shapes += [Shape](repeating: [experts * hidden, width], count: 3)
      } else {
        shapes += [Shape](repeating: [hidden, width], count: 2 * experts)
        shapes += [Shape](repeating: [width, hidden], count: experts)
      }
      return shapes.enumerated().map {
        .random($1, seed: seed &+ UInt64($0), scale: $0 == 1 ? 2 : 0.6)
      }
    }

    func weights(_ inputs: [Tensor]) -> ExpertWeights {
      func part(_ index: Int) -> ExpertMatrices {
        isFused
          ? .fused(inputs[2 + index])
          : .separate(Array(inputs[2 + index * experts..<2 + (index + 1) * experts]))
      }
      return ExpertWeights(
        gate: part(0), up: part(1), down: part(2), hiddenSize: hidden, isDownInputsFirst: isFused)
    }

    func output(_ inputs: [Tensor], visible: Tensor? = nil) -> Tensor {
      let routes = ExpertRoutes(
        logits: inputs[1], perToken: perToken, rule: rule, visible: visible)
      return inputs[0].mixtureOfExperts(logits: inputs[1], routes: routes, experts: weights(inputs))
    }

    /// Gate, up or down (0, 1, 2) of an expert: row r, column c of `[F, D]`, or of `[D, F]` for down.
    private func entry(
      _ x: [[Double]], _ part: Int, _ expert: Int, row: Int, column: Int
    ) -> Double {
      if isFused {
        return part == 2
          ? x[4][(expert * hidden + column) * width + row]
          : x[2 + part][(expert * hidden + row) * width + column]
      }
      return x[2 + part * experts + expert][row * (part == 2 ? hidden : width) + column]
    }

    /// One expert on one token.
    private func expert(_ e: Int, _ x: [[Double]], token: Int) -> [Double] {
      let a = (0..<hidden).map { f -> Double in
        var (gate, up) = (0.0, 0.0)
        for d in 0..<width {
          gate += entry(x, 0, e, row: f, column: d) * x[0][token * width + d]
          up += entry(x, 1, e, row: f, column: d) * x[0][token * width + d]
        }
        return gate / (1 + exp(-gate)) * up
      }
      return (0..<width).map { d in
        a.indices.reduce(0) { $0 + entry(x, 2, e, row: d, column: $1) * a[$1] }
      }
    }

    /// A loop over tokens and their choices, one number at a time.
    func reference(_ x: [[Double]], visible: [Int32]? = nil) -> [Double] {
      (0..<tokens).flatMap { token -> [Double] in
        let seen = (0..<experts).filter { visible == nil || visible?[token * experts + $0] != 0 }
        let logits = x[1][token * experts..<(token + 1) * experts].map { exp($0) }
        let total = seen.reduce(0) { $0 + logits[$1] }
        let taken = seen.sorted { (-logits[$0], $0) < (-logits[$1], $1) }.prefix(perToken)
        let gates = taken.map { logits[$0] / total }
        let length: Double
        switch rule {
        case .mixtral: length = gates.reduce(0, +)
        case .dbrx(let norm?):
          length = pow(gates.reduce(0) { $0 + pow($1, Double(norm)) }, 1 / Double(norm))
        case .dbrx, .jamba, .switchTransformer: length = 1
        }
        var y = [Double](repeating: 0, count: width)
        for (gate, e) in zip(gates, taken) {
          for (d, value) in expert(e, x, token: token).enumerated() {
            y[d] += gate / length * value
          }
        }
        return y
      }
    }
  }

  static let sizes = [
    Sizes(tokens: 1, width: 1, hidden: 1, experts: 1, perToken: 1),
    Sizes(tokens: 5, width: 3, hidden: 7, experts: 4, perToken: 2),
    Sizes(tokens: 5, width: 3, hidden: 7, experts: 4, perToken: 2, rule: .jamba),
    Sizes(tokens: 4, width: 5, hidden: 3, experts: 3, perToken: 1, rule: .switchTransformer),
    Sizes(tokens: 6, width: 5, hidden: 4, experts: 5, perToken: 3, rule: .dbrx(norm: 2)),
    Sizes(
      tokens: 6, width: 4, hidden: 5, experts: 4, perToken: 2, rule: .dbrx(norm: 1), isFused: true),
    Sizes(
      tokens: 3, width: 9, hidden: 3, experts: 4, perToken: 4, rule: .dbrx(norm: nil),
      isFused: true),
    Sizes(tokens: 3, width: 4, hidden: 3, experts: 8, perToken: 1),
  ]

  @Test("equals a loop over tokens and choices, values and all gradients", arguments: sizes)
  func agrees(sizes: Sizes) {
    expectAgreement(
      of: { sizes.output($0) }, with: { sizes.reference($0) }, at: sizes.inputs(seed: 10))
  }

  @Test("equals the loop past the rows of a packed product")
  func longer() {
    for isFused in [false, true] {
      let sizes = Sizes(
        tokens: 150, width: 9, hidden: 11, experts: 3, perToken: 2, isFused: isFused)
      let inputs = sizes.inputs(seed: 20)
      let expected = sizes.reference(inputs.map { $0.values.map(Double.init) })
      expectClose(sizes.output(inputs).values, expected.map(Float.init), absolute: 1e-5)
    }
  }

  @Test("hides experts from tokens, and gives them no gradient")
  func visible() {
    let sizes = Sizes(tokens: 6, width: 3, hidden: 4, experts: 4, perToken: 2, rule: .jamba)
    // The fourth token sees one expert only, the last none; nobody sees the last expert.
    let rows: [[Int32]] = [
      [1, 1, 1, 0], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0],
    ]
    let visible = Tensor(rows.flatMap(\.self), [6, 4])
    let inputs = sizes.inputs(seed: 30)
    expectAgreement(
      of: { sizes.output($0, visible: visible) },
      with: { sizes.reference($0, visible: visible.integers) }, at: inputs)
    let routes = ExpertRoutes(logits: inputs[1], perToken: 2, rule: .jamba, visible: visible)
    #expect(routes.counts[3] == 0 && routes.rowCount == 9)
    #expect(Array(routes.experts.integers[6..<8]) == [2, -1])
    let (_, gradients) = valuesAndGradients(
      of: { sizes.output($0, visible: visible) }, at: inputs)
    for gradient in [gradients[2 + 3], gradients[2 + 7], gradients[2 + 11]] {
      #expect(gradient.allSatisfy { $0 == 0 })
    }
    #expect((0..<6).allSatisfy { gradients[1][$0 * 4 + 3] == 0 })
  }

  @Test("one expert of one is a gated feed-forward")
  func dense() {
    let sizes = Sizes(tokens: 7, width: 5, hidden: 6, experts: 1, perToken: 1)
    let x = sizes.inputs(seed: 40)
    let gated = Tensor(concatenating: [x[0].linear(weight: x[2]), x[0].linear(weight: x[3])])
      .swiGLU()
    expectClose(sizes.output(x), gated.linear(weight: x[4]), relative: 1e-6, absolute: 1e-7)
  }

  @Test("equal experts make routing invisible where gates are normalized")
  func equalExperts() {
    for rule in [RouterRule.mixtral, .jamba] {
      var sizes = Sizes(tokens: 20, width: 6, hidden: 5, experts: 5, perToken: 2, rule: rule)
      var x = sizes.inputs(seed: 50)
      for part in 0..<3 {
        for e in 1..<5 { x[2 + part * 5 + e] = x[2 + part * 5] }
      }
      let found = sizes.output(x)
      let routes = ExpertRoutes(logits: x[1], perToken: 2, rule: rule)
      sizes.experts = 1
      sizes.perToken = 1
      sizes.rule = .mixtral
      let single = sizes.output([x[0], Tensor(zeros: [20, 1]), x[2], x[7], x[12]])
      let gates = routes.weights.values
      let expected = single.values.enumerated().map { index, value in
        let token = index / 6
        return value * (rule == .mixtral ? 1 : gates[token * 2] + gates[token * 2 + 1])
      }
      expectClose(found.values, expected, absolute: 2e-6, "\(rule)")
      if rule == .jamba { #expect((0..<20).allSatisfy { gates[2 * $0] + gates[2 * $0 + 1] < 1 }) }
    }
  }

  @Test("permuting tokens permutes the result; permuting experts with their router changes nothing")
  func permutations() {
    let sizes = Sizes(tokens: 30, width: 6, hidden: 5, experts: 4, perToken: 2)
    let x = sizes.inputs(seed: 60)
    let found = sizes.output(x).values
    var generator = SplitMix(state: 1)
    let order = (0..<30).shuffled(using: &generator)
    func rows(_ tensor: Tensor) -> Tensor {
      let (values, width) = (tensor.values, tensor.shape.last)
      return Tensor(
        order.flatMap { values[$0 * width..<($0 + 1) * width] }, tensor.shape)
    }
    let permuted = sizes.output([rows(x[0]), rows(x[1])] + x[2...]).values
    expectClose(
      permuted, order.flatMap { found[$0 * 6..<$0 * 6 + 6] }, absolute: 1e-6)
    let experts = [2, 0, 3, 1]
    let logits = x[1].values
    var y = x
    y[1] = Tensor(
      (0..<30).flatMap { t in experts.map { logits[t * 4 + $0] } }, [30, 4])
    for part in 0..<3 {
      for e in 0..<4 { y[2 + part * 4 + e] = x[2 + part * 4 + experts[e]] }
    }
    expectClose(sizes.output(y).values, found, absolute: 1e-6)
  }

  @Test("all tokens to one expert, and frozen experts")
  func collapsed() throws {
    let sizes = Sizes(tokens: 40, width: 3, hidden: 4, experts: 3, perToken: 1)
    var x = sizes.inputs(seed: 70)
    x[1] = Tensor((0..<40).flatMap { _ in [0, 9, 0] as [Float] }, [40, 3])
    expectClose(
      sizes.output(x).values,
      sizes.reference(x.map { $0.values.map(Double.init) }).map(Float.init), absolute: 1e-6)
    // Without a leaf among the experts nothing but x and the logits gets a gradient.
    let leaves = [x[0].tracked(), x[1].tracked()]
    sizes.output(leaves + x[2...]).backward(gradient: Tensor(repeating: 1, [40, 3]))
    #expect(leaves.allSatisfy { $0.gradient != nil })
    let one = x[3].tracked()
    var y = x
    y[3] = one
    sizes.output(y).backward(gradient: Tensor(repeating: 1, [40, 3]))
    #expect(try #require(one.gradient).values.contains { $0 != 0 })
  }

  @Test("gives the same bits at one thread and at two", .changesMachine)
  func threads() {
    let sizes = Sizes(tokens: 300, width: 33, hidden: 40, experts: 5, perToken: 2)
    let inputs = sizes.inputs(seed: 80)
    let one = withThreads(1) { valuesAndGradients(of: { sizes.output($0) }, at: inputs) }
    let two = withThreads(2) { valuesAndGradients(of: { sizes.output($0) }, at: inputs) }
    expectSameBits(one.values, two.values)
    for (a, b) in zip(one.gradients, two.gradients) { expectSameBits(a, b) }
  }
}

@Suite("Losses of routers", .tags(.kernel, .gradient))
struct RouterLossTests {
  /// Fractions, mean probabilities and the mean squared log-sum of one layer's logits.
  private func measure(
    _ logits: [Double], experts: Int, perToken: Int
  ) -> (f: [Double], p: [Double], z: Double) {
    let tokens = logits.count / experts
    var (f, p) = ([Double](repeating: 0, count: experts), [Double](repeating: 0, count: experts))
    var z = 0.0
    for t in 0..<tokens {
      let row = Array(logits[t * experts..<(t + 1) * experts])
      let sum = row.reduce(0) { $0 + exp($1) }
      for e in (0..<experts).sorted(by: { (-row[$0], $0) < (-row[$1], $1) }).prefix(perToken) {
        f[e] += 1 / Double(tokens)
      }
      for e in 0..<experts { p[e] += exp(row[e]) / sum / Double(tokens) }
      z += log(sum) * log(sum) / Double(tokens)
    }
    return (f, p, z)
  }

  private func reference(
    _ logits: [[Double]], experts: Int, perToken: Int, balance: Double, z: Double,
    form: BalanceForm
  ) -> Double {
    let all = logits.map { measure($0, experts: experts, perToken: perToken) }
    let layers = Double(all.count)
    let squares = all.reduce(0) { $0 + $1.z } / layers
    var value = 0.0
    switch form {
    case .perLayer:
      for (f, p, _) in all {
        for e in 0..<experts { value += f[e] / Double(perToken) * p[e] / layers }
      }
    case .pooled:
      for e in 0..<experts {
        value +=
          all.reduce(0) { $0 + $1.f[e] } / layers * all.reduce(0) { $0 + $1.p[e] } / layers
      }
    }
    return balance * Double(experts) * value + z * squares
  }

  @Test(
    "equal the definition, values and gradients", arguments: [BalanceForm.perLayer, .pooled],
    [(1, 4, 1), (3, 5, 2)])
  func agrees(form: BalanceForm, size: (Int, Int, Int)) {
    let (layers, experts, perToken) = size
    let logits = (0..<layers).map { Tensor.random([7, experts], seed: UInt64($0), scale: 1.5) }
    expectAgreement(
      of: { Tensor.routerLoss($0, perToken: perToken, balance: 0.7, z: 0.2, form: form) },
      with: {
        [
          reference(
            $0, experts: experts, perToken: perToken, balance: 0.7, z: 0.2, form: form)
        ]
      }, at: logits)
  }

  @Test("are α at uniform probability, α k in the library's form, α X when one expert takes all")
  func knownValues() {
    let uniform = Tensor(zeros: [12, 4])
    #expect(abs(Tensor.routerLoss([uniform], perToken: 2, balance: 0.5).scalar - 0.5) < 1e-6)
    let pooled = Tensor.routerLoss([uniform, uniform], perToken: 2, balance: 0.5, form: .pooled)
    #expect(abs(pooled.scalar - 1) < 1e-6)
    let collapsed = Tensor((0..<12).flatMap { _ in [0, 60, 0, 0] as [Float] }, [12, 4])
    #expect(abs(Tensor.routerLoss([collapsed], perToken: 1, balance: 0.5).scalar - 2) < 1e-6)
    // Two layers that collapse onto different experts look better pooled than each alone.
    let other = Tensor((0..<12).flatMap { _ in [60, 0, 0, 0] as [Float] }, [12, 4])
    let both = [collapsed, other]
    #expect(abs(Tensor.routerLoss(both, perToken: 1, balance: 1).scalar - 4) < 1e-6)
    #expect(abs(Tensor.routerLoss(both, perToken: 1, balance: 1, form: .pooled).scalar - 2) < 1e-6)
  }

  @Test("of tasks equal the definition, values and gradients", arguments: [(1, 2, 3), (2, 3, 5)])
  func informationAgrees(size: (Int, Int, Int)) {
    let (layers, tasks, experts) = size
    // As many tokens as it pleases each task.
    let logits = (0..<layers * tasks).map {
      Tensor.random([3 + 2 * ($0 % tasks), experts], seed: UInt64($0), scale: 1.5)
    }
    expectAgreement(
      of: { flat in
        Tensor.taskInformationLoss(
          (0..<layers).map { Array(flat[$0 * tasks..<($0 + 1) * tasks]) }, weight: 0.7)
      },
      with: { flat in
        var sum = 0.0
        for layer in 0..<layers {
          let given = (0..<tasks).map { task -> [Double] in
            let rows = flat[layer * tasks + task]
            let tokens = rows.count / experts
            var mean = [Double](repeating: 0, count: experts)
            for token in 0..<tokens {
              let powers = (0..<experts).map { exp(rows[token * experts + $0]) }
              let total = powers.reduce(0, +)
              for expert in 0..<experts {
                mean[expert] += powers[expert] / total / Double(tokens)
              }
            }
            return mean
          }
          for row in given {
            for expert in 0..<experts {
              let joint = row[expert] / Double(tasks)
              let all = given.reduce(0) { $0 + $1[expert] } / Double(tasks)
              sum += joint * log(joint / (all / Double(tasks)))
            }
          }
        }
        return [-0.7 * sum / Double(layers)]
      }, at: logits)
  }

  @Test("of tasks are −ln K when each has its own expert, 0 when all have the same")
  func informationOfKnownRoutes() {
    func only(_ expert: Int) -> Tensor {
      Tensor((0..<6).flatMap { _ in (0..<3).map { $0 == expert ? 80 : 0 } as [Float] }, [6, 3])
    }
    let apart = Tensor.taskInformationLoss([[only(0), only(1), only(2)]], weight: 1).scalar
    #expect(abs(apart + log(Float(3))) < 1e-6)
    #expect(Tensor.taskInformationLoss([[only(1), only(1), only(1)]], weight: 1).scalar == 0)
  }
}
