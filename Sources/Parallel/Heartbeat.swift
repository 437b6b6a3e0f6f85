// A rank's last words: a small file in memory that says what it does, and outlives it.

import Glibc
import Kernels

/// What a heartbeat file holds, and where.
private enum Place {
  static let magic = 0
  static let process = 8
  static let namespace = 16
  static let pulse = 24
  static let step = 32
  static let inside = 40
  static let sequence = 48
  static let collective = 56
  static let bytes = 64
  static let line = 72
  static let host = TextPlace(offset: 128, capacity: 64)
  static let speaker = TextPlace(offset: 192, capacity: 192)
  static let group = TextPlace(offset: 384, capacity: 64)
  static let file = TextPlace(offset: 448, capacity: 128)

  static let fileBytes = 4096
  /// `APUSBEAT`
  static let mark = 0x4150_5553_4245_4154
}

/// Text in a fixed place, cut where it is too long, ended by a zero.
private struct TextPlace {
  let offset: Int
  let capacity: Int

  func write(_ text: UnsafeBufferPointer<UInt8>, to memory: UnsafeMutableRawPointer) {
    let count = min(text.count, capacity - 1)
    if count > 0 { memcpy(memory + offset, text.baseAddress!, count) }
    (memory + offset).storeBytes(of: 0, toByteOffset: count, as: UInt8.self)
  }

  func write(_ text: String, to memory: UnsafeMutableRawPointer) {
    var text = text
    text.withUTF8 { write($0, to: memory) }
  }

  func read(_ bytes: [UInt8]) -> String {
    String(decoding: bytes[offset..<offset + capacity].prefix { $0 != 0 }, as: UTF8.self)
  }
}

/// The heartbeat of a rank, written by its own thread alone.
///
/// Writing is a few stores into memory that the system keeps in a file, so what was written stays
/// readable when the rank stops or dies. Readers compare pulses; they read the rest once a rank has
/// stood still for long, so that nothing needs to be consistent while it changes.
// @unchecked: written by one thread; the memory lasts as long as the object.
final class Heartbeat: @unchecked Sendable {
  let path: String
  private let memory: UnsafeMutableRawPointer

  /// Makes the file in a folder that is there, or else should be `accepted`.
  init(path: String, speaker: String, accepted: String) throws {
    self.path = path
    func failure(_ code: Int32) -> HeartbeatError {
      HeartbeatError(path: path, code: code, accepted: code == ENOENT ? accepted : nil)
    }
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure(errno) }
    defer { close(descriptor) }
    // Written once, so that a full disk is an error here and not a signal at some later store.
    let empty = [UInt8](repeating: 0, count: Place.fileBytes)
    guard pwrite(descriptor, empty, empty.count, 0) == empty.count else {
      throw failure(errno)
    }
    let mapped = mmap(nil, Place.fileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let mapped, mapped != MAP_FAILED else { throw failure(errno) }
    memory = mapped
    let here = Whereabouts()
    set(Place.process, Int(getpid()))
    set(Place.namespace, here.namespace)
    Place.host.write(here.host, to: memory)
    write(speaker: speaker)
    set(Place.magic, Place.mark)
  }

  deinit { munmap(memory, Place.fileBytes) }

  /// Grows with everything that the rank gets done.
  var pulse: Int { memory.load(fromByteOffset: Place.pulse, as: Int.self) }

  /// Who the rank is in messages.
  func write(speaker: String) { Place.speaker.write(speaker, to: memory) }

  /// The rank goes on.
  func beat() { set(Place.pulse, pulse &+ 1) }

  func begin(step: Int) {
    set(Place.step, step)
    beat()
  }

  /// The rank comes to a collective.
  func enter(_ call: CollectiveCall, group: String) {
    set(Place.collective, Int(call.collective.rawValue))
    set(Place.sequence, call.sequence)
    set(Place.bytes, call.bytes)
    set(Place.line, Int(call.site.line))
    Place.group.write(group, to: memory)
    call.site.file.withUTF8Buffer { Place.file.write($0, to: memory) }
    set(Place.inside, 1)
    beat()
  }

  /// The rank has got through the collective.
  func leave() {
    set(Place.inside, 0)
    beat()
  }

  /// Lets other hosts see what a shared folder holds.
  func publish() { msync(memory, Place.fileBytes, MS_SYNC) }

  private func set(_ offset: Int, _ value: Int) {
    memory.storeBytes(of: value, toByteOffset: offset, as: Int.self)
  }
}

/// What a heartbeat file says.
package struct HeartbeatReading: Equatable, Sendable {
  package let process: Int
  /// Of process numbers.
  package let namespace: Int
  package let host: String
  /// `rank 5 of 8: data 2, tensor 1; expert-data 1, expert 1`
  package let speaker: String
  package let pulse: Int
  package let step: Int
  /// Whether the rank waits in its last collective.
  package let isInside: Bool
  /// Nil before the first collective.
  package let call: Call?

  package struct Call: Equatable, Sendable {
    package let collective: Collective
    package let group: String
    package let sequence: Int
    package let bytes: Int
    package let site: String

    package init(
      collective: Collective, group: String, sequence: Int, bytes: Int, site: String
    ) {
      self.collective = collective
      self.group = group
      self.sequence = sequence
      self.bytes = bytes
      self.site = site
    }
  }

  /// What a process here might say.
  package init(
    process: Int, host: String, speaker: String, step: Int, isInside: Bool, call: Call?
  ) {
    self.process = process
    self.host = host
    self.speaker = speaker
    self.step = step
    self.isInside = isInside
    self.call = call
    namespace = 0
    pulse = 0
  }

  /// Nil where there is no such file, or not yet.
  package init?(path: String) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: Place.fileBytes)
    guard pread(descriptor, &bytes, bytes.count, 0) == bytes.count else { return nil }
    func number(_ offset: Int) -> Int {
      bytes.withUnsafeBytes { $0.load(fromByteOffset: offset, as: Int.self) }
    }
    guard number(Place.magic) == Place.mark else { return nil }
    process = number(Place.process)
    namespace = number(Place.namespace)
    host = Place.host.read(bytes)
    speaker = Place.speaker.read(bytes)
    pulse = number(Place.pulse)
    step = number(Place.step)
    isInside = number(Place.inside) == 1
    let collective = UInt8(exactly: number(Place.collective)).flatMap(Collective.init(rawValue:))
    guard number(Place.sequence) > 0, let collective else {
      call = nil
      return
    }
    call = Call(
      collective: collective, group: Place.group.read(bytes), sequence: number(Place.sequence),
      bytes: number(Place.bytes), site: "\(Place.file.read(bytes)):\(number(Place.line))")
  }

  /// What the system says of the process; nil where it runs elsewhere.
  package var processState: ProcessState? {
    let here = Whereabouts()
    guard host == here.host && namespace == here.namespace else { return nil }
    return ProcessState(process: process)
  }
}

/// Whether a process can go on.
package enum ProcessState: Equatable, Sendable {
  case running, stopped, gone

  package init(process: Int) {
    var line = [UInt8](repeating: 0, count: 512)
    let descriptor = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
    defer { if descriptor >= 0 { close(descriptor) } }
    let count = descriptor >= 0 ? read(descriptor, &line, line.count) : 0
    // `4242 (name, which may hold anything) S …`
    let end = line.prefix(max(count, 0)).lastIndex(of: UInt8(ascii: ")")) ?? -3
    self =
      switch end + 2 < count ? line[max(end + 2, 0)] : 0 {
      case UInt8(ascii: "T"), UInt8(ascii: "t"): .stopped
      case UInt8(ascii: "Z"), UInt8(ascii: "X"), 0: .gone
      default: .running
      }
  }
}

/// This machine, and the numbering of its processes.
private struct Whereabouts {
  let host: String
  let namespace: Int

  init() {
    var name = [CChar](repeating: 0, count: 65)
    gethostname(&name, name.count - 1)
    host = name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    var information = stat()
    namespace = stat("/proc/self/ns/pid", &information) == 0 ? Int(information.st_ino) : 0
  }
}

/// A heartbeat file that cannot be made.
public struct HeartbeatError: Error, CustomStringConvertible {
  let path: String
  let code: Int32
  /// What would do, where that is known.
  let accepted: String?
  public var description: String {
    "\(path): cannot make the heartbeat file: \(String(cString: strerror(code)))"
      + (accepted.map { "; accepted: \($0)" } ?? "")
  }
}
