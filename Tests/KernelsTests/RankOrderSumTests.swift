// The sum in rank order against additions one by one, bit for bit.

import Kernels
import Testing

@Suite struct RankOrderSumTests {
  @Test(arguments: Precision.allCases, [0, 1, 15, 16, 17, 1001, 200_003])
  func `sources are added in their order, whoever adds`(precision: Precision, count: Int) {
    for sources in [1, 2, 3, 5] {
      for threads in [0, 1, 3] {
        let shape = Shape(rows: 1, columns: count, gap: 0, precision: precision)
        let samples = (0..<sources).map { Sample(random: UInt64($0 + 7), shape) }
        let result = Sample(for: shape)
        let team = threads == 0 ? nil : ThreadTeam(size: threads)
        let expected = (0..<count).map { index in
          samples.dropFirst().reduce(samples[0][0, index]) { total, sample in
            precision == .float32
              ? Double(Float(total) + Float(sample[0, index])) : total + sample[0, index]
          }
        }
        sumInOrder(samples.map(\.matrix), into: result.matrix, team: team)
        let wrong = (0..<count).first { result[0, $0] != expected[$0] }
        #expect(wrong == nil, "\(sources) sources, \(threads) threads")
        // In place of one of the sources.
        sumInOrder(samples.map(\.matrix), into: samples[sources - 1].matrix, team: team)
        let wrongInPlace = (0..<count).first { samples[sources - 1][0, $0] != expected[$0] }
        #expect(wrongInPlace == nil, "\(sources) sources in place, \(threads) threads")
      }
    }
  }
}
