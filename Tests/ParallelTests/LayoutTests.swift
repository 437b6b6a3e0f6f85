// Layouts, coordinates and placements against brute force; no communication.

import Parallel
import Testing

@Suite struct LayoutTests {
  @Test(arguments: 1...8)
  func `all layouts are those whose sizes multiply`(ranks: Int) {
    var expected: Set<String> = []
    for data in 1...ranks {
      for tensor in 1...ranks where data * tensor == ranks {
        for expertData in 1...ranks {
          for expert in 1...ranks {
            for expertTensor in 1...ranks where expertData * expert * expertTensor == ranks {
              expected.insert(
                "data=\(data),tensor=\(tensor),expert-data=\(expertData),"
                  + "expert=\(expert),expert-tensor=\(expertTensor)")
            }
          }
        }
      }
    }
    let all = Layout.all(ranks: ranks)
    #expect(all.count == expected.count)
    #expect(Set(all.map(\.description)) == expected)
  }

  @Test(arguments: 1...8)
  func `coordinates count through both grids, tensor fastest`(ranks: Int) {
    for layout in Layout.all(ranks: ranks) {
      var rank = 0
      for data in 0..<layout.data {
        for tensor in 0..<layout.tensor {
          let position = MeshPosition(layout, rank: rank)
          #expect(position.coordinate(.data) == data && position.coordinate(.tensor) == tensor)
          rank += 1
        }
      }
      rank = 0
      for expertData in 0..<layout.expertData {
        for expert in 0..<layout.expert {
          for expertTensor in 0..<layout.expertTensor {
            let position = MeshPosition(layout, rank: rank)
            #expect(position.coordinate(.expertData) == expertData)
            #expect(position.coordinate(.expert) == expert)
            #expect(position.coordinate(.expertTensor) == expertTensor)
            rank += 1
          }
        }
      }
    }
  }

  @Test func `a written layout is read, data follows`() throws {
    let layout = try Layout("tensor=2, expert=4,expert-tensor=1", ranks: 8)
    #expect(
      layout.description == "data=4,tensor=2,expert-data=2,expert=4,expert-tensor=1")
    #expect(try Layout(layout.description, ranks: 8) == layout)
    #expect(try Layout("", ranks: 3).description.hasPrefix("data=3,tensor=1,expert-data=3"))
    #expect(try Layout(ranks: 6, tensor: 3, expert: 2).expertData == 3)
  }

  @Test func `an impossible layout is refused with the nearest possible ones`() {
    let error = #expect(throws: LayoutError.self) { try Layout("tensor=3,expert=4", ranks: 8) }
    let text = error?.description ?? ""
    #expect(text.contains("'tensor=3,expert=4' is impossible on 8 ranks"))
    #expect(text.contains("data=4,tensor=2,expert-data=2,expert=4,expert-tensor=1"))
    #expect(throws: LayoutError.self) { try Layout(ranks: 8, tensor: 2, data: 3) }
  }

  @Test(
    arguments: [
      ("tensr=2", "'tensr=2' names no axis"), ("tensor=two", "whole number of 1 or more"),
      ("tensor", "whole number of 1 or more"), ("tensor=0", "whole number of 1 or more"),
      ("tensor=2,tensor=2", "tensor is given twice"),
    ])
  func `a layout that cannot be read says why`(text: String, why: String) {
    let error = #expect(throws: LayoutError.self) { try Layout(text, ranks: 4) }
    #expect(error?.description.contains(why) == true)
  }

  @Test func `a position says who it is`() throws {
    let layout = try Layout("tensor=2,expert=4", ranks: 8)
    #expect(
      MeshPosition(layout, rank: 5).description
        == "rank 5 of 8: data 2, tensor 1; expert-data 1, expert 1")
  }

  @Test(arguments: 1...8)
  func `slices cover an array once for each group of replicas`(ranks: Int) {
    let placements: [(Placement, [Int])] = [
      (.whole, [5, 3]),
      (.split(0, over: .tensor), [10, 3]),
      (.split(1, over: .tensor), [2, 7]),
      (.split(0, over: .expert).split(1, over: .expertTensor), [8, 9, 2]),
      (.split(0, over: .expert).split(0, over: .expertTensor), [19, 2]),
      (.split(0, over: .tensor), [3, 2]),
    ]
    for layout in Layout.all(ranks: ranks) {
      for (placement, shape) in placements {
        var holders = [Int](repeating: 0, count: shape.reduce(1, *))
        for rank in 0..<ranks {
          let slice = placement.slice(of: shape, at: MeshPosition(layout, rank: rank))
          for index in holders.indices where contains(slice, index, shape) { holders[index] += 1 }
        }
        let parts = placement.splits.reduce(1) { $0 * layout[$1.axis] }
        #expect(holders == holders.map { _ in ranks / parts }, "\(layout) \(placement)")
      }
    }
  }

  @Test func `few heads are shared by neighbours and many are cut between them`() throws {
    let layout = try Layout("tensor=4", ranks: 4)
    func slices(heads: Int, width: Int) -> [Range<Int>] {
      (0..<4).map {
        Placement.split(0, over: .tensor, parts: heads)
          .slice(of: [heads * width, 3], at: MeshPosition(layout, rank: $0))[0]
      }
    }
    #expect(slices(heads: 2, width: 5) == [0..<5, 0..<5, 5..<10, 5..<10])
    #expect(slices(heads: 1, width: 5) == [0..<5, 0..<5, 0..<5, 0..<5])
    #expect(slices(heads: 6, width: 5) == [0..<10, 10..<20, 20..<25, 25..<30])
  }

  private func contains(_ slice: [Range<Int>], _ index: Int, _ shape: [Int]) -> Bool {
    var rest = index
    for dimension in shape.indices.reversed() {
      if !slice[dimension].contains(rest % shape[dimension]) { return false }
      rest /= shape[dimension]
    }
    return true
  }
}
