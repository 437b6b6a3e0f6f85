// Sorting and reversing digits: prompts, demonstrations and rewards.

import Kernels
import Tasks
import Testing

/// Both tasks, trained and held-out lengths.
private let digitTasks: [any DigitTask] = [
  SortTask(), ReverseTask(), SortTask(lengths: SortTask.heldOutLengths),
  ReverseTask(lengths: ReverseTask.heldOutLengths),
]

@Suite struct `Digit tasks` {
  @Test(arguments: [
    ("1 1 2 3 <|endoftext|>", 1.0, 1.0),
    ("1 1 2 3 <|endoftext|> 9 9", 1.0, 1.0),
    ("1 1 2 3", 0.9, 0.0),
    ("1 1 2 3 3 <|endoftext|>", 0.9, 0.0),
    ("1 1 2 <|endoftext|>", 0.675, 0.0),
    ("1 2 2 3 <|endoftext|>", 0.775, 0.0),
    ("3 1 2 1 <|endoftext|>", 0.9 * 2 / 4 + 0.1, 0.0),
    ("<|endoftext|> 1 1 2 3", 0.0, 0.0),
    ("= = = = <|endoftext|>", 0.1, 0.0),
  ])
  func `an answer to sort 3 1 2 1 is worth what the rule says`(
    answer: String, gold: Double, exact: Double
  ) throws {
    let task = SortTask()
    let prompt = try task.vocabulary.tokens(of: "<bos> 3 1 2 1 =")
    let answer = try task.vocabulary.tokens(of: answer)
    #expect(abs(task.gold(answer, to: prompt) - gold) < 1e-15)
    let metrics = task.metrics(of: answer, to: prompt)
    #expect(metrics.map(\.name) == ["gold", "exact"])
    #expect(metrics[1].value == exact)
    #expect(task.gold([], to: prompt) == 0)
  }

  @Test func `the right answers are the sorted and the reversed digits`() throws {
    let key = RandomKey(seed: 0, name: "test")
    for (task, right) in [
      (SortTask() as any DigitTask, "0 0 4 7 9 <|endoftext|>"),
      (ReverseTask(), "7 0 4 0 9 <|endoftext|>"),
    ] {
      let prompt = try task.vocabulary.tokens(of: "<bos> 9 0 4 0 7 =")
      #expect(task.vocabulary.text(of: task.demonstration(of: prompt, key: key)) == right)
    }
  }

  @Test func `there are 15 tokens, and an answer to eight digits has nine`() {
    #expect(SortTask().vocabulary.count == 15)
    #expect(SortTask().answerLimit == 9)
    #expect(SortTask(lengths: SortTask.heldOutLengths).answerLimit == 11)
    #expect(Vocabulary.padding != Vocabulary.end)
  }

  @Test(arguments: digitTasks.indices)
  func `prompts keep to their lengths, evenly, and their demonstrations are right`(_ place: Int) {
    let task = digitTasks[place]
    let count = 4000
    var perLength: [Int: Int] = [:]
    for index in 0..<count {
      let shown = task.demonstration(.training(seed: 3), index: index)
      let digits = shown.prompt.count - 2
      perLength[digits, default: 0] += 1
      #expect(task.lengths.contains(digits) && shown.prompt.count <= task.promptLimit)
      #expect(shown.answer.count <= task.answerLimit)
      #expect(task.gold(shown.answer, to: shown.prompt) == 1)
    }
    let expected = Double(count) / Double(task.lengths.count)
    for length in task.lengths {
      #expect(abs(Double(perLength[length] ?? 0) - expected) < 4 * expected.squareRoot())
    }
  }

  @Test(arguments: digitTasks.indices)
  func `no seed trains on an evaluation prompt or its answer`(_ place: Int) {
    let task = digitTasks[place]
    let key = RandomKey(seed: 0, name: "test")
    func answer(_ prompt: [Int32]) -> [Int32] { task.demonstration(of: prompt, key: key) }
    let held = Set(task.evaluationPrompts(1000).map(answer))
    #expect(held.count > 300)
    for seed in 0..<5 as Range<UInt64> {
      for index in 0..<2000 {
        #expect(!held.contains(answer(task.prompt(.training(seed: seed), index: index))))
      }
    }
  }

  @Test func `a demonstration is as skilled as was asked for`() {
    let task = SortTask(skill: 0.6)
    var (right, digits) = (0, 0)
    for index in 0..<2000 {
      let shown = task.demonstration(.training(seed: 1), index: index)
      let truth = shown.prompt.dropFirst().dropLast().sorted()
      #expect(shown.answer.last == Vocabulary.end && shown.answer.count == truth.count + 1)
      right += zip(shown.answer, truth).count { $0 == $1 }
      digits += truth.count
    }
    // A digit drawn at random is right once in ten.
    let expected = 0.6 + 0.4 / 10
    let error = (expected * (1 - expected) / Double(digits)).squareRoot()
    #expect(abs(Double(right) / Double(digits) - expected) < 4 * error)
  }
}
