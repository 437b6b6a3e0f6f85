// `apus verify`: proofs that the gradients are right, on this machine.

import ArgumentParser
import Foundation
import Kernels
import Tensors
import Training
import Transformer

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Proves that gradients are right.",
    subcommands: [GradientsCommand.self, LayoutsCommand.self])
}

struct GradientsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gradients",
    abstract:
      "Compares every operation and whole small models with central differences, in float64.",
    discussion: """
      The relative error is max|a - b| / max(max|b|, 1e-6 x the largest gradient entry). The exit \
      status is not 0 if the worst is beyond the bar.
      """)

  @Option(help: "Largest relative error that passes.")
  var bar = 1e-7

  @Flag(help: "Print one JSON object a line instead of a table.")
  var json = false

  func run() throws {
    let device = try Device(precision: .float64, threads: RankOptions.threads())
    var all: [GradientError] = []
    func take(_ name: String, _ errors: [GradientError]) {
      all += errors
      say(line(name, largest(of: errors)))
    }
    if !json {
      say(
        "relative error   elements  what (worst operand or parameter, element: analytic, numeric)")
    }
    for operation in OperationCase.all { take(operation.name, operation.check(on: device)) }
    for model in ModelCase.all { take(model.name, try model.check(on: device)) }
    let worst = largest(of: all)
    let compared = all.reduce(0) { $0 + $1.count }
    let passes = worst.relative <= bar
    if json {
      say(
        JSON.object(
          JSONObject([
            ("compared", .integer(Int64(compared))), ("worst", number(worst.relative)),
            ("bar", .number(bar)), ("passes", .boolean(passes)),
          ])
        ).compact)
    } else {
      say(
        "\(compared) gradient entries; worst relative error "
          + "\(Figure.scientific(worst.relative, 2)) (\(worst.name)); bar "
          + "\(Figure.scientific(bar, 0)): \(passes ? "passes" : "FAILS")")
    }
    if !passes { throw QuietExit(status: .failure) }
  }

  /// The largest error; NaN ranks above all numbers.
  private func largest(of errors: [GradientError]) -> GradientError {
    func rank(_ error: GradientError) -> Double {
      error.relative.isNaN ? .infinity : error.relative
    }
    return errors.max { rank($0) < rank($1) }!
  }

  private func number(_ value: Double) -> JSON { value.isFinite ? .number(value) : .null }

  private func line(_ name: String, _ error: GradientError) -> String {
    if json {
      return JSON.object(
        JSONObject([
          ("case", .string(name)), ("worst", .string(error.name)),
          ("relative", number(error.relative)), ("index", .integer(Int64(error.worstIndex))),
          ("analytic", number(error.analytic)), ("numeric", number(error.numeric)),
        ])
      ).compact
    }
    let count = String(error.count)
    return
      "\(Figure.scientific(error.relative, 2).padding(toLength: 14, withPad: " ", startingAt: 0))"
      + "\(String(repeating: " ", count: max(0, 10 - count.count)))\(count)  \(error.name)"
      + " [\(error.worstIndex)]: \(Figure.scientific(error.analytic, 6)), "
      + "\(Figure.scientific(error.numeric, 6))"
  }
}
