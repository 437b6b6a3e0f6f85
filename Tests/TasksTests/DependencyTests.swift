// Whether the gold rewards are out of reach of everything that trains.

import Foundation
import Testing

@Suite struct `Dependence on Tasks` {
  static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// Names of each target's direct dependencies, products of packages left out.
  static func dependencies(in manifest: String) -> [String: Set<String>] {
    let declarations = manifest.split(
      separator: /\.(?:target|executableTarget|testTarget|systemLibrary)\(/
    ).dropFirst()
    return declarations.reduce(into: [:]) { found, declaration in
      guard let name = declaration.firstMatch(of: /name:\s*"([^"]+)"/)?.1 else { return }
      let list = declaration.firstMatch(of: /dependencies:\s*\[([^\]]*)\]/)?.1 ?? ""
      let own = list.replacing(/\.product\([^)]*\)/, with: "")
      found[String(name)] = Set(own.matches(of: /"([^"]+)"/).map { String($0.1) })
    }
  }

  /// Targets that reach Tasks, directly or through others.
  static func dependents(in manifest: String) -> Set<String> {
    let direct = dependencies(in: manifest)
    var reaching: Set<String> = []
    var before = -1
    while reaching.count != before {
      before = reaching.count
      for (target, known) in direct where !known.isDisjoint(with: reaching.union(["Tasks"])) {
        reaching.insert(target)
      }
    }
    return reaching
  }

  @Test func `nothing but the command and tests depends on Tasks`() throws {
    let manifest = try String(
      contentsOf: Self.root.appending(path: "Package.swift"), encoding: .utf8)
    let declared = Self.dependencies(in: manifest)
    #expect(declared["Stages"]?.contains("Training") == true)
    #expect(declared["Training"]?.contains("Transformer") == true)
    #expect(declared["Tasks"] == ["Kernels"])
    let dependents = Self.dependents(in: manifest)
    #expect(dependents.isSuperset(of: ["apus", "TasksTests"]))
    #expect(dependents.allSatisfy { $0 == "apus" || $0.hasSuffix("Tests") })
  }

  @Test(arguments: ["Training", "Stages", "Transformer"])
  func `a dependence of what trains would be seen`(target: String) throws {
    let manifest = try String(
      contentsOf: Self.root.appending(path: "Package.swift"), encoding: .utf8)
    let start = try #require(manifest.firstRange(of: try Regex("name: \"\(target)\",\\s*depend")))
    let list = try #require(manifest[start.upperBound...].firstIndex(of: "["))
    var changed = manifest
    changed.insert(contentsOf: "\"Tasks\", ", at: manifest.index(after: list))
    let dependents = Self.dependents(in: changed)
    #expect(dependents.contains(target) && dependents.contains("Stages"))
  }

  // SwiftPM lets a file import a module that its target does not declare, if it was built before.
  @Test func `no other source imports Tasks`() throws {
    let sources = Self.root.appending(path: "Sources")
    let files = try #require(
      FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
    ).compactMap { $0 as? URL }.filter { $0.pathExtension == "swift" }
    #expect(files.count > 100)
    for file in files {
      let target = file.path.dropFirst(sources.path.count + 1).prefix { $0 != "/" }
      guard target != "apus" && target != "Tasks" else { continue }
      let text = try String(contentsOf: file, encoding: .utf8)
      #expect(text.firstMatch(of: /import\s+Tasks\b/) == nil, "\(file.path)")
    }
  }
}
