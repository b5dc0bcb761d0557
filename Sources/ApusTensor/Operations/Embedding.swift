import CApusKernels

extension Tensor {
  /// Rows of a table by id.
  ///
  /// The tensor is `[...]` integers in `0..<vocabulary`; others are the caller's mistake and trap.
  /// - Parameter table: `[vocabulary, features]`.
  /// - Returns: `[..., features]`.
  public func embedded(in table: Tensor) -> Tensor {
    let (vocabulary, features) = (table.shape[0], table.shape[1])
    let rows = count
    for id in UnsafeBufferPointer(start: ints, count: rows) {
      precondition(id >= 0 && id < vocabulary, "embedding: id \(id) of a table \(table.shape)")
    }
    let y = Tensor(uninitialized: Shape(self.shape.dimensions + [features]))
    apus_embedding_f32(y.floats, table.floats, ints, rows, features)
    withExtendedLifetime((self, table)) {}
    guard Tensor.records(table) else { return y }
    let shape = table.shape
    return y.tracked(from: [table]) { dy in
      let dtable = Tensor(zeros: shape)
      apus_embedding_backward_f32(dtable.floats, dy.floats, ints, rows, features, vocabulary)
      withExtendedLifetime((dy, self)) {}
      return [dtable]
    }
  }
}
