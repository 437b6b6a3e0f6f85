// The checkpoints of one run: which there are, which to load, which to drop.

import Kernels

/// Names of folders in a run's folder.
enum CheckpointName {
  /// `step-00000100`; more digits where the step has more than eight.
  static func final(_ step: Int) -> String {
    let digits = String(step)
    return "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
  }

  static func partial(_ step: Int) -> String { ".\(final(step)).partial" }
  static func replaced(_ step: Int) -> String { ".\(final(step)).replaced" }
  static func removed(_ step: Int) -> String { ".\(final(step)).removed" }

  /// nil unless `name` is exactly what a step's folder is called.
  static func step(of name: String) -> Int? {
    guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), step >= 0, final(step) == name
    else { return nil }
    return step
  }

  static func step(ofReplaced name: String) -> Int? {
    guard name.hasPrefix("."), name.hasSuffix(".replaced") else { return nil }
    return step(of: String(name.dropFirst().dropLast(".replaced".count)))
  }

  static func isLeftover(_ name: String) -> Bool {
    name.hasPrefix(".step-")
      && (name.hasSuffix(".partial") || name.hasSuffix(".replaced") || name.hasSuffix(".removed"))
  }
}

/// A checkpoint as a listing finds it, complete or not.
public struct CheckpointInfo: Sendable {
  public let step: Int
  public let path: String
  /// The open checkpoint, its sizes right; or why it cannot be loaded.
  public let state: Result<CheckpointFolder, any Error>

  public var folder: CheckpointFolder? { try? state.get() }
}

/// The checkpoints of one run: folders `step-…` in `FOLDER/RUN`.
public struct CheckpointStore: Sendable {
  /// Where the run's checkpoints lie.
  public let path: String
  private let disk: Disk

  /// Throws when the run's name is no plain file name. Nothing is made yet.
  public init(folder: String, run: String) throws {
    try self.init(folder: folder, run: run, disk: Disk())
  }

  package init(folder: String, run: String, disk: Disk) throws {
    guard isPlainFileName(run) else {
      throw FileError(
        folder, "the run name \"\(run)\" is no plain file name: no '/', no '.' at the start")
    }
    path = "\(folder)/\(run)"
    self.disk = disk
  }

  /// Names of the runs that have a folder in `folder`.
  public static func runs(in folder: String) throws -> [String] {
    guard Disk().exists(folder) else { return [] }
    return try Disk.names(in: folder).filter {
      isPlainFileName($0) && Disk.isFolder("\(folder)/\($0)")
    }
  }

  /// All checkpoints by step, damaged ones too. Sizes are looked at, contents are not.
  public func checkpoints() throws -> [CheckpointInfo] {
    guard disk.exists(path) else { return [] }
    guard Disk.isFolder(path) else { throw FileError(path, "is no folder of checkpoints") }
    var found: [Int: String] = [:]
    for name in try Disk.names(in: path) {
      if let step = CheckpointName.step(of: name) {
        found[step] = name
      } else if let step = CheckpointName.step(ofReplaced: name), found[step] == nil {
        // Dot names come first in the list, so a final one takes this place.
        found[step] = name
      }
    }
    return found.sorted { $0.key < $1.key }.map { step, name in
      let path = "\(path)/\(name)"
      let state = Result<CheckpointFolder, any Error> {
        let folder = try CheckpointFolder(path: path)
        guard folder.step == step else {
          throw FileError(path, "the manifest is of step \(folder.step)")
        }
        return folder
      }
      return CheckpointInfo(step: step, path: path, state: state)
    }
  }

  /// The complete checkpoint of the highest step; nil where the run has none.
  public func newest() throws -> CheckpointFolder? {
    try checkpoints().lazy.reversed().compactMap(\.folder).first
  }

  /// A save of this step; the same step may be saved again.
  public func begin(step: Int) -> CheckpointStaging {
    require(step >= 0, "a checkpoint of step \(step)")
    return CheckpointStaging(
      step: step, finalPath: "\(path)/\(CheckpointName.final(step))", runFolder: path, disk: disk)
  }

  /// Drops all complete checkpoints but the newest `count`; damaged ones stay for the user to see.
  ///
  /// Each is renamed first, so that a crash never leaves half a folder under a checkpoint's name.
  public func keep(last count: Int) throws {
    require(count >= 1, "keeping \(count) checkpoints")
    for old in try checkpoints().compactMap(\.folder).dropLast(count) {
      let removed = "\(path)/\(CheckpointName.removed(old.step))"
      try disk.remove(removed)
      try disk.rename(old.path, to: removed)
      try disk.syncFolder(path)
      try disk.remove(removed)
    }
  }
}
