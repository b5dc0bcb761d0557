import ApusData
import Testing

@Suite("Order statistics")
struct OrderStatisticsTests {
  @Test(
    "the number at each place is that of the sorted order", arguments: [1, 2, 3, 20, 4_097, 20_001])
  func agreesWithSorting(count: Int) {
    var random = SeededRandom(seed: UInt64(count))
    let rows = 0..<count
    let normal: [Double] = rows.map { _ in random.normal() }
    let prices: [Double] = normal.map { 100 + ($0 * 50).rounded() / 100 }
    let few: [Double] = rows.map { _ in Double(random.below(3)) - 1 }
    let wide: [Double] = rows.map { row in
      if row % 5 == 0 { return .infinity }
      return row % 7 == 0 ? -.infinity : Double(row) * 0x1p-1030
    }
    let columns = [normal, prices, few, wide, [Double](repeating: 7, count: count)]
    for (index, numbers) in columns.enumerated() {
      let (sorted, statistics) = (numbers.sorted(), OrderStatistics(numbers))
      #expect(statistics.count == count)
      for place in Set([0, count / 4, count / 2, count * 9 / 10, count - 1]) {
        #expect(statistics[place] == sorted[place], "column \(index), place \(place)")
      }
    }
  }
}
