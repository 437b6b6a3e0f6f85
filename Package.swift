// swift-tools-version: 6.1
import PackageDescription

// Each target knows only those to its left:
// CBLAS → Kernels → Tensors → Parallel (← CMPI) → Transformer → Training → Stages → apus
//                              Text ────────────────────────↗        Tasks ──↗
let package = Package(
  name: "Apus",
  products: [
    .executable(name: "apus", targets: ["apus"]),
    .library(name: "Transformer", targets: ["Transformer"]),
    .library(name: "Training", targets: ["Training"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
  ],
  targets: [
    .systemLibrary(name: "CBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .target(name: "Kernels", dependencies: ["CBLAS"]),
    .target(name: "Tensors", dependencies: ["Kernels"]),
    .target(name: "Parallel", dependencies: ["CMPI", "Tensors", "Kernels"]),
    .target(name: "Transformer", dependencies: ["Parallel", "Tensors", "Kernels"]),
    .target(name: "Text"),
    .target(
      name: "Training",
      dependencies: [
        "Transformer", "Parallel", "Tensors", "Kernels", "Text", "CCrypto",
        .product(name: "Yams", package: "Yams"),
      ]),
    .target(
      name: "Stages", dependencies: ["Training", "Transformer", "Parallel", "Tensors", "Text"]),
    .target(name: "Tasks", dependencies: ["Kernels"]),
    .executableTarget(
      name: "apus",
      dependencies: [
        "Stages", "Tasks", "Training", "Transformer", "Parallel", "Tensors", "Kernels", "Text",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .testTarget(name: "KernelsTests", dependencies: ["Kernels"]),
    .testTarget(name: "ParallelTests", dependencies: ["Parallel", "Tensors", "Kernels"]),
    .testTarget(
      name: "TransformerTests", dependencies: ["Transformer", "Training", "Parallel", "Tensors"]),
    .testTarget(name: "TextTests", dependencies: ["Text"]),
    .testTarget(name: "TrainingTests", dependencies: ["Training", "Stages", "Text", "Parallel"]),
    .testTarget(name: "TasksTests", dependencies: ["Tasks", "Kernels", "Text"]),
    .testTarget(name: "CommandTests", dependencies: ["Training"]),
  ],
  swiftLanguageModes: [.v6]
)
