import ApusNN
import ApusTensor
import ApusTestSupport
import Testing

@Suite("Layers")
struct LayerTests {
  private func scope(_ tensors: [String: Tensor]) -> Scope { Scope(checkpoint: tensors) }

  @Test("a linear map reads its weight either way round")
  func linear() throws {
    let x = Tensor([1, 2, 3] as [Float], [1, 3])
    let (rows, columns) = (
      Tensor([1, 0, -1, 2, 1, 0] as [Float], [2, 3]),
      Tensor([1, 2, 0, 1, -1, 0] as [Float], [3, 2])
    )
    let bias = Tensor([10, 20] as [Float], [2])
    let plain = try Linear(3, 2, in: scope(["weight": rows, "bias": bias]))
    let turned = try Linear(3, 2, inputsFirst: true, in: scope(["weight": columns, "bias": bias]))
    #expect(plain(x).values == [8, 24] && turned(x).values == [8, 24])
    let bare = try Linear(3, 2, bias: false, in: scope(["weight": rows]))
    #expect(bare(x).values == [-2, 4] && bare.bias == nil)
  }

  @Test("normalizations follow their definitions")
  func normalizations() throws {
    let x = Tensor([3, 4, 0, 5] as [Float], [1, 4])
    let weight = Tensor([1, 2, 3, 4] as [Float], [4])
    let root = try RMSNorm(4, epsilon: 0, in: scope(["weight": weight]))
    let size = (Float(50) / 4).squareRoot()
    expectClose(
      root(x), Tensor([3, 8, 0, 20].map { $0 / size } as [Float], [1, 4]), absolute: 1e-6)
    let layer = try LayerNorm(
      4, epsilon: 0,
      in: scope(["weight": weight, "bias": Tensor([1, 1, 1, 1] as [Float], [4])]))
    let deviation = Float(3.5).squareRoot()
    expectClose(
      layer(x),
      Tensor([0, 2 * 1, 3 * -3, 4 * 2].map { 1 + $0 / deviation } as [Float], [1, 4]),
      absolute: 1e-6)
  }

  @Test("an embedding looks up rows, and its gradient adds where an id repeats")
  func embedding() throws {
    let layer = try Embedding(
      3, 2, in: scope(["weight": Tensor([0, 1, 2, 3, 4, 5] as [Float], [3, 2])]))
    layer.weight.setTrainable(true)
    let y = layer(Tensor([2, 0, 2] as [Int32], [1, 3]))
    #expect(y.shape == [1, 3, 2] && y.values == [4, 5, 0, 1, 4, 5])
    y.backward(gradient: Tensor([1, 2, 3, 4, 5, 6] as [Float], [1, 3, 2]))
    #expect(layer.weight.gradient?.values == [3, 4, 0, 0, 6, 8])
  }
}
