// config.json of the three families that Apus reads and writes, in both of transformers' styles.

import Kernels
import Transformer

/// A model family of transformers.
public enum ModelFamily: String, Sendable, CaseIterable {
  case mixtral
  case olmoe
  case qwen3Moe = "qwen3_moe"

  var architecture: String {
    switch self {
    case .mixtral: "MixtralForCausalLM"
    case .olmoe: "OlmoeForCausalLM"
    case .qwen3Moe: "Qwen3MoeForCausalLM"
    }
  }
}

/// A model folder's configuration: its family and what it means here.
public struct FamilyConfiguration: Sendable {
  public let family: ModelFamily
  public let model: ModelConfiguration

  /// Reads config.json. Throws `FileError` naming the field, its value and what is accepted.
  public init(file path: String) throws {
    let reader = FieldReader(path: path, json: try JSON(file: path))
    let type = try reader.string("model_type")
    guard let family = ModelFamily(rawValue: type) else {
      throw FileError(
        path,
        "model_type is \"\(type)\"; accepted: "
          + ModelFamily.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "))
    }
    self.family = family
    try reader.refuseUnsupported()
    var model = ModelConfiguration()
    model.vocabulary = try reader.integer("vocab_size")
    model.width = try reader.integer("hidden_size")
    model.layers = try reader.integer("num_hidden_layers")
    guard model.layers <= 65_536 else {
      throw FileError(path, "num_hidden_layers is \(model.layers); accepted: 1 to 65536")
    }
    model.heads = try reader.integer("num_attention_heads")
    model.keyValueHeads = try reader.integer("num_key_value_heads", default: model.heads)
    model.headWidth = try reader.integer("head_dim", default: 0)
    model.normEpsilon = try reader.number(
      "rms_norm_eps", default: family == .qwen3Moe ? 1e-6 : 1e-5)
    model.rotaryBase = try reader.rotaryBase(default: family == .mixtral ? 1e6 : 10_000)
    model.tiedEmbedding = try reader.boolean("tie_word_embeddings", default: false)
    model.paddingToken = try reader.integer(
      "pad_token_id", default: family == .olmoe ? 1 : -1, null: -1)
    model.initialDeviation = try reader.number("initializer_range", default: 0.02)
    model.activation = try reader.activation()
    var router = RouterConfiguration()
    router.experts = try reader.integer(oneOf: ["num_local_experts", "num_experts"])
    router.expertsPerToken = try reader.integer("num_experts_per_tok")
    router.balanceScope = .pooled
    router.balanceCoefficient = try reader.number(
      "router_aux_loss_coef", default: family == .olmoe ? 0.01 : 0.001)
    switch family {
    case .mixtral:
      router.expertWidth = try reader.integer("intermediate_size")
    case .olmoe:
      router.expertWidth = try reader.integer("intermediate_size")
      router.renormalise = try reader.boolean("norm_topk_prob", default: false)
      model.queryKeyNorm = .full
      model.attentionBias = try reader.boolean("attention_bias", default: false)
      model.clipQKV = try reader.number("clip_qkv", default: 0)
    case .qwen3Moe:
      router.expertWidth = try reader.integer("moe_intermediate_size")
      router.renormalise = try reader.boolean("norm_topk_prob", default: false)
      model.queryKeyNorm = .head
      model.attentionBias = try reader.boolean("attention_bias", default: false)
      if model.headWidth == 0 { model.headWidth = 128 }
      let step = try reader.integer("decoder_sparse_step", default: 1)
      guard step >= 1 else {
        throw FileError(path, "decoder_sparse_step is \(step); accepted: 1 or more")
      }
      let dense = try reader.integers("mlp_only_layers")
      model.denseLayers = (0..<max(model.layers, 0)).filter {
        dense.contains($0) || ($0 + 1) % step != 0
      }
      if !model.denseLayers.isEmpty {
        model.denseWidth = try reader.integer("intermediate_size")
      }
    }
    model.router = router
    do { try model.validate() } catch { throw FileError(path, "\(error)") }
    self.model = model
  }

  /// The nearest family that expresses `model`; throws `FamilyError` naming what none can.
  public init(expressing model: ModelConfiguration) throws {
    self.model = model
    switch model.queryKeyNorm {
    case .none: family = .mixtral
    case .full: family = .olmoe
    case .head: family = .qwen3Moe
    }
    let router = model.router
    var problems: [String] = []
    func need(_ ok: Bool, _ setting: String) { if !ok { problems.append(setting) } }
    need(model.scalarHead == .none, "model.scalarHead = \(model.scalarHead.rawValue)")
    need(router.sharedExperts == 0, "model.router.sharedExperts = \(router.sharedExperts)")
    need(router.score == .softmax, "model.router.score = \(router.score.rawValue)")
    need(!router.learnedTemperature, "model.router.learnedTemperature = true")
    need(router.biasRate == 0, "model.router.biasRate = \(router.biasRate)")
    if family != .qwen3Moe {
      need(model.denseLayers.isEmpty, "model.denseLayers = \(model.denseLayers)")
    }
    if family != .olmoe { need(model.clipQKV == 0, "model.clipQKV = \(model.clipQKV)") }
    if family == .mixtral {
      need(router.renormalise, "model.router.renormalise = false")
      need(!model.attentionBias, "model.attentionBias = true")
    }
    if family == .olmoe {
      need(
        model.resolvedHeadWidth * model.heads == model.width,
        "model.headWidth = \(model.headWidth) (OLMoE takes width / heads)")
    }
    guard problems.isEmpty else { throw FamilyError(family: family, settings: problems) }
  }

  /// config.json that transformers 4 and 5 both read.
  public func json(maximumPositions: Int, precision: Precision) -> JSON {
    let router = model.router
    let dtype: JSON = .string(precision.rawValue)
    func count(_ value: Int) -> JSON { .integer(Int64(value)) }
    var members: [(String, JSON)] = [
      ("architectures", [.string(family.architecture)]),
      ("model_type", .string(family.rawValue)),
      ("vocab_size", count(model.vocabulary)),
      ("hidden_size", count(model.width)),
      ("num_hidden_layers", count(model.layers)),
      ("num_attention_heads", count(model.heads)),
      ("num_key_value_heads", count(model.keyValueHeads)),
      ("max_position_embeddings", count(maximumPositions)),
      ("rms_norm_eps", .number(model.normEpsilon)),
      ("rope_theta", .number(model.rotaryBase)),
      (
        "rope_parameters",
        .object(JSONObject([("rope_type", "default"), ("rope_theta", .number(model.rotaryBase))]))
      ),
      ("hidden_act", .string(model.activation.rawValue)),
      ("tie_word_embeddings", .boolean(model.tiedEmbedding)),
      ("pad_token_id", model.paddingToken >= 0 ? count(model.paddingToken) : .null),
      ("bos_token_id", .null),
      ("eos_token_id", .null),
      ("initializer_range", .number(model.initialDeviation)),
      ("num_experts_per_tok", count(router.expertsPerToken)),
      ("num_local_experts", count(router.experts)),
      ("num_experts", count(router.experts)),
      // Another scope's coefficient means nothing there: no factor converts it.
      (
        "router_aux_loss_coef",
        .number(router.balanceScope == .pooled ? router.balanceCoefficient : 0)
      ),
      ("output_router_logits", false),
      ("dtype", dtype),
      ("torch_dtype", dtype),
    ]
    switch family {
    case .mixtral:
      members += [
        ("intermediate_size", count(router.expertWidth)),
        ("head_dim", count(model.resolvedHeadWidth)), ("sliding_window", .null),
        ("router_jitter_noise", 0.0),
      ]
    case .olmoe:
      members += [
        ("intermediate_size", count(router.expertWidth)),
        ("norm_topk_prob", .boolean(router.renormalise)),
        ("attention_bias", .boolean(model.attentionBias)),
        ("clip_qkv", model.clipQKV > 0 ? .number(model.clipQKV) : .null),
      ]
    case .qwen3Moe:
      members += [
        ("intermediate_size", count(max(model.denseWidth, 1))),
        ("moe_intermediate_size", count(router.expertWidth)),
        ("head_dim", count(model.resolvedHeadWidth)),
        ("norm_topk_prob", .boolean(router.renormalise)),
        ("attention_bias", .boolean(model.attentionBias)),
        ("decoder_sparse_step", 1),
        ("mlp_only_layers", .array(model.denseLayers.map(count))),
        ("use_sliding_window", false), ("sliding_window", .null),
      ]
    }
    return .object(JSONObject(members))
  }
}

/// Settings that the nearest family of transformers cannot express.
public struct FamilyError: Error, CustomStringConvertible {
  public let family: ModelFamily
  public let settings: [String]
  public var description: String {
    "transformers' \(family.rawValue), the nearest family, cannot express "
      + settings.joined(separator: ", ")
  }
}
