// A run of any stage on one rank: what the command says of it, and how it ends.

import Parallel
import Training

/// How a run ended.
public enum RunOutcome: Sendable, Equatable {
  case finished
  /// Asked to stop: saved at this step, to go on with `--resume`.
  case stopped(step: Int)
}

/// One run of a stage on one rank, from the first step or from a checkpoint.
///
/// Left out: where ranks come from and where text goes; the command brings both.
public struct StageRun {
  public let stage: any Stage.Type
  /// Makes the stage on a rank.
  public var make: @Sendable (RunConfiguration, Communicator) throws -> any Stage
  public var configuration: RunConfiguration
  /// Go on from the newest complete checkpoint; without one the run starts anew.
  public var isResuming = false
  public var threads = 1
  /// Ranks that share this machine's memory.
  public var ranksOnThisMachine = 1
  /// Writes a timeline of all ranks and shows what their groups moved.
  public var isProfiling = false
  public var stop: StopRequest?
  /// What text on rank 0 is shown with.
  public var style: ScreenStyle
  public var print: @Sendable (String) -> Void
  /// Fields that must be equal on all ranks beside the run's own.
  public var handshake: [(name: String, value: String)] = []

  public init(
    _ stage: any Stage.Type, _ configuration: RunConfiguration, style: ScreenStyle,
    print: @escaping @Sendable (String) -> Void
  ) {
    self.stage = stage
    make = { try stage.init($0, over: $1) }
    self.configuration = configuration
    self.style = style
    self.print = print
  }

  /// Trains to the last step, or until asked to stop. Every rank of `world` calls it alike.
  public func run(on world: Communicator) throws -> RunOutcome {
    let run = try RunLoop(self, on: world)
    return try run.train()
  }
}
