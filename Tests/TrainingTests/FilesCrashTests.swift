// Saves that are stopped: at every operation, by errors, by power cuts, by SIGKILL, by a full disk.

import Foundation
import Glibc
import Kernels
import Synchronization
import Testing
import Training

private struct Stopped: Error {}

/// What a save does to a run's folder that already holds steps 1 and 2.
enum SaveCase: String, CaseIterable, Sendable {
  case nextStep, sameStep, nextStepThenDropOld

  var step: Int { self == .sameStep ? 2 : 3 }

  func run(_ store: CheckpointStore) throws {
    try MadeUpTensors(seed: 33, sizes: [3, 5]).save(in: store, step: step)
    if self == .nextStepThenDropOld { try store.keep(last: 1) }
  }

  /// What is wrong in a folder where this save was stopped; empty when nothing is. Complete and
  /// right must be the newest of the old state or of the new one, and all others that are listed.
  func faults(in store: CheckpointStore) throws -> String {
    guard let newest = try store.newest() else { return "no checkpoint" }
    try newest.verify()
    let isOld = try MadeUpTensors(seed: 22, sizes: [3, 5]).differences(in: newest) == []
    let isNew = try MadeUpTensors(seed: 33, sizes: [3, 5]).differences(in: newest) == []
    guard newest.step == 2 && isOld || newest.step == step && isNew else {
      return "step \(newest.step) is neither the old nor the new checkpoint"
    }
    for info in try store.checkpoints() { try info.state.get().verify() }
    return ""
  }

  /// The new checkpoint and nothing older than it as the newest.
  func isDone(in store: CheckpointStore) throws -> Bool {
    guard let newest = try store.newest() else { return false }
    return try newest.step == step
      && MadeUpTensors(seed: 33, sizes: [3, 5]).differences(in: newest) == []
  }

  static func prepare(_ folder: String) throws {
    let store = try CheckpointStore(folder: folder, run: "run")
    try MadeUpTensors(seed: 11, sizes: [3, 5]).save(in: store, step: 1)
    try MadeUpTensors(seed: 22, sizes: [3, 5]).save(in: store, step: 2)
  }
}

@Suite struct FilesCrashTests {
  func count(_ save: SaveCase) throws -> Int {
    let scratch = ScratchFolder()
    try SaveCase.prepare(scratch.path)
    let recording = DiskRecording()
    try save.run(CheckpointStore(folder: scratch.path, run: "run", disk: recording.disk))
    return recording.events.count
  }

  @Test(arguments: SaveCase.allCases)
  func `stopping before any operation leaves the old checkpoint or the new one`(
    save: SaveCase
  ) throws {
    let operations = try count(save)
    #expect(operations > 20)
    for last in 0..<operations {
      let scratch = ScratchFolder()
      try SaveCase.prepare(scratch.path)
      let done = Mutex(0)
      let disk = Disk { _ in
        let isStopped = done.withLock { count in
          count += 1
          return count > last
        }
        if isStopped { throw Stopped() }
      }
      #expect(throws: Stopped.self) {
        try save.run(CheckpointStore(folder: scratch.path, run: "run", disk: disk))
      }
      let store = try CheckpointStore(folder: scratch.path, run: "run")
      #expect(try save.faults(in: store) == "", "stopped after \(last) of \(operations)")
      // Nor does a second save lose anything that is stopped as soon as it has cleared its way.
      try store.begin(step: save.step).prepare()
      #expect(try save.faults(in: store) == "", "stopped after \(last), then after clearing")
      // The next save works and clears everything.
      try save.run(store)
      #expect(try save.isDone(in: store))
      let names = try FileManager.default.contentsOfDirectory(atPath: store.path)
      #expect(names.allSatisfy { !$0.hasPrefix(".") }, "\(names)")
    }
  }

  @Test(arguments: SaveCase.allCases)
  func `an error of any operation is thrown and loses nothing`(save: SaveCase) throws {
    let operations = try count(save)
    for failing in 0..<operations {
      let scratch = ScratchFolder()
      try SaveCase.prepare(scratch.path)
      let done = Mutex(0)
      let disk = Disk { operation in
        let isNow = done.withLock { count in
          count += 1
          return count == failing + 1
        }
        if isNow { throw FileError("\(operation)", "No space left on device") }
      }
      let said = errorText {
        try save.run(CheckpointStore(folder: scratch.path, run: "run", disk: disk))
      }
      #expect(said.contains("No space left on device"), "operation \(failing): \(said)")
      let store = try CheckpointStore(folder: scratch.path, run: "run")
      #expect(try save.faults(in: store) == "", "operation \(failing)")
      try save.run(store)
      #expect(try save.isDone(in: store))
    }
  }

  @Test(arguments: SaveCase.allCases)
  func `a power cut at any moment leaves the old checkpoint or the new one`(save: SaveCase) throws {
    let start = ScratchFolder()
    try SaveCase.prepare(start.path)
    let model = ForgetfulDisk(folder: start.path)
    let recording = DiskRecording()
    try save.run(CheckpointStore(folder: start.path, run: "run", disk: recording.disk))
    var generator = SplitMix(state: 1)
    var states = 0
    for (index, event) in recording.events.enumerated() {
      model.replay(event)
      for _ in 0..<12 {
        let scratch = ScratchFolder()
        model.powerCut(into: scratch.path, using: &generator)
        let store = try CheckpointStore(folder: scratch.path, run: "run")
        #expect(try save.faults(in: store) == "", "after \(index): \(event.operation)")
        // When the save has returned, its checkpoint stays.
        if index == recording.events.count - 1 { #expect(try save.isDone(in: store)) }
        states += 1
      }
    }
    #expect(states > 300)
  }

  @Test func `a disk without room is told with the path, and the old checkpoint stays`() throws {
    let scratch = ScratchFolder()
    try SaveCase.prepare(scratch.path)
    let store = try CheckpointStore(folder: scratch.path, run: "run")
    let made = MadeUpTensors(seed: 5)
    for kind in ["model-00001-of-00001.safetensors", "state.json"] {
      let staging = store.begin(step: 9)
      try staging.prepare()
      // A device that is always full stands in for the file.
      symlink("/dev/full", "\(store.path)/.step-00000009.partial/\(kind)")
      let memory = [UInt8](repeating: 1, count: 10_000)
      let said = errorText {
        _ = try staging.write("state.json", Array("{}".utf8))
        let files = staging.files(
          of: TensorDeal(made.tensors, kind: "model", writers: 1), writer: 0)
        let bytes = made.tensors.reduce(0) { $0 + $1.bytes }
        try memory[..<bytes].withUnsafeBytes { try files.write($0) }
        _ = try files.finish()
      }
      #expect(said.contains("/\(kind): cannot write at byte 0: No space left on device"), "\(said)")
      #expect(try store.newest()?.step == 2)
      try staging.discard()
    }
    #expect(try SaveCase.nextStep.faults(in: store) == "")
  }

  @Test func `a small file system fills up without harm`() throws {
    let scratch = ScratchFolder()
    guard mount("tmpfs", scratch.path, "tmpfs", 0, "size=96k") == 0 else {
      // Only root may mount; the full device above has shown the error.
      return #expect(errno == EPERM || errno == EACCES || errno == ENODEV)
    }
    defer { umount2(scratch.path, Int32(MNT_DETACH)) }
    let store = try CheckpointStore(folder: scratch.path, run: "run")
    let made = MadeUpTensors(seed: 4, sizes: [200, 300])
    var step = 0
    var said = ""
    while said.isEmpty, step < 100 {
      step += 1
      said = errorText { try made.save(in: store, step: step) }
    }
    #expect(step > 2 && step < 100)
    #expect(said.contains("No space left on device"), "\(said)")
    #expect(said.hasPrefix(store.path), "\(said)")
    #expect(try made.differences(in: #require(try store.newest())) == [])
    #expect(try store.newest()?.step == step - 1)
    // Dropping old ones makes room again.
    try store.keep(last: 1)
    try made.save(in: store, step: step)
    #expect(try store.newest()?.step == step)
  }

  @Test func `a folder that cannot be made or listed is named`() throws {
    let scratch = ScratchFolder()
    let file = scratch.file("occupied", [1])
    let below = try CheckpointStore(folder: file, run: "run")
    #expect(errorText { try SaveCase.nextStep.run(below) }.contains("\(file)/run: cannot make"))
    let instead = try CheckpointStore(folder: scratch.path, run: "occupied")
    #expect(errorText { _ = try instead.newest() }.contains("occupied: is no folder"))
    let readOnly = try CheckpointStore(folder: "/proc/apus", run: "run")
    #expect(errorText { try SaveCase.nextStep.run(readOnly) }.contains("/proc/apus: cannot make"))
  }

  static let saverVariable = "APUS_TEST_SAVER_FOLDER"

  /// Large enough that most of the saver's time goes into its saves.
  static func saved(_ step: Int) -> MadeUpTensors {
    MadeUpTensors(seed: step, sizes: [20_000, 15_000, 7])
  }

  /// The body of the process that the next test kills.
  @Test(.enabled(if: ProcessInfo.processInfo.environment[saverVariable] != nil))
  func `a saver saves until it is killed`() throws {
    let folder = try #require(ProcessInfo.processInfo.environment[Self.saverVariable])
    let store = try CheckpointStore(folder: folder, run: "run")
    var step = try store.newest()?.step ?? 0
    while getppid() != 1 {
      // Every third time the newest step is saved anew.
      if step == 0 || step % 3 != 0 || Bool.random() { step += 1 }
      try Self.saved(step).save(in: store, step: step)
      try store.keep(last: 2)
    }
    #expect(step > 0)
  }

  @Test func `a saver killed at random moments leaves the newest checkpoint whole`() throws {
    let scratch = ScratchFolder()
    let store = try CheckpointStore(folder: scratch.path, run: "run")
    var newest = 0
    var leftovers = 0
    for _ in 0..<50 {
      let saver = Process()
      saver.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
      saver.arguments = ["--testing-library", "swift-testing", "--filter", "saver saves until"]
      saver.environment = ProcessInfo.processInfo.environment.merging(
        [Self.saverVariable: scratch.path]) { $1 }
      saver.standardOutput = FileHandle.nullDevice
      saver.standardError = FileHandle.nullDevice
      try saver.run()
      let deadline = Date(timeIntervalSinceNow: 20)
      // Once it has saved, it is killed somewhere within its next saves.
      while try store.newest()?.step ?? 0 <= newest, Date() < deadline, saver.isRunning {
        usleep(500)
      }
      usleep(.random(in: 0..<8000))
      kill(saver.processIdentifier, SIGKILL)
      saver.waitUntilExit()
      try #require(saver.terminationReason == .uncaughtSignal, "the saver ended by itself")
      let found = try #require(try store.newest())
      #expect(found.step > newest)
      #expect(try Self.saved(found.step).differences(in: found) == [])
      try found.verify()
      newest = found.step
      let names = try FileManager.default.contentsOfDirectory(atPath: store.path)
      if names.contains(where: { $0.hasPrefix(".") }) { leftovers += 1 }
    }
    // Many kills must have come inside a save, or the test shows nothing.
    #expect(leftovers >= 20, "\(leftovers) of 50 kills came inside a save")
  }
}
