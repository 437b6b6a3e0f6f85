// The golden cases' own safetensors files, read and written again.

import Foundation
import Kernels
import Testing
import Training

/// The safetensors files of the golden cases, wherever those are; none in a clone without them.
let goldenFiles: [String] = {
  let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let folder =
    ProcessInfo.processInfo.environment["APUS_GOLDENS"]
    ?? package.appending(path: "../shared/goldens").standardizedFileURL.path
  let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
  return names.filter { $0.hasSuffix(".safetensors") }.sorted().map { "\(folder)/\($0)" }
}()

@Suite struct FilesGoldenTests {
  @Test(.enabled(if: !goldenFiles.isEmpty), arguments: goldenFiles)
  func `what others wrote is read, and written again holds the same`(path: String) throws {
    let source = try TensorSource(file: path)
    #expect(source.tensors.count > 0)
    let scratch = ScratchFolder()
    let copy = scratch.path + "/copy.safetensors"
    let writer = try SafetensorsWriter(
      copy, tensors: source.tensors, metadata: source.files[0].header.metadata)
    for tensor in source.tensors {
      var bytes = [UInt8](repeating: 0, count: tensor.bytes)
      try bytes.withUnsafeMutableBytes { try source.read(tensor.name, into: $0) }
      try bytes.withUnsafeBytes { try writer.write(tensor.name, $0) }
      if tensor.type.isFloat {
        #expect(try source.doubles(tensor.name).allSatisfy(\.isFinite), "\(tensor.name)")
      } else {
        let integers = try source.integers(tensor.name)
        #expect(integers.allSatisfy { $0 >= -100 }, "\(tensor.name)")
      }
    }
    try writer.finish()
    let dataBytes = source.tensors.reduce(0) { $0 + $1.bytes }
    #expect(bytesOfFile(copy).suffix(dataBytes) == bytesOfFile(path).suffix(dataBytes))
  }
}
