// Where the cases of the tokenizers library lie, and texts to try things on.

import Foundation
import Testing
import Text

/// A folder with a tokenizer and what the library does with it.
struct TokenizerCases: CustomTestStringConvertible, Sendable {
  let folder: String

  var testDescription: String { (folder as NSString).lastPathComponent }

  struct Case {
    let text: String
    let ids: [Int32]
    /// Where it differs from the text.
    let decoded: String?
  }

  func load() throws -> (tokenizer: Tokenizer, cases: [Case]) {
    let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/cases.json"))
    let file = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let cases = try #require(file["cases"] as? [[String: Any]]).map { entry in
      Case(
        text: try #require(entry["text"] as? String),
        ids: try #require(entry["ids"] as? [Int]).map { Int32($0) },
        decoded: entry["decoded"] as? String)
    }
    return (try Tokenizer(contentsOf: "\(folder)/tokenizer.json"), cases)
  }

  /// The committed cases, and those of the folder that `APUS_GOLDENS` names or that lies beside the
  /// package.
  static let all: [TokenizerCases] = folders.flatMap { folder in
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted().compactMap {
      let path = "\(folder)/\($0)"
      let hasBoth = ["tokenizer.json", "cases.json"].allSatisfy {
        FileManager.default.fileExists(atPath: "\(path)/\($0)")
      }
      return hasBoth ? TokenizerCases(folder: path) : nil
    }
  }

  private static var folders: [String] {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let beside =
      ProcessInfo.processInfo.environment["APUS_GOLDENS"]
      ?? package.appendingPathComponent("../shared/goldens").path
    if !FileManager.default.fileExists(atPath: beside) {
      print("skipped: no further tokenizer cases in \(beside)")
    }
    return [package.appendingPathComponent("Tests/Goldens/cases").path, beside]
  }
}

/// A generator whose numbers are the same in every run (SplitMix64, Steele et al. 2014).
struct Draws: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// Texts that are hard on tokenizers.
enum HardText {
  private static let pools = [
    "abcdefghij", "ABCDEFG", "0123456789", " ", "  \t", "\n\r", "'", "'sStTrReEvVmMlLdD",
    ".,;:!?-_()<>|/\\",
    "\u{a0}\u{2003}\u{3000}\u{2028}\u{85}\u{200b}\u{feff}", "éèüñçßøÅΩ", "Привет", "日本語漢字かなが",
    "한국어",
    "שלום", "नमस्ते", "😀🇺🇸🏽", "٠١٢½²Ⅷ①", "𝒳𝔸𠀀𐌰", "\u{1}\u{7f}\u{1b}",
  ].map { Array($0.unicodeScalars) }
  private static let marks = Array("\u{301}\u{308}\u{323}\u{327}\u{3099}\u{11a8}".unicodeScalars)
  private static let words = [
    "<|endoftext|>", "<|endoftext", "don't", "it'S", "the", " the", "\r\n", "  \n",
  ]

  static func make(_ length: Int, marks hasMarks: Bool = true, using draws: inout Draws) -> String {
    var text: [Unicode.Scalar] = []
    while text.count < length {
      switch Int.random(in: 0..<10, using: &draws) {
      case 0: text += words.randomElement(using: &draws)!.unicodeScalars
      case 1 where hasMarks: text.append(marks.randomElement(using: &draws)!)
      default:
        let pool = pools.randomElement(using: &draws)!
        for _ in 0..<Int.random(in: 1...4, using: &draws) {
          text.append(pool.randomElement(using: &draws)!)
        }
      }
    }
    return String(String.UnicodeScalarView(text))
  }

  /// Words with the frequencies of a language: the k-th as often as 1/k.
  static func zipf(bytes: Int, using draws: inout Draws) -> String {
    let vocabulary = (0..<20_000).map { _ in
      String(
        (0..<Int.random(in: 2...9, using: &draws)).map { _ in
          "etaoinshrdlucmfwypvbgkqjxz".randomElement(using: &draws)!
        })
    }
    var text = ""
    text.reserveCapacity(bytes + 64)
    while text.utf8.count < bytes {
      let rank = Int(pow(20_000, Double.random(in: 0..<1, using: &draws)))
      text += vocabulary[rank]
      text += rank % 11 == 0 ? ",\n" : " "
    }
    return text
  }
}

/// A folder that goes when the test is over.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "apus-text-\(UInt64.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and gives its path.
  func write(_ name: String, _ bytes: some Sequence<UInt8>) throws -> String {
    let file = URL(fileURLWithPath: "\(path)/\(name)")
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: file)
    return file.path
  }

  func write(_ name: String, _ text: String) throws -> String { try write(name, text.utf8) }
}

/// Compares without the canonical equivalence that `==` on strings means.
func areSameBytes(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }
