// The known name that a mistyped one most likely meant.

/// The nearest of `paths` by edit distance, hyphens, underscores and case aside.
///
/// Within a section a third of the letters may differ; a name in another section must be spelled
/// almost right. Names in the section of `wanted` and below it go before all others. Nil if nothing
/// is near.
func nearestName(to wanted: String, among paths: [String]) -> String? {
  let word = folded(lastName(wanted))
  let section = wanted.dropLast(lastName(wanted).count)
  var best: (path: String, isOutside: Int, distance: Int)?
  for path in paths {
    let here = editDistance(folded(wanted), folded(path))
    let elsewhere = editDistance(word, folded(lastName(path)))
    // Compared as halves, so that of two equally near names the one that is no section deeper wins.
    var distance = Int.max
    if here <= max(1, word.count / 3) { distance = 2 * here }
    if elsewhere <= word.count / 6 { distance = min(distance, 2 * elsewhere + 1) }
    let isOutside = path.hasPrefix(section) ? 0 : 1
    if distance < .max, (isOutside, distance) < (best?.isOutside ?? 2, best?.distance ?? 0) {
      best = (path, isOutside, distance)
    }
  }
  return best?.path
}

private func lastName(_ path: String) -> Substring {
  path.split(separator: ".").last ?? ""
}

private func folded(_ name: some StringProtocol) -> [Character] {
  name.lowercased().filter { $0 != "_" && $0 != "-" }
}

/// Fewest insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
package func editDistance(_ a: [Character], _ b: [Character]) -> Int {
  var beforeLast: [Int] = []
  var last = Array(0...b.count)
  for i in 0..<a.count {
    var row = [i + 1]
    for j in 0..<b.count {
      var distance = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
        distance = min(distance, beforeLast[j - 1] + 1)
      }
      row.append(distance)
    }
    beforeLast = last
    last = row
  }
  return last[b.count]
}
