// `apus pipeline`: a chain of stages from one file, and one table of what came out.

import ArgumentParser
import Parallel
import Training

struct PipelineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pipeline",
    abstract: "Runs a chain of stages from one file; skips what is done, ends with one table.",
    discussion: """
      The file (YAML) has a list `steps`. Each has a kind: task (files of the task), pairs (preferences by \
      its gold) or a stage, pretrain, sft, reward, dpo, ppo, grpo, with its configuration in `config`, in \
      `settings`, or both. A path that begins with an earlier step's name lies in that step's folder: \
      data.start: sft. What was made of the same settings and files is not made again, and a run that was \
      stopped goes on.
      """)

  @Argument(help: "The file of the pipeline.")
  var config: String
  @Flag(help: "Make anew what was made with other settings or of other files.")
  var force = false
  @Flag(help: "Show the steps and what they set, and run nothing.")
  var list = false
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var ranks: RankOptions

  func run() throws {
    if list { return say(try Pipeline(file: config).list) }
    // Made before anything starts threads.
    let stop = StopRequest()
    try ranks.run { world in
      let (pipeline, program) = try world.agreeing {
        (try Pipeline(file: config), try Program.fingerprint())
      }
      let table = try PipelineRun(
        pipeline: pipeline, start: StageStart(ranks: ranks, program: program, stop: stop),
        layout: layout, isForced: force, world: world
      ).run()
      try world.agreeing {
        guard world.rank == 0 else { return }
        let disk = Disk()
        try disk.replace("\(pipeline.folder)/pipeline.json", with: Array(table.json.pretty.utf8))
        try disk.replace("\(pipeline.folder)/pipeline.md", with: Array(table.markdown.utf8))
      }
      guard world.rank == 0 else { return }
      say("\n\(table.text)")
      say("table: \(pipeline.folder)/pipeline.md and pipeline.json")
    }
  }
}
