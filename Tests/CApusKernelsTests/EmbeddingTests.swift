import CApusKernels
import Testing

extension Kernels {
  @Suite("Embedding")
  struct EmbeddingTests {
    @Test("it gathers rows and scatters gradients", arguments: [1, 3, 50], [1, 7, 33, 257, 1025])
    func agrees(rows: Int, features: Int) {
      let vocabulary = 11
      let ids = (0..<rows).map { Int32(($0 * 7 + $0 / 3) % vocabulary) }  // repeats itself
      let table = random(vocabulary * features, seed: 1)
      let dy = random(rows * features, seed: 2)
      var expected = table
      for r in 0..<rows {
        for f in 0..<features { expected[Int(ids[r]) * features + f] += dy[r * features + f] }
      }
      onEveryTarget { target in
        let y = output(rows * features) { apus_embedding_f32($0, table, ids, rows, features) }
        expectClose(y, ids.flatMap { table[Int($0) * features..<(Int($0) + 1) * features] }, target)
        let dtable = output(table.count) { dtable in
          dtable.update(from: table, count: table.count)
          apus_embedding_backward_f32(dtable, dy, ids, rows, features, vocabulary)
        }
        expectClose(dtable, expected, "rows in order give the very bits, \(target)")
      }
    }

    @Test("it gives the same bits at any thread count")
    func threads() {
      let (rows, features) = (501, 300)
      let ids = (0..<rows).map { Int32($0 * $0 % 13) }
      let dy = random(rows * features, seed: 3)
      expectSameBitsAtAnyThreadCount("embedding") {
        var dtable = [Float](repeating: 0.1, count: 13 * features)
        apus_embedding_backward_f32(&dtable, dy, ids, rows, features, 13)
        return dtable
      }
    }
  }
}
