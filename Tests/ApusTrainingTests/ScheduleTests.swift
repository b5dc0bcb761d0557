import ApusTensor
import ApusTraining
import Foundation
import Testing

@Suite("Learning rate schedules")
struct ScheduleTests {
  private func rates(_ schedule: Schedule, steps: Int) -> [Double] {
    (0..<steps).map {
      schedule.learningRate(step: $0, share: Double($0) / Double(steps), totalSteps: steps)
    }
  }

  private func expectClose(_ found: Double, _ expected: Double) {
    #expect(abs(found - expected) < 1e-12, "\(found) is not \(expected)")
  }

  @Test("rise linearly, then fall as they are called")
  func shapes() {
    func schedule(_ decay: Schedule.Decay) -> Schedule {
      Schedule(decay: decay, peak: 1, floor: 0.1, warmup: .steps(20))
    }
    for decay in Schedule.Decay.allCases {
      let rates = rates(schedule(decay), steps: 100)
      expectClose(rates[0], 0.05)
      expectClose(rates[9], 0.5)
      expectClose(rates[19], 1)
      #expect(zip(rates[20...], rates[21...]).allSatisfy { $0 >= $1 })
      #expect(rates.allSatisfy { $0 <= 1 } && rates[20...].allSatisfy { $0 >= 0.1 })
    }
    expectClose(rates(schedule(.constant), steps: 100)[99], 1)
    expectClose(rates(schedule(.linear), steps: 100)[60], 0.55)
    expectClose(rates(schedule(.cosine), steps: 100)[60], 0.55)
    expectClose(rates(schedule(.cosine), steps: 100)[40], 0.1 + 0.9 * 0.5 * (1 + 0.5.squareRoot()))
    expectClose(rates(schedule(.inverseSquareRoot), steps: 100)[79], 0.5)
  }

  @Test("go the same way by time as by steps")
  func byTime() {
    let schedule = Schedule(decay: .cosine, peak: 1, floor: 0, warmup: .share(0.1))
    expectClose(schedule.learningRate(step: 0, share: 0), 0.01)
    expectClose(schedule.learningRate(step: 7, share: 0.05), 0.5)
    expectClose(schedule.learningRate(step: 9, share: 0.55), 0.5)
    expectClose(schedule.learningRate(step: 9, share: 1), 0)
  }

  @Test("stand without a rise, or with one as long as the run")
  func edges() {
    for decay in Schedule.Decay.allCases {
      let none = Schedule(decay: decay, peak: 1, floor: 0.5, warmup: .steps(0))
      expectClose(none.learningRate(step: 0, share: 0, totalSteps: 10), 1)
      #expect(none.learningRate(step: 9, share: 1, totalSteps: 10) >= 0.5)
      let all = Schedule(decay: decay, peak: 1, floor: 0.5, warmup: .steps(10))
      #expect(rates(all, steps: 10).allSatisfy { $0 > 0 && $0 <= 1 })
      #expect(Schedule(decay: decay, warmup: .share(0)).learningRate(step: 0, share: 0) > 0)
    }
  }

  @Test("survive JSON")
  func coding() throws {
    let schedule = Schedule(decay: .linear, peak: 0.1, floor: 0.01, warmup: .steps(3))
    let data = try JSONEncoder().encode(schedule)
    #expect(try JSONDecoder().decode(Schedule.self, from: data) == schedule)
  }
}

@Suite("Permutations")
struct PermutationTests {
  @Test("hold every number once", arguments: [1, 2, 3, 4, 5, 16, 17, 64, 65, 1000])
  func bijection(count: Int) {
    for seed in 0..<20 as Range<UInt64> {
      let order = Permutation(count, key: RandomKey(seed: seed))
      #expect((0..<count).map { order[$0] }.sorted() == Array(0..<count), "seed \(seed)")
    }
  }

  @Test("differ by key, and look shuffled")
  func shuffled() {
    let order = Permutation(1000, key: RandomKey(seed: 1))
    let other = Permutation(1000, key: RandomKey(seed: 2))
    #expect((0..<1000).filter { order[$0] == other[$0] }.count < 20)
    // Neighbors of a random order are a third of its length apart on average.
    let distance = (0..<999).map { abs(order[$0] - order[$0 + 1]) }.reduce(0, +) / 999
    #expect((280...390).contains(distance), "\(distance)")
  }

  @Test("give every pass an order of its own")
  func passes() {
    let key = RandomKey(seed: 3)
    let passes = (0..<3).map { pass in
      (0..<50).map { Permutation.example(pass * 50 + $0, of: 50, key: key) }
    }
    #expect(passes.allSatisfy { $0.sorted() == Array(0..<50) })
    #expect(passes[0] != passes[1] && passes[1] != passes[2])
  }
}
