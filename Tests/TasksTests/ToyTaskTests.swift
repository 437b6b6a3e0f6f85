// What holds for every toy task: keyed draws, limits, names.

import Kernels
import Tasks
import Testing

@Suite struct `All tasks` {
  static let tasks: [any ToyTask] = [SortTask(), ReverseTask(), ColouredWords(), SecretTask()]

  @Test(arguments: tasks.indices)
  func `prompts and demonstrations depend on seed and index, not on the order of calls`(
    _ place: Int
  ) async {
    let task = Self.tasks[place]
    let forward = (0..<200).map { task.demonstration(.training(seed: 7), index: $0) }
    let backward = (0..<200).reversed().map { task.demonstration(.training(seed: 7), index: $0) }
    #expect(forward == backward.reversed())
    let elsewhere = await withTaskGroup(of: (Int, Demonstration).self) { group in
      for index in 0..<200 {
        group.addTask { (index, task.demonstration(.training(seed: 7), index: index)) }
      }
      return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    #expect((0..<200).allSatisfy { elsewhere[$0] == forward[$0] })
    let other = (0..<200).map { task.demonstration(.training(seed: 8), index: $0) }
    #expect(zip(forward, other).count { $0 == $1 } < 20)
    #expect(task.evaluationPrompts(50) == Array(task.evaluationPrompts(80).prefix(50)))
  }

  @Test(arguments: tasks.indices)
  func `what a task draws fits its limits and its vocabulary`(_ place: Int) throws {
    let task = Self.tasks[place]
    let vocabulary = task.vocabulary
    #expect(Set(vocabulary.names).count == vocabulary.count)
    for index in 0..<500 {
      for source in [PromptSource.training(seed: 1), .evaluation] {
        let shown = task.demonstration(source, index: index)
        #expect(shown.prompt.count <= task.promptLimit)
        #expect((1...task.answerLimit).contains(shown.answer.count))
        #expect(shown.prompt.first == Vocabulary.beginning)
        #expect(shown.answer.firstIndex(of: Vocabulary.end) == shown.answer.count - 1)
        #expect(!(shown.prompt + shown.answer).contains(Vocabulary.padding))
        let text = vocabulary.text(of: shown.prompt + shown.answer)
        #expect(try vocabulary.tokens(of: text) == shown.prompt + shown.answer)
      }
    }
  }

  @Test func `only the gold of coloured words is kept from training`() {
    #expect(Self.tasks.map(\.goldMayTrain) == [true, true, false, true])
    #expect(Set(Self.tasks.map(\.name)).count == 4)
  }

  @Test func `a name that is no token is refused with the names that are`() {
    let error = #expect(throws: UnknownTokenName.self) {
      try SortTask().vocabulary.tokens(of: "<bos> 1 12 =")
    }
    #expect(
      error?.description
        == "\"12\" in \"<bos> 1 12 =\" names no token; accepted: "
        + "<|pad|> <|endoftext|> <bos> = 0 1 2 3 4 5 6 7 8 9 <unk>")
  }

  @Test func `a line for people shows prompt, answer and gold`() throws {
    let task = SortTask()
    let prompt = try task.vocabulary.tokens(of: "<bos> 3 1 2 1 =")
    let answer = try task.vocabulary.tokens(of: "1 1 2 <|endoftext|>")
    #expect(
      task.rendering(of: answer, to: prompt) == "<bos> 3 1 2 1 = → 1 1 2 <|endoftext|>  (gold 0.68)"
    )
  }
}
