// Runs the real `apus` as a child process, alone or under mpirun, and keeps what it said.

import Foundation
import Synchronization
import Testing

/// What a child left behind.
struct Outcome: Sendable {
  /// Exit status, or the signal's number negated.
  let status: Int32
  let output: String
  let errors: String
  let seconds: Double

  /// Lines on standard error that are not mpirun's.
  var complaints: [Substring] {
    var lines = errors.split(separator: "\n")
    // mpirun frames what it says itself.
    while let first = lines.firstIndex(where: { $0.hasPrefix("-----") }) {
      let last = lines[(first + 1)...].firstIndex { $0.hasPrefix("-----") } ?? lines.endIndex - 1
      lines.removeSubrange(first...last)
    }
    return lines
  }
}

/// A child process that is running, or has run.
final class Child: Sendable {
  /// What no command here takes: a child that is still there is stuck.
  static let limit = 40.0

  let id: pid_t
  private let words: [String]
  private let start = ContinuousClock.now
  private let folder: String
  /// What waitpid gave, once it did.
  private let end = Mutex<Int32?>(nil)

  /// Starts `words` in `folder`; the first is looked for in PATH.
  init(_ words: [String], in folder: String) throws {
    self.words = words
    self.folder = "\(folder)/.child-\(UUID().uuidString)"
    try FileManager.default.createDirectory(
      atPath: self.folder, withIntermediateDirectories: true)
    id = try Self.spawn(words, in: folder, writing: self.folder)
  }

  /// Foundation's `Process` would hand down the signal mask of the thread that starts it, and test
  /// threads block the very signals that are tested here.
  private static func spawn(
    _ words: [String], in folder: String, writing target: String
  ) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    let created = O_WRONLY | O_CREAT | O_APPEND
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, "\(target)/output", created, 0o644)
    posix_spawn_file_actions_addopen(&actions, 2, "\(target)/errors", created, 0o644)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))
    var environment = ProcessInfo.processInfo.environment
    // Forces other kernels in some shells; a crash is seen by its signal, without a minute of trace.
    environment["OPENBLAS_CORETYPE"] = nil
    environment["OPENBLAS_L2_SIZE"] = nil
    environment["OPENBLAS_NUM_THREADS"] = "1"
    environment["SWIFT_BACKTRACE"] = "enable=no"
    environment["TERM"] = "dumb"
    let arguments = (["env", "-C", folder] + words).map { strdup($0) } + [nil]
    let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for text in arguments + variables { free(text) } }
    var id = pid_t()
    let status = posix_spawnp(&id, "env", &actions, &attributes, arguments, variables)
    guard status == 0 else {
      throw POSIXError(POSIXErrorCode(rawValue: status) ?? .ENOENT)
    }
    return id
  }

  func send(_ signal: Int32) { kill(id, signal) }

  var isRunning: Bool {
    end.withLock { end in
      if end != nil { return false }
      var status: Int32 = 0
      guard waitpid(id, &status, WNOHANG) == id else { return true }
      end = status
      return false
    }
  }

  /// Waits for the end; a child that takes too long is killed, with a failure.
  func wait() -> Outcome {
    let patience = ContinuousClock.now + .seconds(Self.limit)
    while isRunning && ContinuousClock.now < patience { usleep(2000) }
    if isRunning {
      Issue.record("\(words.joined(separator: " ")) is not over after \(Self.limit) s")
      for id in descendants { kill(id, SIGKILL) }
      send(SIGKILL)
      while isRunning { usleep(2000) }
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    func text(_ name: String) -> String {
      let bytes = FileManager.default.contents(atPath: "\(folder)/\(name)") ?? Data()
      return String(decoding: bytes, as: UTF8.self)
    }
    let status = end.withLock { $0 ?? 0 }
    let signal = status & 0x7F
    return Outcome(
      status: signal == 0 ? (status >> 8) & 0xFF : -signal, output: text("output"),
      errors: text("errors"), seconds: seconds)
  }

  /// Process numbers of this child's children, grandchildren and so on.
  var descendants: [Int32] {
    var parents: [Int32: Int32] = [:]
    for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
      guard let id = Int32(name),
        let status = FileManager.default.contents(atPath: "/proc/\(id)/status"),
        let line = String(decoding: status, as: UTF8.self).split(separator: "\n")
          .first(where: { $0.hasPrefix("PPid:") }),
        let parent = Int32(line.dropFirst(5).trimmingCharacters(in: .whitespaces))
      else { continue }
      parents[id] = parent
    }
    return parents.keys.filter { start in
      var id = start
      while let parent = parents[id], parent > 1 {
        if parent == self.id { return true }
        id = parent
      }
      return false
    }.sorted()
  }

  /// The processes of the ranks that mpirun started, in the order of the ranks: identifiers need not rise,
  /// they begin anew now and then.
  var ranks: [Int32] {
    let numbered = descendants.compactMap { id -> (rank: Int, id: Int32)? in
      let environment = FileManager.default.contents(atPath: "/proc/\(id)/environ") ?? Data()
      let name = "OMPI_COMM_WORLD_RANK="
      let value = environment.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        .first { $0.hasPrefix(name) }
      return value.flatMap { Int($0.dropFirst(name.count)) }.map { ($0, id) }
    }
    return numbered.sorted { $0.rank < $1.rank }.map(\.id)
  }
}

/// Whether a process is there and not merely waiting to be reaped.
func isAlive(_ id: pid_t) -> Bool {
  let status = FileManager.default.contents(atPath: "/proc/\(id)/status") ?? Data()
  let state = String(decoding: status, as: UTF8.self).split(separator: "\n")
    .first { $0.hasPrefix("State:") }
  return state.map { !$0.contains("Z") && !$0.contains("X") } ?? false
}

/// The programs that the tests run.
enum Program {
  /// `apus` of the same build as these tests.
  static let apus: String = {
    let tests = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    return URL(filePath: tests ?? CommandLine.arguments[0]).deletingLastPathComponent()
      .appending(path: "apus").path
  }()

  static let hasMPI = has("mpirun")

  static func has(_ name: String) -> Bool {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
      .contains { access("\($0)/\(name)", X_OK) == 0 }
  }

  /// As launch/environment.sh starts ranks: more than there may be cores, and dead ones end all.
  static let mpirun: [String] =
    [
      "mpirun", "--oversubscribe", "--bind-to", "none", "--mca", "odls_base_sigkill_timeout", "0",
      "--mca", "mpi_yield_when_idle", "1", "--mca", "btl_vader_single_copy_mechanism", "none",
    ] + (getuid() == 0 ? ["--allow-run-as-root"] : [])
}

/// How many ranks a command runs on, and of what kind.
enum Ranks: Sendable, CustomTestStringConvertible, CaseIterable {
  case one, twoProcesses, twoThreads

  /// Those that this machine has: without mpirun there are no processes.
  static var available: [Ranks] { allCases.filter { $0 != .twoProcesses || Program.hasMPI } }

  var testDescription: String {
    switch self {
    case .one: "1 rank"
    case .twoProcesses: "2 ranks under mpirun"
    case .twoThreads: "2 ranks in process"
    }
  }

  /// The whole command line of `apus` with these arguments.
  func words(_ arguments: [String]) -> [String] {
    switch self {
    case .one: [Program.apus] + arguments
    case .twoProcesses: Program.mpirun + ["-n", "2", Program.apus] + arguments
    case .twoThreads: [Program.apus] + arguments + ["--ranks-in-process", "2"]
    }
  }
}
