// Scratch folders, made-up tensors and a whole small save, for the tests of files.

import Foundation
import Glibc
import Kernels
import Training

/// A folder that goes when its owner goes.
final class ScratchFolder: Sendable {
  let path: String

  init() {
    // In memory where there is such a place: thousands of small saves are synced here.
    let shared = "/dev/shm"
    let parent = access(shared, W_OK) == 0 ? shared : NSTemporaryDirectory()
    path = "\(parent)/apus-files-\(UUID().uuidString)"
    try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// A folder with these texts, each by its path below the folder and with a newline at its end.
  convenience init(texts: [String: String]) throws {
    self.init()
    for (name, text) in texts {
      let path = URL(filePath: "\(path)/\(name)")
      try FileManager.default.createDirectory(
        at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data("\(text)\n".utf8).write(to: path)
    }
  }

  /// Writes a file below the folder and returns its path.
  func file(_ name: String, _ bytes: [UInt8]) -> String {
    let path = "\(path)/\(name)"
    try! Data(bytes).write(to: URL(filePath: path))
    return path
  }
}

func bytesOfFile(_ path: String) -> [UInt8] {
  FileManager.default.contents(atPath: path).map { [UInt8]($0) } ?? []
}

/// The description of what `body` throws; empty when it throws nothing.
func errorText(_ body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch { return "\(error)" }
}

/// Tensors whose numbers follow from a seed, so that any reader can say what must be there.
struct MadeUpTensors {
  let seed: Int
  let tensors: [TensorDescription]

  init(seed: Int, sizes: [Int] = [7, 300, 1, 64, 33]) {
    self.seed = seed
    tensors = sizes.enumerated().map {
      TensorDescription("layers.\($0).weight", .float32, [$1, 3])
    }
  }

  func values(_ tensor: TensorDescription) -> [Float] {
    let salt = tensor.name.utf8.reduce(seed) { $0 &* 31 &+ Int($1) }
    return (0..<tensor.count).map { Float((($0 &+ salt) &* 2_654_435_761) & 0xFFFF) - 32_768 }
  }

  /// Saves these as model and, doubled in number, as moments, by `writers` one after the other.
  @discardableResult
  func save(in store: CheckpointStore, step: Int, writers: Int = 2) throws -> CheckpointFolder {
    let staging = store.begin(step: step)
    try staging.prepare()
    var entries: [FileEntry] = []
    for kind in ["model", "optimizer"] {
      let deal = TensorDeal(tensors, kind: kind, writers: writers, fileBytes: 2000)
      for writer in 0..<writers {
        let files = staging.files(of: deal, writer: writer)
        // In pieces that end anywhere.
        let bytes = zip(tensors, deal.writers).flatMap { tensor, owner in
          owner == writer ? values(tensor).withUnsafeBytes { [UInt8]($0) } : []
        }
        for start in stride(from: 0, to: bytes.count, by: 2999) {
          try bytes[start..<min(start + 2999, bytes.count)].withUnsafeBytes { try files.write($0) }
        }
        entries += try files.finish()
      }
    }
    entries.append(try staging.write("state.json", Array("{\"step\": \(step)}\n".utf8)))
    entries.append(try staging.write("configuration.yaml", Array("run: test\n".utf8)))
    return try staging.commit(entries)
  }

  /// What is wrong with a checkpoint that should hold these; empty when nothing is.
  func differences(in folder: CheckpointFolder) throws -> [String] {
    var differences: [String] = []
    for kind in ["model", "optimizer"] {
      let source = try folder.tensors(kind)
      if source.names.sorted() != tensors.map(\.name).sorted() {
        differences.append("\(kind): \(source.names)")
      }
      for tensor in tensors where try source.floats(tensor.name) != values(tensor) {
        differences.append("\(kind) \(tensor.name)")
      }
    }
    let state = String(decoding: try folder.contents("state.json"), as: UTF8.self)
    if state != "{\"step\": \(folder.step)}\n" { differences.append(state) }
    return differences
  }
}
