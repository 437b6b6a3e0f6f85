// What a checkpoint consists of: its files, their sizes and sums, and a sum of the list itself.

/// One file of a checkpoint as it was in memory when written.
public struct FileEntry: Sendable, Equatable {
  public let name: String
  public let bytes: Int
  public let sha256: String

  public init(name: String, bytes: Int, sha256: String) {
    self.name = name
    self.bytes = bytes
    self.sha256 = sha256
  }

  var json: JSON {
    ["name": .string(name), "bytes": .integer(Int64(bytes)), "sha256": .string(sha256)]
  }

  /// nil unless it has these three members, right in form, and no others.
  init?(json: JSON) {
    guard let object = json.asObject, object.names == ["name", "bytes", "sha256"],
      let name = object["name"]?.asString, isPlainFileName(name),
      let bytes = object["bytes"]?.asInteger, bytes >= 0,
      let sha256 = object["sha256"]?.asString, sha256.utf8.count == 64
    else { return nil }
    self.init(name: name, bytes: bytes, sha256: sha256)
  }

  /// Entries as bytes, to be sent from writer to writer.
  public static func encode(_ entries: [FileEntry]) -> [UInt8] {
    Array(JSON.array(entries.map(\.json)).compact.utf8)
  }

  /// What `encode` made.
  public static func decode(_ bytes: [UInt8]) throws -> [FileEntry] {
    let list = try JSON(parsing: bytes, source: "file entries").asArray ?? []
    return try list.map {
      guard let entry = FileEntry(json: $0) else {
        throw FileError("file entries", "\($0.compact) is none")
      }
      return entry
    }
  }
}

/// The file `manifest.json`: written last, so its presence says that all else was written.
struct Manifest: Sendable, Equatable {
  static let fileName = "manifest.json"
  static let format = "apus-checkpoint"
  static let version = 1

  let step: Int
  let files: [FileEntry]

  private var content: JSONObject {
    JSONObject([
      ("format", .string(Self.format)), ("version", .integer(Int64(Self.version))),
      ("step", .integer(Int64(step))), ("files", .array(files.map(\.json))),
    ])
  }

  /// The text, of which the last member is the sum of all before it.
  var bytes: [UInt8] {
    var content = content
    content["sha256"] = .string(Digest.sha256(Array(JSON.object(content).pretty.utf8)))
    return Array(JSON.object(content).pretty.utf8)
  }

  init(step: Int, files: [FileEntry]) {
    self.step = step
    self.files = files.sorted { $0.name < $1.name }
  }

  /// Throws unless the text is, byte for byte, what this version would write.
  init(parsing text: [UInt8], path: String) throws {
    let json = try JSON(parsing: text, source: path)
    guard json["format"]?.asString == Self.format else {
      throw FileError(path, "is no manifest of an Apus checkpoint: format is not \(Self.format)")
    }
    guard let version = json["version"]?.asInteger, version == Self.version else {
      throw FileError(
        path,
        "has version \(json["version"]?.compact ?? "none"); this build reads \(Self.version)")
    }
    guard let step = json["step"]?.asInteger, step >= 0, let list = json["files"]?.asArray else {
      throw FileError(path, "has no step or no list of files")
    }
    let files = try list.map {
      guard let entry = FileEntry(json: $0) else {
        throw FileError(path, "\($0.compact.prefix(200)) is no entry of name, bytes and sha256")
      }
      return entry
    }
    self.init(step: step, files: files)
    guard Set(files.map(\.name)).count == files.count else {
      throw FileError(path, "names a file twice")
    }
    guard bytes == text else {
      throw FileError(path, "does not match its own SHA-256: it was changed or damaged")
    }
  }
}
