import Dispatch
import Synchronization

/// Makes values on as many threads as kernels have, ``Machine/threads``; none of the values depends on another.
///
/// Everything has ended when it returns. A task that was cancelled goes on to the end: callers that take long look
/// between calls.
///
/// - Parameters:
///   - count: How many.
///   - body: Makes the value of a number from 0; may be called from several threads at once.
/// - Returns: The values in order of their numbers.
/// - Throws: What `body` throws for the least number.
package func sideBySide<Value: Sendable, Failure: Error>(
  _ count: Int, _ body: @Sendable (Int) throws(Failure) -> Value
) throws(Failure) -> [Value] {
  let next = Mutex(0)
  let found = Mutex([Result<Value, Failure>?](repeating: nil, count: count))
  DispatchQueue.concurrentPerform(iterations: min(count, max(1, Machine.threads))) { _ in
    while true {
      let number = next.withLock { next in
        defer { next += 1 }
        return next
      }
      guard number < count else { return }
      let one: Result<Value, Failure>
      do throws(Failure) { one = .success(try body(number)) } catch { one = .failure(error) }
      found.withLock { $0[number] = one }
    }
  }
  var values: [Value] = []
  values.reserveCapacity(count)
  for one in found.withLock({ $0 }) {
    if let one { values.append(try one.get()) }
  }
  return values
}
