// Checkpoints: dealt, written, found, loaded, dropped; and every damage named.

import Foundation
import Glibc
import Kernels
import Testing
import Training

@Suite struct FilesCheckpointTests {
  let scratch = ScratchFolder()

  func store(_ run: String = "run") throws -> CheckpointStore {
    try CheckpointStore(folder: scratch.path + "/checkpoints", run: run)
  }

  @Test(arguments: 1...5)
  func `any number of writers makes a checkpoint with the same tensors`(writers: Int) throws {
    let made = MadeUpTensors(seed: 3)
    let saved = try made.save(in: store(), step: 100, writers: writers)
    #expect(saved.path == scratch.path + "/checkpoints/run/step-00000100")
    #expect(saved.kinds == ["model", "optimizer"])
    let found = try #require(try store().newest())
    #expect(found.step == 100)
    #expect(found.files == saved.files)
    try found.verify()
    #expect(try made.differences(in: found) == [])
    // Sizes and sums against the files themselves.
    for entry in found.files {
      #expect(bytesOfFile("\(found.path)/\(entry.name)").count == entry.bytes)
      #expect(try Digest.sha256(file: "\(found.path)/\(entry.name)") == entry.sha256)
    }
    let onDisk = try FileManager.default.contentsOfDirectory(atPath: found.path).sorted()
    #expect(onDisk == (found.files.map(\.name) + ["manifest.json"]).sorted())
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: try store().path)
        == ["step-00000100"])
  }

  @Test func `SHA-256 gives the sums that its standard prints`() {
    #expect(
      Digest.sha256(Array("abc".utf8))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      Digest.sha256([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }

  @Test func `a deal gives every tensor one writer, evenly, in files of bounded size`() {
    let tensors = (0..<97).map {
      TensorDescription("t.\($0)", .float32, [($0 * 7919) % 101 + 1, 10])
    }
    for writers in 1...9 {
      let deal = TensorDeal(tensors, kind: "model", writers: writers, fileBytes: 8000)
      let dealt = deal.files.flatMap(\.tensors)
      #expect(dealt.map(\.name).sorted() == tensors.map(\.name).sorted())
      #expect(Set(deal.files.map(\.name)).count == deal.files.count)
      #expect(deal.files[0].name.hasSuffix("-of-000\(deal.files.count).safetensors"))
      #expect(deal.files.allSatisfy { file in file.tensors.reduce(0) { $0 + $1.bytes } <= 8000 })
      let loads = (0..<writers).map { writer in
        zip(tensors, deal.writers).reduce(0) { $0 + ($1.1 == writer ? $1.0.bytes : 0) }
      }
      #expect(loads.max()! - loads.min()! <= tensors.map(\.bytes).max()!)
      // In each writer's files the tensors stand in the order of the walk.
      for writer in 0..<writers {
        let mine = deal.files.filter { $0.writer == writer }.flatMap(\.tensors)
        #expect(mine == zip(tensors, deal.writers).filter { $0.1 == writer }.map(\.0))
      }
    }
    #expect(
      TensorDeal([], kind: "optimizer", writers: 3).files.map(\.name) == [
        "optimizer-00001-of-00001.safetensors"
      ])
  }

  @Test func `entries survive the way from writer to writer`() throws {
    let entries = [
      FileEntry(name: "a \"b\".safetensors", bytes: 12, sha256: String(repeating: "0", count: 64)),
      FileEntry(name: "é", bytes: 0, sha256: String(repeating: "f", count: 64)),
    ]
    #expect(try FileEntry.decode(FileEntry.encode(entries)) == entries)
    #expect(try FileEntry.decode(FileEntry.encode([])) == [])
    #expect(throws: FileError.self) { try FileEntry.decode(Array("[{}]".utf8)) }
  }

  @Test func `a checkpoint without moments can be written and read`() throws {
    let staging = try store().begin(step: 0)
    try staging.prepare()
    let deal = TensorDeal([], kind: "optimizer", writers: 2)
    let entries = try (0..<2).flatMap { try staging.files(of: deal, writer: $0).finish() }
    try staging.commit(entries)
    let folder = try #require(try store().newest())
    #expect(try folder.tensors("optimizer").tensors == [])
    #expect(
      errorText { _ = try folder.tensors("model") }.contains("no model tensors; it has optimizer"))
  }

  @Test func `the newest complete one is found among damaged and strange folders`() throws {
    for step in [5, 100, 20, 123_456_789] {
      try MadeUpTensors(seed: step).save(in: store(), step: step)
    }
    let path = try store().path
    for name in ["step-7", "step-0000000x", "step--0000001", "notes", ".step-00000200.partial"] {
      mkdir("\(path)/\(name)", 0o777)
    }
    unlink("\(path)/step-123456789/state.json")
    #expect(try store().checkpoints().map(\.step) == [5, 20, 100, 123_456_789])
    #expect(try store().newest()?.step == 100)
    let damaged = try #require(try store().checkpoints().last)
    #expect(errorText { _ = try damaged.state.get() }.contains("state.json: cannot open the file"))
    // A manifest that was moved to another step's folder is not believed.
    rename("\(path)/step-00000100", "\(path)/step-00000101")
    #expect(try store().newest()?.step == 20)
    #expect(try CheckpointStore(folder: scratch.path, run: "other").newest() == nil)
  }

  @Test(arguments: ["", ".", "..", "a/b", ".hidden", "a\u{0}b"])
  func `a run's name cannot leave the folder`(name: String) {
    #expect(errorText { _ = try CheckpointStore(folder: "x", run: name) }.contains("run name"))
  }

  @Test func `a step is saved anew over an old one, and over what a killed save left`() throws {
    try MadeUpTensors(seed: 1).save(in: store(), step: 10)
    let path = try store().path
    for leftover in [".step-00000010.partial", ".step-00000010.replaced", ".step-00000003.removed"]
    {
      mkdir("\(path)/\(leftover)", 0o777)
      try Data([1]).write(to: URL(filePath: "\(path)/\(leftover)/model-00001-of-00009.safetensors"))
    }
    try MadeUpTensors(seed: 2).save(in: store(), step: 10, writers: 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["step-00000010"])
    #expect(try MadeUpTensors(seed: 2).differences(in: #require(try store().newest())) == [])
  }

  @Test func `keeping the last drops the oldest complete ones and nothing else`() throws {
    let made = MadeUpTensors(seed: 1)
    for step in 1...6 { try made.save(in: store(), step: step) }
    unlink("\(try store().path)/step-00000005/manifest.json")
    try store().keep(last: 2)
    #expect(try store().checkpoints().map(\.step) == [4, 5, 6])
    try store().keep(last: 2)
    #expect(try store().checkpoints().map(\.step) == [4, 5, 6])
    try store().keep(last: 1)
    #expect(try store().checkpoints().compactMap(\.folder).map(\.step) == [6])
  }

  @Test func `a file cut at any length is named`() throws {
    let made = MadeUpTensors(seed: 9, sizes: [3, 5])
    let folder = try made.save(in: store(), step: 1)
    var cuts = 0
    for entry in folder.files + [FileEntry(name: "manifest.json", bytes: 0, sha256: "")] {
      let path = "\(folder.path)/\(entry.name)"
      let whole = bytesOfFile(path)
      for length in whole.indices {
        try Data(whole[..<length]).write(to: URL(filePath: path))
        let said = errorText { _ = try CheckpointFolder(path: folder.path) }
        if !said.hasPrefix(path) { Issue.record("\(entry.name) cut at \(length): \(said)") }
        cuts += 1
      }
      try Data(whole + [0]).write(to: URL(filePath: path))
      #expect(errorText { _ = try CheckpointFolder(path: folder.path) }.hasPrefix(path))
      try Data(whole).write(to: URL(filePath: path))
    }
    #expect(cuts > 1000)
    #expect(try made.differences(in: #require(try store().newest())) == [])
  }

  @Test func `a flipped bit anywhere is found, and its file named`() throws {
    let made = MadeUpTensors(seed: 9, sizes: [3, 5])
    let folder = try made.save(in: store(), step: 1)
    var flips = 0
    for entry in folder.files + [FileEntry(name: "manifest.json", bytes: 0, sha256: "")] {
      let path = "\(folder.path)/\(entry.name)"
      let whole = bytesOfFile(path)
      for place in whole.indices {
        var flipped = whole
        flipped[place] ^= 1 << UInt8(place % 8)
        try Data(flipped).write(to: URL(filePath: path))
        let said = errorText { try CheckpointFolder(path: folder.path).verify() }
        // A flip in the manifest may make it name another file or sum before its own sum is met.
        let isNamed =
          entry.name == "manifest.json" ? said.hasPrefix(folder.path) : said.hasPrefix(path)
        if !isNamed { Issue.record("\(entry.name) byte \(place): \(said)") }
        flips += 1
      }
      try Data(whole).write(to: URL(filePath: path))
    }
    #expect(flips > 1000)
    try CheckpointFolder(path: folder.path).verify()
  }

  @Test func `damage is found by whoever reads the file, and by no one else`() throws {
    let folder = try MadeUpTensors(seed: 9).save(in: store(), step: 1)
    let name =
      "optimizer-00001-of-\(folder.files.last { $0.name.hasPrefix("optimizer") }!.name.suffix(17))"
    var bytes = bytesOfFile("\(folder.path)/\(name)")
    bytes[bytes.count - 1] ^= 0x40
    try Data(bytes).write(to: URL(filePath: "\(folder.path)/\(name)"))
    #expect(try folder.tensors("model").tensors.count == 5)
    #expect(errorText { _ = try folder.tensors("optimizer") }.contains(name))
    let readers = (0..<3).map { reader in errorText { try folder.verify(reader: reader, of: 3) } }
    #expect(readers.filter { !$0.isEmpty }.count == 1)
    #expect(readers.joined().contains(name))
  }

  @Test func `two shards with their names swapped are found`() throws {
    let folder = try MadeUpTensors(seed: 9, sizes: [400, 400]).save(in: store(), step: 1)
    let names = folder.files.map(\.name).filter { $0.hasPrefix("model") }
    #expect(names.count == 2)
    rename("\(folder.path)/\(names[0])", "\(folder.path)/swap")
    rename("\(folder.path)/\(names[1])", "\(folder.path)/\(names[0])")
    rename("\(folder.path)/swap", "\(folder.path)/\(names[1])")
    #expect(errorText { _ = try folder.tensors("model") }.contains(names[0]))
  }

  @Test func `a manifest of another version or kind is refused in words`() throws {
    let folder = try MadeUpTensors(seed: 9).save(in: store(), step: 1)
    let path = "\(folder.path)/manifest.json"
    let text = String(decoding: bytesOfFile(path), as: UTF8.self)
    for (from, to, why) in [
      ("\"version\": 1", "\"version\": 2", "has version 2; this build reads 1"),
      ("apus-checkpoint", "other", "no manifest of an Apus checkpoint"),
      ("\"step\": 1", "\"step\": 2", "does not match its own SHA-256"),
      ("\"step\": 1", "\"step\":  1", "does not match its own SHA-256"),
      ("state.json", "../state.json", "no entry of name"),
      ("state.json", "configuration.yaml", "names a file twice"),
    ] {
      let changed = text.replacingOccurrences(of: from, with: to)
      try Data(changed.utf8).write(to: URL(filePath: path))
      let said = errorText { _ = try CheckpointFolder(path: folder.path) }
      #expect(said.hasPrefix(path) && said.contains(why), "\(said)")
    }
  }

  @Test func `a file replaced as a whole has no half state`() throws {
    let path = scratch.file("state.json", [1, 2, 3])
    let failing = Disk { operation in
      if case .sync = operation { throw FileError(path, "stopped") }
    }
    #expect(throws: FileError.self) { try failing.replace(path, with: [4, 5]) }
    #expect(bytesOfFile(path) == [1, 2, 3])
    try Disk().replace(path, with: [4, 5])
    #expect(bytesOfFile(path) == [4, 5])
  }
}
