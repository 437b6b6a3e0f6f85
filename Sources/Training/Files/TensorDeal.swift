// Who writes which tensor into which file: the same answer for everyone who asks.

import Kernels

/// One file of a dealt set of tensors, and its writer.
public struct DealtFile: Sendable, Equatable {
  public let name: String
  public let writer: Int
  public let tensors: [TensorDescription]
}

/// Tensors dealt to writers by bytes, each writer's cut into files of bounded size.
///
/// A function of its arguments alone, so all writers agree without talking.
public struct TensorDeal: Sendable {
  /// In the order given: the order in which every writer walks through them.
  public let tensors: [TensorDescription]
  /// The writer of each tensor.
  public let writers: [Int]
  /// `KIND-00001-of-00002.safetensors` and so on, by writer; at least one, even of nothing.
  public let files: [DealtFile]

  /// The largest tensor first, each to the writer with the fewest bytes so far. A tensor larger
  /// than `fileBytes` gets a file of its own.
  public init(
    _ tensors: [TensorDescription], kind: String, writers count: Int, fileBytes: Int = 1 << 30
  ) {
    require(count > 0 && fileBytes > 0, "\(count) writers, files of \(fileBytes) bytes")
    self.tensors = tensors
    var loads = [Int](repeating: 0, count: count)
    var writers = [Int](repeating: 0, count: tensors.count)
    let largestFirst = tensors.indices.sorted {
      (-tensors[$0].bytes, $0) < (-tensors[$1].bytes, $1)
    }
    for index in largestFirst {
      let writer = loads.indices.min { (loads[$0], $0) < (loads[$1], $1) }!
      writers[index] = writer
      loads[writer] += tensors[index].bytes
    }
    self.writers = writers
    var shards: [(writer: Int, tensors: [TensorDescription])] = []
    for writer in 0..<count {
      var room = 0
      for (tensor, owner) in zip(tensors, writers) where owner == writer {
        if shards.last?.writer != writer || tensor.bytes > room {
          shards.append((writer, []))
          room = fileBytes
        }
        shards[shards.count - 1].tensors.append(tensor)
        room -= tensor.bytes
      }
    }
    if shards.isEmpty { shards.append((0, [])) }
    files = shards.enumerated().map { index, shard in
      DealtFile(
        name: Self.fileName(kind, index + 1, of: shards.count), writer: shard.writer,
        tensors: shard.tensors)
    }
  }

  static func fileName(_ kind: String, _ number: Int, of count: Int) -> String {
    func padded(_ number: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
    return "\(kind)-\(padded(number))-of-\(padded(count)).safetensors"
  }
}
