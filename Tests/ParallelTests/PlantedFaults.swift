// Faults that end a whole job: planted here, run by CommandTests under an mpirun of their own.

import Foundation
import Parallel
import Testing

/// The fault that this process is to have, if any.
private let planted = ProcessInfo.processInfo.environment["APUS_PLANTED_FAULT"]

@Suite(.enabled(if: planted != nil)) struct PlantedFaults {
  @Test func `a rank does not do what the others do`() throws {
    let world = MPIEnvironment.start(isChecked: planted?.hasPrefix("checked") == true)
    let mesh = ProcessMesh(world, layout: try Layout("tensor=2", ranks: world.size))
    let isOdd = world.rank == world.size - 1
    let folder = ProcessInfo.processInfo.environment["APUS_PLANTED_FOLDER"]
    if world.rank == 0, let folder { try Watchdog.prepare(folder: folder) }
    world.barrier()
    let watchdog = try folder.map { try Watchdog(over: world, folder: $0, seconds: 1) }
    for step in 1...3 {
      world.begin(step: step)
      _ = mesh.communicator(.data).sum(1.0)
      if step == 3 && planted == "half-splits" {
        if isOdd {
          // What a split begins with; the others come to its second half.
          _ = world.maximum(0)
          while true { usleep(100_000) }
        }
        _ = world.split(color: 0, name: "half")
      } else if step == 3 && isOdd {
        switch planted {
        // The others are in the sum below.
        case "checked-skips", "skips": break
        case "checked-other": world.barrier()
        case "computes": while true { usleep(100_000) }
        default: fatalError("no fault is called '\(planted ?? "")'")
        }
      } else {
        _ = world.sum([1.0, 2.0])
      }
      _ = mesh.communicator(.tensor).maximum(step)
    }
    world.barrier()
    withExtendedLifetime(watchdog) {}
  }
}
