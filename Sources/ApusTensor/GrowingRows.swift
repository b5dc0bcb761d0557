import Synchronization

/// Rows of equal length that are added at the end and forgotten at the start, such as keys and values
/// of one sequence.
///
/// A copy costs nothing, and adding to either of the two takes no copy for as long as that can be: both
/// have their common rows in one piece of memory, and whoever first adds behind them has the place there.
/// So snapshots of a conversation share what it begins with, and the conversation goes on in place.
struct GrowingRows: Sendable {
  private var memory: RowMemory?
  private var first = 0
  /// How many rows there are.
  private(set) var count = 0

  /// Bytes of the rows.
  var byteCount: Int { count * (memory?.rowSize ?? 0) * 4 }

  /// Bytes of the memory behind them.
  var allocatedByteCount: Int { memory.map { $0.rows.count * 4 } ?? 0 }

  /// Forgets so many of the oldest rows.
  mutating func forget(_ rows: Int) {
    first += rows
    count -= rows
  }

  /// Forgets all but so many of the oldest rows.
  func prefix(_ rows: Int) -> GrowingRows {
    ensure(rows <= count, "prefix: \(rows) of \(count) rows")
    var shorter = self
    shorter.count = rows
    return shorter
  }

  /// Adds rows.
  ///
  /// - Parameters:
  ///   - rows: How many.
  ///   - rowSize: Numbers of a row, the same in every call.
  ///   - limit: More rows than this need no memory in advance.
  ///   - body: Writes the new rows and uses all; it gets the first of all rows as an operand for
  ///     kernels, and the number of the first new one.
  /// - Returns: The result of `body`.
  mutating func add<Result>(
    _ rows: Int, rowSize: Int, limit: Int = .max,
    _ body: (_ all: KernelOutput<Float>, _ new: Int) -> Result
  ) -> Result {
    let old = count
    let isAlone = isKnownUniquelyReferenced(&memory)
    if isAlone, count == 0 { first = 0 }
    if let memory, memory.take(rows, from: first + count, alone: isAlone) {
      count += rows
    } else {
      // With few rows in use the memory stays small, however many have been forgotten.
      let room = max(count + rows, min(limit, max(2 * (count + rows), 64)))
      let fresh = RowMemory(room: room, rowSize: rowSize, end: count + rows)
      if let memory {
        withPointers(fresh.rows.out, memory.rows) {
          $0.update(from: $1 + first * rowSize, count: count * rowSize)
        }
      }
      (memory, first) = (fresh, 0)
      count += rows
    }
    guard let memory else { stop("add: no memory for rows") }
    return body(memory.rows.out.from(first * rowSize), old)
  }
}

/// Memory for rows, some of it taken. What is taken is written once, by who took it.
private final class RowMemory: Sendable {
  /// `[room, row size]`.
  let rows: TensorValue
  private let end: Atomic<Int>

  init(room: Int, rowSize: Int, end: Int) {
    rows = TensorValue(uninitialized: [room, rowSize], dtype: .float32)
    self.end = Atomic(end)
  }

  var rowSize: Int { rows.shape[1] }

  /// Takes the rows from `start` on where nobody else has them.
  func take(_ count: Int, from start: Int, alone: Bool) -> Bool {
    guard start + count <= rows.shape[0] else { return false }
    if alone {
      end.store(start + count, ordering: .relaxed)
      return true
    }
    return end.compareExchange(
      expected: start, desired: start + count, ordering: .acquiringAndReleasing
    ).exchanged
  }
}
