// Where the cases of other implementations lie, and what is fair to ask of each.

import Foundation
import Kernels
import Testing
import Training

/// A folder with a model, a batch and what transformers computed on it.
struct GoldenCase: CustomTestStringConvertible, Sendable {
  let folder: String
  /// `config.json` or `config.v4.json`: both styles say the same.
  var testDescription: String { (folder as NSString).lastPathComponent }

  var golden: TensorSource { get throws { try TensorSource(file: "\(folder)/golden.safetensors") } }

  /// The committed cases, and those of the folder that `APUS_GOLDENS` names or that lies beside the
  /// package.
  static let all: [GoldenCase] = folders.flatMap { folder in
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted().compactMap {
      let path = "\(folder)/\($0)"
      return FileManager.default.fileExists(atPath: "\(path)/golden.safetensors")
        ? GoldenCase(folder: path) : nil
    }
  }

  private static var folders: [String] {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let beside =
      ProcessInfo.processInfo.environment["APUS_GOLDENS"]
      ?? package.appendingPathComponent("../shared/goldens").path
    if !FileManager.default.fileExists(atPath: beside) {
      print("skipped: no further golden cases in \(beside)")
    }
    return [package.appendingPathComponent("Tests/Goldens/cases").path, beside]
  }
}

/// Bars of comparison, each with its reason.
enum Bar {
  /// Float32 against float32 of another library: tensors of a small model agree to some 1e-6 of
  /// their largest entry; the bar leaves room for another order of summation.
  static let otherLibrary = 1e-4
  /// Float64 losses against an independent float64 implementation: rounding alone.
  static let float64Loss = 1e-10
  /// Losses over optimiser steps in float32, where Adam divides by small numbers.
  static let trajectory = 1e-4
  /// Layouts, threads and accumulations in float64: the order of sums alone.
  static let layout = 1e-11
}

/// max|a − b| ÷ max|b|; 0 where both vanish.
func relativeError(_ a: [Double], _ b: [Double]) -> Double {
  var difference = 0.0
  var largest = 0.0
  for (x, y) in zip(a, b) {
    difference = (x - y).isNaN ? .infinity : max(difference, abs(x - y))
    largest = max(largest, abs(y))
  }
  return difference == 0 ? 0 : difference / max(largest, .leastNormalMagnitude)
}
