// Numbers, sizes and durations as people read them.

import Foundation

/// Short texts for figures on a screen. Not for files: they round.
public enum Figure {
  private static let powers: [Double] = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

  /// With `digits` after the point: `3.2143`. Beyond 10¹⁵ / 10^digits it turns scientific.
  public static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite else { return word(value) }
    let scaled = (abs(value) * powers[digits]).rounded()
    guard scaled < 1e15 else { return scientific(value, digits) }
    let whole = Int(scaled)
    let sign = value < 0 && whole > 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(whole)" }
    let base = Int(powers[digits])
    let fraction = String(whole % base)
    let zeros = String(repeating: "0", count: digits - fraction.count)
    return "\(sign)\(whole / base).\(zeros)\(fraction)"
  }

  /// `3.00e-04`.
  public static func scientific(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite else { return word(value) }
    var exponent = value == 0 ? 0 : Int(floor(log10(abs(value))))
    // In two steps, since 10^-exponent may be beyond a Double's range.
    var mantissa = value / pow(10, Double(exponent / 2)) / pow(10, Double(exponent - exponent / 2))
    if (abs(mantissa) * powers[digits]).rounded() >= 10 * powers[digits] {
      mantissa /= 10
      exponent += 1
    }
    let size = abs(exponent)
    return "\(fixed(mantissa, digits))e\(exponent < 0 ? "-" : "+")\(size < 10 ? "0" : "")\(size)"
  }

  /// With `digits` after the point where it fits into `width` characters, else scientific.
  public static func fitted(_ value: Double, _ digits: Int, width: Int) -> String {
    let text = fixed(value, digits)
    return text.utf8.count <= width ? text : scientific(value, 1)
  }

  /// Three digits and a thousand's letter: `985`, `12.3k`, `4.10M`.
  public static func count(_ value: Double) -> String {
    scaled(value, letters: ["", "k", "M", "G", "T", "P"])
  }

  /// Decimal units: `512 B`, `16.8 MB`.
  public static func bytes(_ value: Int) -> String {
    scaled(Double(value), letters: [" B", " kB", " MB", " GB", " TB", " PB"])
  }

  /// A share of 1: `71.4%`.
  public static func percent(_ share: Double, _ digits: Int = 1) -> String {
    share.isFinite ? fixed(share * 100, digits) + "%" : word(share)
  }

  /// On a clock: `0:42`, `1:03:20`, `2d 03:20:00`.
  public static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, abs(seconds) < 1e12 else { return word(seconds) }
    let whole = Int(max(0, seconds).rounded())
    let (days, hours, minutes) = (whole / 86400, whole / 3600 % 24, whole / 60 % 60)
    let tail = "\(twoDigits(minutes)):\(twoDigits(whole % 60))"
    if days > 0 { return "\(days)d \(twoDigits(hours)):\(tail)" }
    if hours > 0 { return "\(hours):\(tail)" }
    return "\(minutes):\(twoDigits(whole % 60))"
  }

  /// A short time with its unit: `4.21 ms`, `1.93 s`; from two minutes on, on a clock.
  public static func interval(_ seconds: Double) -> String {
    guard seconds.isFinite else { return word(seconds) }
    if seconds >= 119.5 { return duration(seconds) }
    if seconds >= 1 || seconds == 0 { return significant(seconds) + " s" }
    return significant(seconds * 1e3) + " ms"
  }

  /// Three digits.
  private static func significant(_ value: Double) -> String {
    let size = abs(value)
    return fixed(value, size < 9.995 ? 2 : size < 99.95 ? 1 : 0)
  }

  private static func scaled(_ value: Double, letters: [String]) -> String {
    guard value.isFinite else { return word(value) }
    var rest = value
    var letter = 0
    while abs(rest) >= 999.5, letter < letters.count - 1 {
      rest /= 1000
      letter += 1
    }
    let isWhole = letter == 0 && rest == rest.rounded()
    return (isWhole ? fixed(rest, 0) : significant(rest)) + letters[letter]
  }

  private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

  private static func word(_ value: Double) -> String {
    value.isNaN ? "NaN" : value < 0 ? "-inf" : "inf"
  }
}
