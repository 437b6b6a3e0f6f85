// What multiplies matrices here, and whether the processor could do better.

import CBLAS
import Glibc

/// Own panels where AVX-512 is compiled for, else the processor family whose kernels OpenBLAS chose
/// when it was loaded: `OpenBLAS Haswell`.
///
/// Two ranks with different kernels round differently, so ranks compare it when they start.
public var productKernelName: String {
  compiled_for_avx512() == 1 ? "AVX-512 panels" : "OpenBLAS \(openBLASCore)"
}

private var openBLASCore: String { String(cString: openblas_get_corename()) }

/// Why products are slower than this processor could make them; nil if they are not.
///
/// OpenBLAS reads `OPENBLAS_CORETYPE` when it is loaded, before `main`.
public var productKernelWarning: String? {
  guard let forced = getenv("OPENBLAS_CORETYPE").map({ String(cString: $0) }) else { return nil }
  let wide = ["SkylakeX", "Cooperlake", "SapphireRapids"]
  guard compiled_for_avx512() == 0, processorFeatures.contains("avx512f"),
    !wide.contains(openBLASCore)
  else { return nil }
  return "OPENBLAS_CORETYPE=\(forced) forces \(openBLASCore) kernels on a processor with AVX-512: "
    + "products take about twice as long; unset it, and build with launch/build.sh"
}

/// A vector instruction set that this program was compiled for and the processor lacks; nil if it
/// has all. Such a program dies of an illegal instruction sooner or later.
public var missingProcessorFeature: String? {
  var compiledFor: [String] = []
  if compiled_for_avx2() == 1 { compiledFor.append("avx2") }
  if compiled_for_avx512() == 1 { compiledFor.append("avx512f") }
  guard !compiledFor.isEmpty else { return nil }
  let features = processorFeatures
  return features.isEmpty ? nil : compiledFor.first { !features.contains($0) }
}

/// The flags that the kernel lists for the first processor; empty where it lists none.
private var processorFeatures: Set<String> {
  guard let file = fopen("/proc/cpuinfo", "r") else { return [] }
  defer { fclose(file) }
  var line: UnsafeMutablePointer<CChar>?
  var capacity = 0
  defer { free(line) }
  while getline(&line, &capacity, file) > 0 {
    let text = String(cString: line!)
    if text.hasPrefix("flags") {
      return Set(text.split(whereSeparator: \.isWhitespace).dropFirst(2).map(String.init))
    }
  }
  return []
}
