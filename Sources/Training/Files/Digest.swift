// SHA-256 of a stream of bytes, by OpenSSL (which uses the processor's instructions).

import CCrypto
import Kernels

/// A SHA-256 being computed.
public final class Digest {
  private let context: OpaquePointer
  private var finished = false

  public init() {
    let made = EVP_MD_CTX_new()
    require(made != nil, "OpenSSL gives no digest context")
    context = made!
    require(EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1, "OpenSSL has no SHA-256")
  }

  deinit { EVP_MD_CTX_free(context) }

  public func update(_ bytes: UnsafeRawBufferPointer) {
    require(!finished, "the digest of \(bytes.count) more bytes after its end")
    guard bytes.count > 0 else { return }
    require(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1, "SHA-256 update")
  }

  public func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  /// 64 lower-case hexadecimal digits; ends the stream.
  public func finish() -> String {
    require(!finished, "a digest ends once")
    finished = true
    var sum = [UInt8](repeating: 0, count: 32)
    require(EVP_DigestFinal_ex(context, &sum, nil) == 1, "SHA-256 end")
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: sum.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// Of bytes at hand.
  public static func sha256(_ bytes: [UInt8]) -> String {
    let digest = Digest()
    digest.update(bytes)
    return digest.finish()
  }

  /// Of a file's contents, read in pieces.
  public static func sha256(file path: String) throws -> String {
    try ReadableFile(path).digest()
  }
}
