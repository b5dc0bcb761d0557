extension Tensor {
  /// Turns the first heads of every row by their token's position, and leaves the rest as it is.
  ///
  /// For mixers that need turned queries and keys before anything else happens to them.
  /// The tensor is `[B, T, features]`, of which the first `heads · headSize` are heads.
  /// - Parameters:
  ///   - heads: How many heads turn.
  ///   - headSize: Features of a head.
  ///   - table: The positions' angles; beyond its end they are computed.
  ///   - start: The position of the first token.
  /// - Returns: `[B, T, features]`.
  public func rotated(heads: Int, headSize: Int, by table: RotaryTable, from start: Int = 0)
    -> Tensor
  {
    let (batch, time, width) = (shape[0], shape[1], shape[2])
    precondition(
      heads * headSize <= width, "rotated: \(heads) heads of \(headSize) in rows of \(shape)")
    let (table, first) = table.rows(start..<start + time)
    let positions = Tensor(
      (0..<batch).flatMap { _ in (0..<time).map { Int32(first + $0) } }, [batch * time])
    func turned(_ x: Tensor, back: Bool) -> Tensor {
      let y = x.copied()
      table.turn(
        y.floats, positions: positions, heads: heads, headSize: headSize, stride: width, back: back)
      return y
    }
    let y = turned(self, back: false)
    guard Tensor.records(self) else { return y }
    return y.tracked(from: [self]) { [turned($0, back: true)] }
  }
}
