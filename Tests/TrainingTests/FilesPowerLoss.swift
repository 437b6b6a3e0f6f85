// A model of a file system that forgets what was not synced, for replaying a recorded save.

import Foundation
import Synchronization
import Training

/// Everything a `Disk` was about to do, with the contents of files as they were synced.
final class DiskRecording: Sendable {
  struct Event {
    let operation: DiskOperation
    /// Of the file being synced.
    let contents: [UInt8]?
  }

  private let recorded = Mutex<[Event]>([])

  var events: [Event] { recorded.withLock { $0 } }

  var disk: Disk {
    Disk { operation in
      var bytes: [UInt8]?
      if case .sync(let path) = operation {
        bytes = FileManager.default.contents(atPath: path).map { [UInt8]($0) }
      }
      self.recorded.withLock { $0.append(Event(operation: operation, contents: bytes)) }
    }
  }
}

/// Numbers that follow from a seed.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// What is in memory (what processes see) and what is on the platter (what a power cut leaves).
struct ForgetfulDisk {
  private final class Node {
    let isFolder: Bool
    /// What processes see, and what lasts.
    var entries: [String: Node] = [:]
    var lasting: [String: Node] = [:]
    var pending: [Change] = []
    var contents: [UInt8] = []
    var isSynced = false

    init(isFolder: Bool) { self.isFolder = isFolder }
  }

  private enum Change {
    case add(String, Node)
    case move(String, to: String)
    case drop(String)

    /// Nothing where the target forbids it, as in a real file system.
    func apply(_ entries: inout [String: Node]) {
      switch self {
      case .add(let name, let node): entries[name] = node
      case .drop(let name): entries[name] = nil
      case .move(let name, let target):
        guard let node = entries[name] else { return }
        if node.isFolder, entries[target] != nil { return }
        entries[name] = nil
        entries[target] = node
      }
    }
  }

  private let root = Node(isFolder: true)
  private let rootPath: String

  /// Starts with what lies in `folder`, all of it lasting.
  init(folder: String) {
    rootPath = folder
    let names = FileManager.default.enumerator(atPath: folder)!.compactMap { $0 as? String }
    for name in names.sorted() {
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: "\(folder)/\(name)", isDirectory: &isFolder)
      let node = Node(isFolder: isFolder.boolValue)
      node.contents = isFolder.boolValue ? [] : bytesOfFile("\(folder)/\(name)")
      node.isSynced = true
      let (parent, last) = place("\(folder)/\(name)")
      parent.entries[last] = node
      parent.lasting[last] = node
    }
  }

  private func node(_ path: String) -> Node? {
    var node: Node? = root
    for name in path.dropFirst(rootPath.count).split(separator: "/") {
      node = node?.entries[String(name)]
    }
    return node
  }

  private func place(_ path: String) -> (Node, String) {
    let parts = path.split(separator: "/")
    return (node(String(path.dropLast(parts.last!.count + 1)))!, String(parts.last!))
  }

  private func change(_ folder: Node, _ change: Change) {
    change.apply(&folder.entries)
    folder.pending.append(change)
  }

  func replay(_ event: DiskRecording.Event) {
    switch event.operation {
    case .makeFolder(let path):
      let (parent, name) = place(path)
      change(parent, .add(name, Node(isFolder: true)))
    case .create(let path):
      let (parent, name) = place(path)
      change(parent, .add(name, Node(isFolder: false)))
    case .write: break
    case .rename(let path, let target):
      let (parent, name) = place(path)
      change(parent, .move(name, to: place(target).1))
    case .remove(let path):
      let (parent, name) = place(path)
      change(parent, .drop(name))
    case .sync(let path):
      guard let node = node(path) else { return }
      if node.isFolder {
        for change in node.pending { change.apply(&node.lasting) }
        node.pending = []
      } else {
        node.contents = event.contents ?? []
        node.isSynced = true
      }
    }
  }

  /// Lays out one of the states in which a power cut may leave the disk: of the changes that were
  /// not synced any may have lasted, and files that were not synced may hold anything.
  func powerCut(into folder: String, using generator: inout SplitMix) {
    layOut(root, folder, &generator)
  }

  private func layOut(_ node: Node, _ path: String, _ generator: inout SplitMix) {
    guard node.isFolder else {
      let bytes =
        node.isSynced
        ? node.contents
        : [[], [UInt8](repeating: 0, count: 100)].randomElement(using: &generator)!
      try! Data(bytes).write(to: URL(filePath: path))
      return
    }
    try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    var entries = node.lasting
    for change in node.pending where Bool.random(using: &generator) { change.apply(&entries) }
    for (name, child) in entries.sorted(by: { $0.key < $1.key }) {
      layOut(child, "\(path)/\(name)", &generator)
    }
  }
}
