import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Pathways, trained", .steadyMachine)
struct PathwaysTrainingTests {
  @Test(
    "the same number gives the same example, whatever stands beside it",
    arguments: PathwaysExercise.allCases)
  func examples(exercise: PathwaysExercise) {
    let key = RandomKey(seed: 5)
    let (alone, among) = (exercise.batch([7], key: key), exercise.batch(0..<9, key: key))
    switch (alone.input, among.input) {
    case (.tokens(let one), .tokens(let all)):
      #expect(one.integers == Array(all.integers[7 * 66..<8 * 66]))
    case (.series(let one), .series(let all)): #expect(one[0] == all[7])
    default: Issue.record("inputs differ in kind")
    }
  }

  @Test("copies and reverses what is to be copied and reversed")
  func texts() {
    for exercise in [PathwaysExercise.copy, .reverse] {
      let batch = exercise.batch(0..<5, key: RandomKey(seed: 6))
      guard case .tokens(let tokens) = batch.input, case .tokens(let targets) = batch.target else {
        Issue.record("no text")
        return
      }
      for row in 0..<5 {
        let text = Array(tokens.integers[row * 66..<(row + 1) * 66])
        let wanted = Array(targets.integers[row * 66..<(row + 1) * 66])
        let bar = text.firstIndex(of: 124) ?? 0
        let symbols = Array(text[..<bar])
        #expect((8...32).contains(bar))
        #expect(wanted[..<bar].allSatisfy { $0 == -1 })
        let answer = Array(wanted[bar..<2 * bar])
        #expect(answer == (exercise == .copy ? symbols : symbols.reversed()))
        #expect(wanted[(2 * bar)...].allSatisfy { $0 == -1 })
        #expect(Array(text[bar + 1..<2 * bar + 1]) == answer)
      }
    }
  }

  @Test(
    "tasks learned together get better, a task added keeps them, and the folder keeps all", .slow)
  func endToEnd() async throws {
    let joint: [PathwaysExercise] = [.season, .shapes]
    let untrained = try Pathways(PathwaysTraining.config(joint), key: RandomKey(seed: 0))
    let model = try await PathwaysTraining(joint, steps: 200).run()
    for (index, exercise) in joint.enumerated() {
      func loss(_ model: Pathways) -> Double {
        PathwaysSingleTask(model, task: index, exercise: exercise, examples: 1).loss(of: 128)
      }
      #expect(loss(model) < 0.8 * loss(untrained), "\(exercise)")
    }
    let before = PathwaysFingerprint(model, exercises: joint)
    try await withTemporaryFolder { folder in
      let many = folder + "/many"
      try PathwaysFolder.save(model, to: many)
      let added = try await PathwaysAddition(
        .waves, to: many, parent: .shapes, examples: 50, steps: 30
      ).run()
      #expect(added.task == "waves" && added.earlierTasks == 2)
      let grown = try ModelFolder.open(many).pathways().load()
      #expect(PathwaysFingerprint(grown, exercises: joint).changes(since: before).isEmpty)
      let single = PathwaysSingleTask(grown, task: 2, exercise: .waves, examples: 50)
      #expect(single.loss(of: 512) == added.loss)
      try Data("{}".utf8).write(to: URL(fileURLWithPath: many + "/pathways.json"))
      #expect(throws: JSONFileError.self) { try ModelFolder.open(many).pathways().load() }
    }
  }
}
