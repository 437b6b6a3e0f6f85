// What a tensor in a file is, without its numbers: name, element type, shape.

import Kernels

/// Element types of safetensors that Apus reads and writes. All little-endian.
public enum ElementType: String, Sendable, CaseIterable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint8 = "U8"
  case boolean = "BOOL"

  public init(_ precision: Precision) {
    self = precision == .float32 ? .float32 : .float64
  }

  /// Of one element.
  public var bytes: Int {
    switch self {
    case .float64, .int64: 8
    case .float32, .int32: 4
    case .float16, .bfloat16, .int16: 2
    case .int8, .uint8, .boolean: 1
    }
  }

  public var isFloat: Bool {
    switch self {
    case .float64, .float32, .float16, .bfloat16: true
    default: false
    }
  }
}

/// Name, element type and shape of one tensor.
public struct TensorDescription: Sendable, Equatable {
  public let name: String
  public let type: ElementType
  public let shape: [Int]

  public init(_ name: String, _ type: ElementType, _ shape: [Int]) {
    self.name = name
    self.type = type
    self.shape = shape
  }

  /// Elements; 1 for an empty shape.
  public var count: Int { shape.reduce(1, *) }
  public var bytes: Int { count * type.bytes }
}
