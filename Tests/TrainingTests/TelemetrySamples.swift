// Records and folders for the telemetry tests.

import Foundation
import Training

/// A folder that goes away with the test.
final class TelemetryFolder {
  let path: String

  init() throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("apus-telemetry-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    path = folder.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func bytes(_ name: String) throws -> [UInt8] {
    try Array(Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
  }

  func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

  func write(_ text: String, to name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
  }
}

/// A plausible run: a falling, noisy loss, warm-up and decay, two ranks.
enum TelemetrySample {
  static func step(_ step: Int, of total: Int = 300, seconds: Double = 0.25) -> StepRecord {
    let progress = Double(step) / Double(total)
    let noise = sin(Double(step) * 12.9898) * 0.12
    let loss = 3.1 + 5.2 * exp(-9 * progress) + noise
    return StepRecord(
      step: step, of: total,
      losses: LossTerms(
        perToken: loss, balance: 1.04, z: 4.4, bitsPerCharacter: loss * 0.52),
      learningRate: 3e-3 * min(1, progress * 20) * (1 - 0.9 * progress),
      gradientNorm: 0.4 + exp(-12 * progress) * 3 + abs(noise), tokens: 4096,
      timing: StepTiming(
        seconds: seconds, shareOfPeak: 0.714, forward: 0.3 * seconds, backward: 0.55 * seconds,
        reduce: 0.06 * seconds, update: 0.05 * seconds, data: 0.01 * seconds),
      collectives: [
        CollectiveUse("exchange", calls: 2, bytes: 8_400_000),
        CollectiveUse("all_gather", calls: 2, bytes: 8_400_000),
      ])
  }

  static func evaluation(_ step: Int, of total: Int = 300) -> EvaluationRecord {
    let loss = 3.22 + 5.1 * exp(-9 * Double(step) / Double(total))
    return EvaluationRecord(
      step: step, loss: loss, bitsPerCharacter: loss * 0.49, tokens: 120_000, seconds: 1.5)
  }

  static func layer(
    _ layer: Int = 1, counts: [Int], perToken: Int = 2, balance: Double = 1.04, z: Double = 4.4
  ) -> LayerRouting {
    let choices = counts.reduce(0, +)
    return LayerRouting(
      layer: layer, counts: counts,
      probabilities: counts.map { Double($0) / Double(max(choices, 1)) },
      tokens: choices / perToken, balance: balance, z: z)
  }

  static func router(_ step: Int) -> RouterRecord {
    RouterRecord(
      step: step,
      layers: [
        layer(0, counts: [1024, 980, 1060, 1010, 1040, 1000, 1030, 1048]),
        layer(1, counts: [2048, 512, 1024, 256, 1536, 700, 0, 2116], balance: 1.31, z: 5.2),
      ])
  }
}
