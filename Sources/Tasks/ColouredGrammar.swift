// The grammar that the demonstrations of coloured words come from.

/// Draws texts such as `the bright river is very cold and a bread was near the music`.
///
/// Some clauses leave the topic, and colours are as often dark as bright: there is much to align.
struct ColouredGrammar {
  /// Places in the list of topics.
  let topics: [Int]
  var draws: KeyedDraws

  /// One to three clauses, as many as fit.
  mutating func text(atMost limit: Int) -> [String] {
    var words = clause()
    for _ in 0..<draws.integer(below: 3) {
      let next = [draws.element(of: ["and", "then"])] + clause()
      guard words.count + next.count <= limit else { break }
      words += next
    }
    return words
  }

  private mutating func clause() -> [String] {
    switch draws.integer(below: 6) {
    case 0: ["there", verb()] + thing(colourProbability: 0.7)
    case 1:
      thing(colourProbability: 0.4) + [verb(), draws.element(of: ["near", "with"])] + thing()
    default: thing(colourProbability: 0.4) + [verb()] + degree() + [colour()]
    }
  }

  private mutating func thing(colourProbability: Double = 0) -> [String] {
    let article = draws.element(of: ["the", "a", "some"])
    let colours = draws.isTrue(probability: colourProbability) ? [colour()] : []
    return [article] + colours + [topic()]
  }

  private mutating func verb() -> String { draws.element(of: ["is", "was"]) }

  private mutating func degree() -> [String] {
    draws.isTrue(probability: 0.3) ? [draws.element(of: ["very", "still"])] : []
  }

  private mutating func colour() -> String {
    let isBright = draws.isTrue(probability: 0.5)
    return draws.element(of: isBright ? ColouredWords.positive : ColouredWords.negative)
  }

  private mutating func topic() -> String {
    let place =
      draws.isTrue(probability: 0.7)
      ? draws.element(of: topics) : draws.integer(below: ColouredWords.topics.count)
    return ColouredWords.topics[place]
  }
}
