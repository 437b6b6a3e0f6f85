// Ranks as threads of one process, for debugging, sanitizers and tests.

import Glibc
import Kernels
import Synchronization

/// Runs the same body once a rank, each rank a thread with a communicator of its own.
///
/// Threads, never tasks: a barrier among tasks of a fixed pool hangs.
public enum InProcessRanks {
  /// Bytes of stack a rank gets.
  private static let stackBytes = 64 << 20

  /// What `body` returned on each rank, in rank order.
  ///
  /// When a rank throws, the others end at their next collective, as processes would, and the
  /// first error is thrown. So does a run whose ranks all wait for each other, or meet different
  /// collectives. What an ended thread owned is not freed. Checked ranks compare what they came for
  /// before each collective, which names the lines that differ.
  public static func run<Result: Sendable>(
    _ count: Int, isChecked: Bool = false,
    _ body: @escaping @Sendable (Communicator) throws -> Result
  ) throws -> [Result] {
    require(count >= 1, "\(count) ranks")
    let run = ThreadRun(ranks: count)
    let group = ThreadGroup(members: Array(0..<count), run: run)
    let results = ResultSlots<Result>(count: count)
    var threads: [pthread_t] = []
    for rank in 0..<count {
      let start = RankStart {
        let world = Communicator(
          ThreadTransport(group: group, rank: rank), name: "world", isChecked: isChecked)
        do {
          results[rank] = try body(world)
          run.rankIsDone()
        } catch {
          run.fail(RankError(speaker: world.speaker, error: error))
        }
      }
      threads.append(startThread(start))
    }
    for thread in threads { pthread_join(thread, nil) }
    if let failure = run.failure { throw failure }
    return (0..<count).map { results[$0]! }
  }

  private static func startThread(_ start: RankStart) -> pthread_t {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, stackBytes)
    var thread = pthread_t()
    let status = pthread_create(
      &thread, &attributes,
      { argument in
        Unmanaged<RankStart>.fromOpaque(argument!).takeRetainedValue().body()
        return nil
      }, Unmanaged.passRetained(start).toOpaque())
    require(status == 0, "pthread_create gave \(status)")
    return thread
  }
}

/// An error of one rank, with who it was.
public struct RankError: Error, CustomStringConvertible {
  /// `rank 5 of 8: data 2, tensor 1; expert-data 1, expert 1`
  public let speaker: String
  public let error: any Error
  public var description: String { "\(speaker): \(error)" }
}

private final class RankStart: Sendable {
  let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

// @unchecked: each slot is written by its rank's thread alone and read after that was joined.
private final class ResultSlots<Value>: @unchecked Sendable {
  private let slots: UnsafeMutablePointer<Value?>
  private let count: Int

  init(count: Int) {
    self.count = count
    slots = .allocate(capacity: count)
    slots.initialize(repeating: nil, count: count)
  }

  deinit {
    slots.deinitialize(count: count)
    slots.deallocate()
  }

  subscript(rank: Int) -> Value? {
    get { slots[rank] }
    set { slots[rank] = newValue }
  }
}

/// What all threads of one run share: whether it failed, and who waits.
final class ThreadRun: Sendable {
  private let ranks: Int
  private let failed = Atomic<Bool>(false)
  private let firstFailure = Mutex<RankError?>(nil)
  private let done = Atomic<Int>(0)
  /// Ranks in a barrier that is not complete; taken off by whoever completes it.
  private let waiting = Atomic<Int>(0)

  init(ranks: Int) { self.ranks = ranks }

  var isFailed: Bool { failed.load(ordering: .acquiring) }
  var failure: RankError? { firstFailure.withLock { $0 } }

  /// No rank can go on: each is done or waits.
  var isStuck: Bool {
    waiting.load(ordering: .sequentiallyConsistent) + done.load(ordering: .sequentiallyConsistent)
      >= ranks
  }

  func rankIsDone() { done.add(1, ordering: .sequentiallyConsistent) }
  func wait() { waiting.add(1, ordering: .sequentiallyConsistent) }
  func stopWaiting(_ count: Int) { waiting.subtract(count, ordering: .sequentiallyConsistent) }

  func fail(_ error: RankError) {
    firstFailure.withLock { if $0 == nil { $0 = error } }
    failed.store(true, ordering: .releasing)
  }
}
