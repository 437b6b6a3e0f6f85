// Arrays that are split over ranks, made whole and taken apart.

import Kernels
import Tensors

extension ParameterSet {
  /// All of an array of which each rank has the slice that it has of `parameter`: on every rank.
  ///
  /// Takes memory for the whole on each rank; every rank calls it.
  public func whole(
    _ parameter: Parameter, _ slice: Tensor, on device: Device, _ mesh: ProcessMesh
  ) -> Tensor {
    let whole = device.tensor(parameter.shape)
    fill(whole.flat, 0, team: device.team)
    // One of those that hold the same slice gives it; the others' zeros change nothing.
    if mesh.replicas(of: parameter.placement).rank == 0 {
      let bytes = slice.precision.bytes
      for run in SliceRuns(parameter.slice, of: parameter.shape) {
        (whole.base + run.whole * bytes).copyMemory(
          from: slice.base + run.own * bytes, byteCount: run.count * bytes)
      }
    }
    mesh.world.sum(whole.flat, team: device.team)
    return whole
  }
}

extension Parameter {
  /// Copies what this rank holds of elements `first ..< first + count` of the whole array, which lie
  /// at `elements` in the parameter's precision.
  public func assign(_ elements: UnsafeRawBufferPointer, first: Int) {
    let bytes = value.precision.bytes
    let given = first..<first + elements.count / bytes
    for run in SliceRuns(slice, of: shape) {
      let common = (run.whole..<run.whole + run.count).clamped(to: given)
      guard !common.isEmpty else { continue }
      let own = run.own + common.lowerBound - run.whole
      (value.base + own * bytes).copyMemory(
        from: elements.baseAddress! + (common.lowerBound - first) * bytes,
        byteCount: common.count * bytes)
    }
  }
}
