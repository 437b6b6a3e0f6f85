// Ends a job that does not go on, after saying what each rank did last.

import Foundation
import Glibc
import Kernels
import Synchronization

/// A thread beside each rank that calls no MPI and looks whether any rank goes on.
///
/// Ranks go on while they come to collectives, get through them, or begin steps; waiting inside a
/// collective is not going on. When some rank waits and none has gone on for the given time, one of
/// them tells every rank's last words and all end. A rank that computes for longer than that between
/// two collectives while others wait for it says so with `Communicator.goOn`.
public final class Watchdog {
  private let patrol: Patrol
  private let watch: CollectiveWatch

  /// Makes `folder`, empty; called by one rank before any begins to watch.
  public static func prepare(folder: String) throws {
    let files = FileManager.default
    if files.fileExists(atPath: folder) { try files.removeItem(atPath: folder) }
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  /// Begins to watch, as long as the object lives. All ranks of `world` do so, with the same prepared
  /// folder and time. The files stay where a rank is killed or stops.
  ///
  /// - Throws: `HeartbeatError` where the rank's file cannot be made; a folder that is not there is
  ///   another host's, and `accepted` says which one would do.
  public init(
    over world: Communicator, folder: String, seconds: Double,
    accepted: String = "a folder that all hosts share"
  ) throws {
    require(seconds > 0, "a watchdog that waits \(seconds) s")
    watch = world.watch
    let heartbeat = try Heartbeat(
      path: Patrol.path(folder, rank: world.rank), speaker: world.speaker, accepted: accepted)
    heartbeat.begin(step: watch.step)
    watch.heartbeat = heartbeat
    patrol = Patrol(heartbeat, over: world, folder: folder, seconds: seconds)
    patrol.start()
  }

  /// Ends the watch of a run that ends by itself, and removes what it left.
  deinit {
    watch.heartbeat = nil
    patrol.stop()
    unlink(patrol.heartbeat.path)
    // Succeeds on the last rank that comes here.
    rmdir(patrol.folder)
  }
}

/// What the watching thread knows and does.
// @unchecked: but for `thread`, which is the owner's, nothing changes, or it is atomic or guarded.
private final class Patrol: @unchecked Sendable {
  let heartbeat: Heartbeat
  /// Of the heartbeat files, one a rank.
  let folder: String
  private let ranks: Int
  private let seconds: Double
  private let transport: any Transport
  private let isOver = Atomic<Bool>(false)
  private var thread: pthread_t?
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init(_ heartbeat: Heartbeat, over world: Communicator, folder: String, seconds: Double) {
    self.heartbeat = heartbeat
    self.folder = folder
    self.seconds = seconds
    ranks = world.size
    transport = world.transport
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(wake, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(wake)
    pthread_mutex_destroy(mutex)
    wake.deallocate()
    mutex.deallocate()
  }

  static func path(_ folder: String, rank: Int) -> String {
    let digits = String(rank)
    return "\(folder)/rank-\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits)"
  }

  func start() {
    // Signals are for the rank's own thread.
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Patrol>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    require(status == 0, "pthread_create gave \(status)")
    self.thread = thread
  }

  func stop() {
    guard let thread else { return }
    self.thread = nil
    pthread_mutex_lock(mutex)
    isOver.store(true, ordering: .releasing)
    pthread_cond_signal(wake)
    pthread_mutex_unlock(mutex)
    pthread_join(thread, nil)
  }

  private func run() {
    let tick = min(max(seconds / 20, 0.02), 30)
    var silence = 0.0
    var last = nanoseconds()
    var ownPulse = heartbeat.pulse
    var pulses: [Int]?
    while !isOverAfter(seconds: tick) && !transport.isOver {
      let now = nanoseconds()
      // A job that was suspended as a whole has not been silent all the while.
      silence += min(Double(now - last) * 1e-9, 2 * tick)
      last = now
      heartbeat.publish()
      if heartbeat.pulse != ownPulse {
        ownPulse = heartbeat.pulse
        pulses = nil
        silence = 0
        continue
      }
      let readings = (0..<ranks).map { HeartbeatReading(path: Self.path(folder, rank: $0)) }
      let found = readings.map { $0?.pulse ?? -1 }
      if found != pulses {
        pulses = found
        silence = 0
      } else if silence >= seconds, readings.contains(where: { $0?.isInside == true }) {
        bark(readings)
      }
    }
  }

  /// Waits; true if the watch is to end.
  private func isOverAfter(seconds: Double) -> Bool {
    let end = nanoseconds() + Int(seconds * 1e9)
    var until = timespec()
    until.tv_sec = end / 1_000_000_000
    until.tv_nsec = end % 1_000_000_000
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !isOver.load(ordering: .acquiring) {
      if pthread_cond_timedwait(wake, mutex, &until) == ETIMEDOUT { return false }
    }
    return true
  }

  private func bark(_ readings: [HeartbeatReading?]) -> Never {
    // Whoever makes this file speaks; the others leave when it has had time to.
    let claim = open("\(folder)/report", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    if claim < 0 && errno == EEXIST {
      sleep(3)
      MPIEnvironment.endJob(code: 1)
    }
    let report = StallReport(
      readings: readings, states: readings.map { $0?.processState }, seconds: Int(seconds))
    let text = report.text
    text.withCString { _ = write(claim, $0, strlen($0)) }
    MPIEnvironment.endJob(saying: text, code: 1)
  }
}

extension Communicator {
  /// Tells that a step of the run begins, for messages about this rank.
  public func begin(step: Int) {
    watch.step = step
    watch.trace?.step = step
    watch.heartbeat?.begin(step: step)
  }

  /// Tells the watchdog that this rank goes on, where it computes for long between collectives.
  public func goOn() { watch.heartbeat?.beat() }
}
