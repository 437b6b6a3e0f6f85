// `apus checkpoint`: which checkpoints there are, what is in one, whether its bytes are sound.

import ArgumentParser
import Training

struct CheckpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint", abstract: "List, show, verify and copy checkpoints.",
    subcommands: [List.self, Show.self, Verify.self, CheckpointCopyCommand.self])

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List the checkpoints of a run, or of all runs.")

    @Argument(help: "A run's name; all runs where it is left out.")
    var name: String?

    @Option(help: "The folder that holds the runs.")
    var folder = "checkpoints"

    func run() throws {
      let runs = try name.map { [$0] } ?? CheckpointStore.runs(in: folder)
      guard !runs.isEmpty else { return say("\(folder): no runs") }
      for run in runs {
        let store = try CheckpointStore(folder: folder, run: run)
        guard name == nil || Disk().exists(store.path) else {
          throw FileError(store.path, "there is no such run; accepted: a run of \(folder)")
        }
        let checkpoints = try store.checkpoints()
        say(checkpoints.isEmpty ? "\(store.path): no checkpoints" : store.path)
        let newest = checkpoints.last { $0.folder != nil }?.step
        for checkpoint in checkpoints {
          let step = "  step \(checkpoint.step)"
          switch checkpoint.state {
          case .success(let folder):
            let isLast = checkpoint.step == checkpoints.last?.step
            let mark =
              checkpoint.step == newest ? (isLast ? "  newest" : "  newest that is whole") : ""
            say("\(step)  \(sizeText(folder.bytes))  \(folder.files.count) files\(mark)")
          case .failure(let error): say("\(step)  damaged: \(error)")
          }
        }
      }
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show a checkpoint's files, tensors and state.")

    @Argument(help: "A checkpoint's folder, or a run's, of which the newest is taken.")
    var path: String

    func run() throws {
      let folder = try CheckpointFolder(newestAt: path)
      say("\(folder.path): step \(folder.step), \(sizeText(folder.bytes))")
      say(
        lines(
          [("file", .left), ("bytes", .right), ("SHA-256", .left)],
          folder.files.map { [$0.name, sizeText($0.bytes), $0.sha256] }))
      for kind in folder.kinds {
        // Headers alone; `verify` is for the bytes.
        let tensors = try folder.tensors(kind, isVerified: true).tensors
        let elements = tensors.reduce(0) { $0 + $1.count }
        let bytes = tensors.reduce(0) { $0 + $1.bytes }
        say("\(kind): \(tensors.count) tensors, \(elements) elements, \(sizeText(bytes))")
        say(
          lines(
            [
              ("tensor", .left), ("type", .left), ("shape", .left), ("elements", .right),
              ("bytes", .right),
            ],
            tensors.map {
              [
                $0.name, $0.type.rawValue, $0.shape.map(String.init).joined(separator: " × "),
                String($0.count), sizeText($0.bytes),
              ]
            }))
      }
      if folder.files.contains(where: { $0.name == "state.json" }) {
        let state = try JSON(
          parsing: folder.contents("state.json"), source: "\(folder.path)/state.json")
        say("state.json:\n\(state.pretty)", terminator: "")
      }
    }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Read every byte of a checkpoint and compare it with the manifest.")

    @Argument(help: "A checkpoint's folder, or a run's, of which the newest is taken.")
    var path: String

    func run() throws {
      let folder = try CheckpointFolder(newestAt: path)
      try folder.verify()
      // The sums are right; the headers must be, too.
      for kind in folder.kinds { _ = try folder.tensors(kind, isVerified: true) }
      say("\(folder.path): \(folder.files.count) files, \(sizeText(folder.bytes)), all sound")
    }
  }
}

/// A table with titles, each column as wide as its widest cell.
private func lines(_ columns: [(title: String, side: TextColumn.Side)], _ rows: [[String]])
  -> String
{
  let table = TextTable(
    columns.enumerated().map { index, column in
      TextColumn(
        column.title, width: rows.map { $0[index].count }.max() ?? 0, side: column.side)
    }, width: .max)
  return ([table.titles] + rows.map(table.line)).map { "  " + $0 }.joined(separator: "\n")
}

private func sizeText(_ bytes: Int) -> String {
  if bytes < 10_000 { return "\(bytes) B" }
  if bytes < 10_000_000 { return "\(bytes / 1000) kB" }
  return "\(bytes / 1_000_000) MB"
}
