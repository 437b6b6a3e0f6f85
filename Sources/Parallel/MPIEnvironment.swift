// The start and the end of MPI in a process, and the way out when a rank fails.

import CMPI
import Glibc
import Kernels

/// MPI as `mpirun` started it, or a world of one where nobody did.
public enum MPIEnvironment {
  /// Whether `mpirun` started this process.
  public static var isLaunched: Bool { getenv("OMPI_COMM_WORLD_SIZE") != nil }

  /// The world of this launch; without `mpirun` a world of one, and MPI is never started.
  ///
  /// Called before the process starts other threads; called again, it makes another communicator
  /// over the same ranks. MPI may then be used from any one thread at a time. At exit with status 0
  /// MPI is finalised, which waits for the other ranks; at exit with another status all ranks end
  /// with it. Ranks that agreed to end with a status other than 0 call `finish` first.
  ///
  /// Checked ranks compare what they came for before each collective: slower, and a mismatch is
  /// named instead of hanging or corrupting. Ranks that are not all checked are ended here.
  public static func start(isChecked: Bool = false) -> Communicator {
    guard isLaunched else { return .alone() }
    var initialised: Int32 = 0
    MPI_Initialized(&initialised)
    if initialised == 0 { initialise() }
    var world: MPI_Comm? = MPI_COMM_NULL
    MPI_Comm_dup(MPI_COMM_WORLD, &world)
    let transport = MPITransport(world!)
    requireAllChecked(transport, isChecked)
    return Communicator(transport, name: "world", isChecked: isChecked)
  }

  /// The one exchange that is never checked: checked and unchecked ranks would part at the first.
  private static func requireAllChecked(_ transport: MPITransport, _ isChecked: Bool) {
    var checked = [UInt8](repeating: isChecked ? 1 : 0, count: transport.size)
    checked.withUnsafeMutableBytes {
      transport.allGather($0.baseAddress!, counts: [Int](repeating: 1, count: transport.size))
    }
    guard Set(checked).count > 1 else { return }
    let sides = [UInt8(0), 1].map { value in checked.indices.filter { checked[$0] == value } }
    let world = Communicator(transport, name: "world")
    world.end(
      after: HandshakeError(
        field: "checking of collectives",
        sides: [.init(value: "off", ranks: sides[0]), .init(value: "on", ranks: sides[1])]))
  }

  private static func initialise() {
    var provided: Int32 = 0
    MPI_Init_thread(nil, nil, Int32(MPI_THREAD_SERIALIZED), &provided)
    require(
      provided >= Int32(MPI_THREAD_SERIALIZED),
      "MPI offers thread level \(provided), serialized needed")
    on_exit({ status, _ in MPIEnvironment.leave(status: status) }, nil)
  }

  /// Finalises MPI, if it was started: waits until every rank does so.
  public static func finish() {
    if isRunning { MPI_Finalize() }
  }

  static var isRunning: Bool {
    var initialised: Int32 = 0
    var finalised: Int32 = 0
    MPI_Initialized(&initialised)
    MPI_Finalized(&finalised)
    return initialised != 0 && finalised == 0
  }

  /// What happens when the process leaves by `exit` or by returning from `main`.
  private static func leave(status: Int32) {
    guard isRunning else { return }
    if status == 0 {
      MPI_Finalize()
    } else {
      endJob(code: status)
    }
  }

  /// Writes `text` on standard error and ends every rank, also when nobody reads it.
  static func endJob(saying text: String, code: Int32) -> Never {
    signal(SIGALRM) { _ in MPIEnvironment.endJob(code: 1) }
    alarm(3)
    text.withCString { _ = write(STDERR_FILENO, $0, strlen($0)) }
    endJob(code: code)
  }

  /// Ends every rank: mpirun kills the others when one leaves without finalising.
  ///
  /// Not by MPI_Abort: its message to mpirun races with this process' death, and then 5 of 40 times
  /// mpirun 4.1.4 itself died or hung; so it did 0 of 60 times.
  static func endJob(code: Int32) -> Never {
    // mpirun passes code & 0xFF on, so a multiple of 256 would count as success.
    _exit((1...125).contains(code) ? code : 1)
  }
}

/// An error that every rank of a run throws together, so that one of them is enough to report it.
public protocol AgreedError: Error {}

/// A rank's last words.
struct FaultReport {
  /// Who speaks: `rank 5 of 8: data 2, tensor 1; expert-data 1, expert 1`. Not said of an error
  /// that all share.
  let speaker: String
  let error: any Error

  var text: String { error is AgreedError ? "apus: \(error)\n" : "apus: \(speaker): \(error)\n" }

  /// Writes the report on standard error and ends all ranks, also when nobody reads it.
  func endProcess(code: Int32) -> Never { MPIEnvironment.endJob(saying: text, code: code) }
}
