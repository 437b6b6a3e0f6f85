// Log-probabilities of all completions under the model that a run starts from: computed once, kept in a
// file that is named for all they depend on.

import Parallel
import Tensors
import Training
import Transformer

/// One pass of the first weights over a file of pairs.
struct ReferencePass {
  let trainer: Trainer
  /// What the weights that the trainer's model has are known by.
  let start: String
  let folder: String

  /// By number of the pair, on every rank. Every rank calls it alike; throws `RanksFailed`.
  func logProbabilities(
    of file: EncodedFile<EncodedPair>, in data: PreferenceData
  ) throws -> Paired<Double> {
    let count = file.elements.count
    let key =
      "\(start) \(PreferenceData.fingerprint(file.elements)) \(trainer.device.precision.rawValue)"
    let path = "\(folder)/\(Digest.sha256(Array(key.utf8))).json"
    let world = trainer.mesh.world
    let kept = try world.agreeing {
      try world.rank == 0 ? read(path, count: 2 * count) : nil
    }
    let isKept = world.maximum(kept == nil ? 0 : 1) == 1
    // What a rank does not add is 0: sums over ranks are exact.
    let all = world.sum(
      isKept ? kept ?? Array(repeating: 0, count: 2 * count) : computed(file, data))
    if !isKept {
      try world.agreeing {
        if let place = all.firstIndex(where: { !$0.isFinite }) {
          throw FileError(
            file.path,
            "pair \(place % count + 1) has the log-probability \(all[place]) under the reference; "
              + "accepted: a model whose log-probabilities are finite")
        }
        if world.rank == 0 { try write(all, path) }
      }
    }
    return Paired(chosen: Array(all[..<count]), rejected: Array(all[count...]))
  }

  /// This rank's own pairs', chosen completions first.
  private func computed(_ file: EncodedFile<EncodedPair>, _ data: PreferenceData) -> [Double] {
    let count = file.elements.count
    var all = [Double](repeating: 0, count: 2 * count)
    for batch in data.batches(of: file, over: trainer.data) {
      trainer.mesh.world.goOn()
      let output = trainer.model.forward(
        batch.micro.batch, on: Tape(trainer.device, recording: false))
      let pairs = OwnPairs(
        trainer.model.sequenceLogProbabilities(
          output, labels: batch.micro.labels, batch.micro.batch), of: batch, on: trainer.model)
      let values = pairs.values
      for (place, number) in pairs.own(batch.numbers).enumerated() {
        all[number] = values.chosen[place]
        all[count + number] = values.rejected[place]
      }
    }
    return all
  }

  private func read(_ path: String, count: Int) throws -> [Double]? {
    guard Disk().exists(path) else { return nil }
    let json = try JSON(parsing: ReadableFile.contents(path), source: path)
    let numbers = (json.asArray ?? []).compactMap(\.asNumber)
    guard numbers.count == count else {
      throw FileError(
        path, "holds \(numbers.count) numbers instead of \(count); remove it, and it is made anew")
    }
    return numbers
  }

  private func write(_ numbers: [Double], _ path: String) throws {
    try Disk().makeFolder(folder)
    try Disk().replace(path, with: Array(JSON.array(numbers.map { .number($0) }).compact.utf8))
  }
}
