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
    let y = Tensor(uninitialized: Shape(self.shape.dimensions + [features]))
    withPointers(y.out, table, ints) { y, table, ids in
      for id in UnsafeBufferPointer(start: ids, count: rows) {
        ensure(
          id >= 0 && id < vocabulary, "embedded: id \(id) of a table of \(vocabulary) rows")
      }
      apus_embedding_f32(y, table, ids, rows, features)
    }
    guard Tensor.records(table) else { return y }
    let (shape, ids) = (table.shape, detached())
    return y.tracked(from: [table]) { dy in
      let dtable = Tensor(zeros: shape)
      withPointers(dtable.out, dy, ids.ints) {
        apus_embedding_backward_f32($0, $1, $2, rows, features, vocabulary)
      }
      return [dtable]
    }
  }
}
