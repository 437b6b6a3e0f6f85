// How a command becomes ranks: mpirun's processes, threads of this process, or one rank.

import ArgumentParser
import Foundation
import Kernels
import Parallel
import Training

/// What every command whose ranks meet can be told of their collectives.
struct CheckingOptions: ParsableArguments {
  @Flag(
    help: """
      Compare before each collective what the ranks came for, and from which line: a mismatch is named \
      instead of hanging or corrupting. Slower.
      """)
  var checkCollectives = false
}

/// Options of every command that can run on several ranks.
struct RankOptions: ParsableArguments {
  @Option(
    help: "Run this many ranks as threads of one process, for debugging (instead of mpirun).")
  var ranksInProcess: Int?
  @OptionGroup var checking: CheckingOptions

  func validate() throws {
    if let ranksInProcess, !(1...256).contains(ranksInProcess) {
      throw ValidationError("--ranks-in-process is \(ranksInProcess); accepted: 1 to 256")
    }
    if ranksInProcess != nil && MPIEnvironment.isLaunched {
      throw ValidationError("--ranks-in-process is for one process; mpirun started several")
    }
  }

  /// Runs `body` on every rank; ends the process, on every rank, if it throws.
  func run(_ body: @escaping @Sendable (Communicator) throws -> Void) throws {
    if let ranksInProcess {
      do {
        _ = try InProcessRanks.run(
          ranksInProcess, isChecked: checking.checkCollectives, body)
      } catch let error as RankError where error.error is AgreedError {
        throw error.error
      } catch let error as RankError where error.error is QuietExit {
        throw error.error
      }
      return
    }
    try Self.runLaunched(isChecked: checking.checkCollectives, body)
  }

  /// Runs `body` on the ranks that mpirun started, or on one rank.
  static func runLaunched(
    isChecked: Bool = false, _ body: (Communicator) throws -> Void
  ) throws {
    let world = MPIEnvironment.start(isChecked: isChecked)
    do {
      try body(world)
    } catch let quiet as QuietExit {
      MPIEnvironment.finish()
      throw quiet
    } catch {
      guard MPIEnvironment.isLaunched else { throw error }
      world.end(after: error, code: Failure(error).status)
    }
  }
}

/// The option of every command whose model may be split over ranks.
struct LayoutOptions: ParsableArguments {
  @Option(
    help: """
      How ranks split the model, e.g. tensor=2,expert=4,expert-tensor=1; data and expert-data follow. \
      Without it the configuration's layout (a checkpoint's model: data alone).
      """)
  var layout: String?
}

extension RankOptions {
  /// Threads for each rank: `wanted`, or the processors of this machine shared by the ranks on it.
  static func threads(_ wanted: Int = 0, inProcess: Int? = nil) -> Int {
    if wanted > 0 { return wanted }
    return MachineProcessors.available(launched: MPIEnvironment.isLaunched)
      .threads(ranks: onThisMachine(inProcess: inProcess))
  }

  /// Ranks that run on this machine.
  static func onThisMachine(inProcess: Int?) -> Int {
    inProcess
      ?? ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_LOCAL_SIZE"].flatMap { Int($0) } ?? 1
  }
}
