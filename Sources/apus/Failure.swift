// How the command ends when it does not succeed: one line on standard error, one exit status.

import ArgumentParser
import Parallel
import Foundation
import Training

/// Exit statuses of the command, all below 126 so that shells and mpirun pass them on.
enum ExitStatus: Int32 {
  /// Something failed, or a figure missed its bar.
  case failure = 1
  /// The command line or a configuration cannot be used.
  case usage = 64
  /// The run was asked to stop, saved itself, and is not finished: start it again with `--resume`.
  case savedAndNotFinished = 75
}

/// An argument that turns out wrong while the command runs.
struct ArgumentError: AgreedError, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Thrown to end with a status when everything has been said.
struct QuietExit: Error {
  let status: ExitStatus
}

/// What an error becomes.
struct Failure {
  /// One line; nil when everything has been said.
  let message: String?
  let status: Int32

  init(_ error: any Error) {
    switch error {
    case let quiet as QuietExit:
      message = nil
      status = quiet.status.rawValue
    case let step as StepFailure:
      message = Self.line(step)
      status = Failure(step.error).status
    case let code as ExitCode:
      message = nil
      status = code.rawValue
    default:
      message = Self.line(error)
      let isOfUsage = error is ArgumentError || error.isOfConfiguration
      status = (isOfUsage ? ExitStatus.usage : .failure).rawValue
    }
  }

  /// Ends the process.
  static func exit(with error: any Error) -> Never {
    // What argument parsing throws (wrong arguments, help, version) it words and ends by itself.
    let parsing = Apus.exitCode(for: error)
    if parsing == .validationFailure || parsing == .success {
      letRankZeroSpeak(status: parsing.rawValue)
      Apus.exit(withError: error)
    }
    let failure = Failure(error)
    if let message = failure.message {
      StandardStreams.write("apus: \(message)\n", to: STDERR_FILENO)
    }
    Foundation.exit(failure.status)
  }

  /// Under mpirun most often all ranks have the same command line, and rank 0 says what is wrong
  /// with it. mpirun ends everybody as soon as one rank fails: who still lives after a while has a
  /// command line of its own, and speaks.
  private static func letRankZeroSpeak(status: Int32) {
    let rank = ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_RANK"] ?? "0"
    guard rank != "0" else { return }
    if status == 0 { Foundation.exit(status) }
    sleep(2)
  }

  /// The error's own words on one line.
  private static func line(_ error: any Error) -> String {
    let words = (error as? CocoaError)?.localizedDescription ?? String(describing: error)
    return words.split(whereSeparator: \.isNewline).joined(separator: "; ")
  }
}
