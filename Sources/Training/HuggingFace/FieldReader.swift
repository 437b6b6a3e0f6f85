// Typed reading of config.json fields, with errors that name file, field and value.

import Kernels

/// Reads fields of one JSON object; null counts as missing unless said.
struct FieldReader {
  let path: String
  let json: JSON

  private func value(_ field: String) -> JSON? {
    guard let value = json[field], value != .null else { return nil }
    return value
  }

  private func wrong(_ field: String, _ value: JSON?, _ accepted: String) -> FileError {
    FileError(
      path,
      value.map { "\(field) is \($0.compact); accepted: \(accepted)" }
        ?? "has no field \"\(field)\"; accepted: \(accepted)")
  }

  func string(_ field: String) throws -> String {
    guard let text = value(field)?.asString else { throw wrong(field, json[field], "a string") }
    return text
  }

  /// `default` stands where the field is missing, `null` (if given) where it is null.
  func integer(_ field: String, default missing: Int? = nil, null: Int? = nil) throws -> Int {
    guard let found = json[field] else {
      guard let missing else { throw wrong(field, nil, "an integer") }
      return missing
    }
    if found == .null, let value = null ?? missing { return value }
    guard let integer = found.asInteger else { throw wrong(field, found, "an integer") }
    return integer
  }

  func integer(oneOf fields: [String]) throws -> Int {
    for field in fields where value(field) != nil { return try integer(field) }
    throw wrong(fields.joined(separator: "\" or \""), nil, "an integer")
  }

  func integers(_ field: String) throws -> [Int] {
    guard let found = value(field) else { return [] }
    guard let array = found.asArray else { throw wrong(field, found, "an array of integers") }
    return try array.map {
      guard let integer = $0.asInteger else { throw wrong(field, found, "an array of integers") }
      return integer
    }
  }

  func number(_ field: String, default missing: Double) throws -> Double {
    guard let found = value(field) else { return missing }
    guard let number = found.asNumber else { throw wrong(field, found, "a number") }
    return number
  }

  func boolean(_ field: String, default missing: Bool) throws -> Bool {
    guard let found = value(field) else { return missing }
    guard let boolean = found.asBoolean else { throw wrong(field, found, "true or false") }
    return boolean
  }

  func activation() throws -> Activation {
    let name = value("hidden_act") == nil ? "silu" : try string("hidden_act")
    guard let activation = Activation(rawValue: name == "swish" ? "silu" : name) else {
      throw wrong("hidden_act", json["hidden_act"], "\"silu\" or \"relu\"")
    }
    return activation
  }

  /// From `rope_parameters` (transformers 5) or `rope_theta` (before).
  func rotaryBase(default missing: Double) throws -> Double {
    var base: Double?
    for field in ["rope_parameters", "rope_scaling"] {
      guard let found = value(field) else { continue }
      let type = found["rope_type"] ?? found["type"] ?? "default"
      guard type == "default" else { throw wrong("\(field).rope_type", type, "\"default\"") }
      if base == nil, let theta = found["rope_theta"] {
        guard let number = theta.asNumber else {
          throw wrong("\(field).rope_theta", theta, "a number")
        }
        base = number
      }
    }
    if let base { return base }
    return try number("rope_theta", default: missing)
  }

  /// Refuses what changes the computation and is not built here.
  func refuseUnsupported() throws {
    for field in ["attention_dropout", "router_jitter_noise"] {
      if try number(field, default: 0) != 0 { throw wrong(field, json[field], "0") }
    }
    if let window = value("sliding_window"), try boolean("use_sliding_window", default: true) {
      let positions = try integer("max_position_embeddings", default: 0)
      guard let width = window.asInteger, positions > 0, width >= positions else {
        throw wrong("sliding_window", window, "null, or at least max_position_embeddings")
      }
    }
  }
}
