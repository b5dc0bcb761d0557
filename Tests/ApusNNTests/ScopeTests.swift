import ApusNN
import ApusTensor
import Testing

@Suite("Scope")
struct ScopeTests {
  @Test("a name means the same start whatever was made before it")
  func independentStarts() throws {
    let (first, second) = (Scope(key: RandomKey(seed: 7)), Scope(key: RandomKey(seed: 7)))
    _ = try second["other"].parameter("weight", [3, 5], .normal(deviation: 1))
    let one = try first["layers"][2].parameter("weight", [4, 5], .normal(deviation: 1))
    let two = try second["layers"][2].parameter("weight", [4, 5], .normal(deviation: 1))
    let other = try first["layers"][3].parameter("weight", [4, 5], .normal(deviation: 1))
    #expect(one.name == "layers.2.weight")
    #expect(one.value.values == two.value.values)
    #expect(one.value.values != other.value.values)
    #expect(first.parameters.map(\.name) == ["layers.2.weight", "layers.3.weight"])
  }

  @Test("asking twice for a name gives one parameter")
  func tied() throws {
    let scope = Scope(key: RandomKey(seed: 1))
    let one = try scope["a"].parameter("weight", [2], .ones)
    #expect(try scope["a"].parameter("weight", [2], .zeros) === one)
    #expect(one.value.values == [1, 1])
    #expect(try scope.finish().count == 1)
  }

  @Test("a checkpoint must hold what is asked for, in its shape, and nothing else")
  func checkpoint() throws {
    let tensors = ["a.weight": Tensor([1, 2, 3] as [Float], [3]), "b": Tensor(zeros: [1])]
    let scope = Scope(checkpoint: tensors)
    #expect(scope.isLoading && scope["a"].holds("weight") && !scope.holds("weight"))
    #expect(throws: CheckpointError.missingTensor(name: "a.bias")) {
      try scope["a"].parameter("bias", [3], .zeros)
    }
    #expect(
      throws: CheckpointError.shapeMismatch(name: "a.weight", found: [3], expected: [4])
    ) { try scope["a"].parameter("weight", [4], .zeros) }
    let weight = try scope["a"].parameter("weight", [3], .zeros)
    #expect(weight.value.values == [1, 2, 3])
    #expect(throws: CheckpointError.unusedTensors(names: ["b"])) { try scope.finish() }
    #expect(try scope.finish(ignoring: { $0 == "b" }).count == 1)
  }

  @Test("what the machine's memory does not hold is not begun")
  func tooLarge() throws {
    let scope = Scope(key: RandomKey(seed: 3))
    let shape: Shape = [1 << 20, 1 << 24]
    #expect(throws: CheckpointError.tooLarge(name: "huge", shape: shape)) {
      try scope.parameter("huge", shape, .zeros)
    }
  }

  @Test("starts have the numbers that they name")
  func starts() throws {
    let scope = Scope(key: RandomKey(seed: 3))
    func values(_ name: String, _ start: Initialization) throws -> [Float] {
      try scope.parameter(name, [20_000], start).value.values
    }
    #expect(try values("c", .constant(2.5)).allSatisfy { $0 == 2.5 })
    let normal = try values("n", .normal(deviation: 0.5))
    let mean = normal.reduce(0, +) / 20_000
    let variance = normal.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 20_000
    #expect(abs(mean) < 0.02 && abs(variance.squareRoot() - 0.5) < 0.01)
    let uniform = try values("u", .uniform(bound: 0.25))
    #expect(uniform.allSatisfy { abs($0) <= 0.25 } && uniform.contains { $0 > 0.24 })
    #expect(uniform.contains { $0 < -0.24 })
  }

  @Test("integers where weights belong are an error")
  func integers() {
    let scope = Scope(checkpoint: ["w": Tensor([1, 2] as [Int32], [2])])
    #expect(throws: CheckpointError.wrongType(name: "w", found: .int32)) {
      try scope.parameter("w", [2], .zeros)
    }
  }

  @Test("sizes that the machine has no memory for are an error, and nothing is allocated")
  func absurdSizes() {
    Machine.resetPeakBytes()
    let before = Machine.bytesInUse
    for shape: Shape in [[1_000_000_000_000, 768], [.max, .max], [1 << 40]] {
      #expect(throws: CheckpointError.tooLarge(name: "w", shape: shape)) {
        try Scope(key: RandomKey(seed: 1)).parameter("w", shape, .normal(deviation: 1))
      }
    }
    #expect(Machine.peakBytes == before)
  }
}
