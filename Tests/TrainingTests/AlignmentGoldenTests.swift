// The objectives of post-training against other implementations: every value and gradient they wrote.

import Kernels
import Parallel
import Tensors
import Testing
import Training

@Suite struct AlignmentGoldenTests {
  /// A case of a family that is not here fails: it would otherwise seem proven.
  @Test(arguments: AlignmentCase.all)
  func `every objective is what others compute`(golden: AlignmentCase) throws {
    let families: [(prefix: String, check: (AlignmentCase) throws -> Void)] = [
      ("dpo_", preference), ("rm_", reward), ("kl_estimators", estimators),
      ("kl_exact", exactDivergence), ("gae_", advantages), ("masked_whiten", whitening),
      ("ppo_loss", clippedLosses), ("ppo_trl_pipeline", pipeline),
      ("grpo_advantages", groupAdvantages), ("grpo_loss", groupLoss),
    ]
    guard let family = families.first(where: { golden.name.hasPrefix($0.prefix) }) else {
      Issue.record("\(golden.name) is of no known family")
      return
    }
    try family.check(golden)
  }

  private func preference(_ golden: AlignmentCase) throws {
    let lengths = try golden.numbers("chosen_lengths").map { chosen in
      Paired(
        chosen: chosen.map { Int($0) },
        rejected: try golden.whole("rejected_lengths").map { Int($0) })
    }
    var loss = PreferenceLoss(
      beta: try golden.number("beta"), labelSmoothing: try golden.number("label_smoothing"))
    switch try golden.text("loss_type") {
    case "sigmoid": break
    case "sigmoid_norm": loss.scale = .token
    case "hinge": loss.kind = .hinge
    case "robust": loss.kind = .robust
    case "apo_zero": loss.kind = .apoZero
    case "nca_pair": loss.kind = .ncaPair
    case "ipo":
      loss.kind = .ipo
      // The older TRL gets means where lengths are not given.
      loss.scale = lengths == nil ? .sequence : .token
    case let other:
      Issue.record("\(golden.name) has the unknown loss type \(other)")
      return
    }
    try loss.validate(section: "dpo")
    let policy = Paired(
      chosen: try golden.whole("policy_chosen_logps"),
      rejected: try golden.whole("policy_rejected_logps"))
    let evaluation = loss.evaluate(
      policy,
      reference: Paired(
        chosen: try golden.whole("ref_chosen_logps"),
        rejected: try golden.whole("ref_rejected_logps")), lengths: lengths)
    let (value, gradients) = try onTape(
      [([policy.count, 1], policy.chosen), ([policy.count, 1], policy.rejected)]
    ) { evaluation.loss(chosen: $0[0], rejected: $0[1], globalPairs: policy.count) }
    golden.expect([
      "losses": evaluation.losses, "loss": [value],
      "grad_policy_chosen_logps": gradients[0], "grad_policy_rejected_logps": gradients[1],
      "chosen_rewards": evaluation.rewards.chosen,
      "rejected_rewards": evaluation.rewards.rejected,
    ])
  }

  private func reward(_ golden: AlignmentCase) throws {
    let rewards = Paired(
      chosen: try golden.whole("rewards_chosen"), rejected: try golden.whole("rewards_rejected"))
    let count = rewards.count
    let loss = RewardLoss(centring: golden.numbers("center_rewards_coefficient")?.first ?? 0)
    let (value, gradients) = try onTape(
      [([count, 1], rewards.chosen), ([count, 1], rewards.rejected)]
    ) {
      loss.loss(
        chosen: $0[0], rejected: $0[1], margins: golden.numbers("margin"), globalPairs: count)
    }
    var tally = PairTally()
    tally.add(rewards)
    golden.expect([
      "loss": [value], "grad_rewards_chosen": gradients[0], "grad_rewards_rejected": gradients[1],
      "accuracy": [tally.accuracy],
    ])
  }

  private func estimators(_ golden: AlignmentCase) throws {
    let policy = try golden.whole("logprobs")
    let reference = try golden.whole("ref_logprobs")
    let all = [Bool](repeating: true, count: policy.count)
    let mask = AnswerMask(all, columns: try golden.columns("logprobs"))
    var found: [String: [Double]] = [:]
    for estimator in [KLEstimator.k1, .k2, .k3] {
      let name = estimator.rawValue
      found[name] = estimator.estimates(policy, reference: reference, mask: mask)
      let share = estimator.share(
        policy, reference: reference, mask: all, coefficient: 1, globalTokens: 1)
      let (value, gradients) = try onTape([([policy.count, 1], policy)]) { share.loss(of: $0[0]) }
      expectEqual([value], [found[name]!.reduce(0, +)], "\(golden.name): sum of \(name)")
      found["grad_sum_\(name)_wrt_logprobs"] = gradients[0]
    }
    golden.expect(found)
  }

  private func exactDivergence(_ golden: AlignmentCase) throws {
    let columns = try golden.columns("logits")
    let logits = try golden.whole("logits")
    let reference = try golden.whole("ref_logits")
    let shape = [logits.count / columns, columns]
    var found: [String: [Double]] = [:]
    let divergence = try onTape([(shape, logits)]) { operands in
      let other = operands[0].tape.device.tensor(TensorShape(shape), reference)
      let rows = relativeEntropy(of: operands[0], to: other)
      found["kl"] = rows.value.elements
      return scaledSum(rows, factor: 1)
    }
    let entropies = try onTape([(shape, logits)]) { operands in
      let rows = entropy(of: operands[0])
      found["entropy"] = rows.value.elements
      return scaledSum(rows, factor: 1)
    }
    found["grad_sum_kl_wrt_logits"] = divergence.gradients[0]
    found["grad_sum_entropy_wrt_logits"] = entropies.gradients[0]
    golden.expect(found)
  }

  private func advantages(_ golden: AlignmentCase) throws {
    let rewards = try golden.whole("rewards")
    let columns = try golden.columns("rewards")
    let flags =
      try golden.numbers("mask") == nil
      ? Array(repeating: true, count: rewards.count) : golden.flags("mask")
    let rule = GeneralizedAdvantage(
      discount: try golden.number("gamma"), lambda: try golden.number("lam"))
    let boundaries = try golden.numbers("last_value").map {
      GeneralizedAdvantage.Boundaries(isEnd: try golden.flags("done"), lastValues: $0)
    }
    let (advantages, returns) = rule.estimate(
      rewards: rewards, values: try golden.whole("values"),
      mask: AnswerMask(flags, columns: columns), boundaries: boundaries)
    golden.expect(["advantages": advantages, "returns": returns])
  }

  private func whitening(_ golden: AlignmentCase) throws {
    let values = try golden.whole("values")
    let mask = try golden.flags("mask")
    let moments = Moments(of: values, mask: mask, over: .alone())
    let variance = varianceOfTRL(moments)
    golden.expect(
      [
        "masked_mean": [moments.mean], "masked_var_unbiased": [variance],
        "masked_var_biased": [moments.biasedVariance],
        "whitened": moments.whitened(values, variance: variance),
        "whitened_no_shift": moments.whitened(values, variance: variance, keepingMean: true),
      ], places: ["whitened": mask, "whitened_no_shift": mask])
  }

  /// TRL divides two whole numbers for the factor n / (n − 1), which torch rounds to float32 even where
  /// all else is float64; Apus does not.
  private func varianceOfTRL(_ moments: Moments) -> Double {
    let factor = Float(moments.count) / Float(moments.count - 1)
    let variance = moments.biasedVariance * Double(factor)
    expectEqual(
      [moments.unbiasedVariance], [variance], "unbiased variance", within: Double(Float.ulpOfOne))
    return variance
  }

  private func clippedLosses(_ golden: AlignmentCase) throws {
    let mask = try golden.flags("mask")
    let tokens = mask.reduce(0) { $0 + ($1 ? 1 : 0) }
    let new = try golden.whole("new_logprobs")
    let values = try golden.whole("values")
    let policyTokens = PolicyTokens(
      new: new, old: try golden.whole("old_logprobs"),
      advantages: try golden.whole("advantages"), mask: mask)
    let (policy, policyStatistics) = ClippedPolicyLoss(clip: try golden.number("cliprange"))
      .evaluate(policyTokens, globalTokens: tokens)
    let (value, valueStatistics) = ClippedValueLoss(clip: try golden.number("cliprange_value"))
      .evaluate(
        ValueTokens(
          new: values, old: try golden.whole("old_values"),
          returns: try golden.whole("returns"), mask: mask), globalTokens: tokens)
    let coefficient = try golden.number("vf_coef")
    let (total, gradients) = try onTape([([new.count, 1], new), ([values.count, 1], values)]) {
      weightedSum([(1, policy.loss(of: $0[0])), (coefficient, value.loss(of: $0[1]))])
    }
    golden.expect([
      "policy_loss": [policy.value], "value_loss": [value.value], "loss": [total],
      "grad_new_logprobs": gradients[0], "grad_values": gradients[1],
      "ratio": mask.indices.map(policyTokens.ratio),
      "value_clipfrac": [valueStatistics.clippedValueShare],
      "policy_clipfrac": [policyStatistics.clippedShare],
      "approx_kl_masked": [policyStatistics.approximateKL],
    ])
  }

  /// TRL's habits: the score lies one place after the last token where the row has room, and that
  /// place's value counts.
  private func pipeline(_ golden: AlignmentCase) throws {
    let lengths = try golden.whole("response_lengths").map { Int($0) }
    let columns = try golden.columns("logprobs")
    let answers = AnswerMask(lengths: lengths, columns: columns)
    let withNext = AnswerMask(lengths: lengths.map { min($0 + 1, columns) }, columns: columns)
    let estimator = try #require(KLEstimator(rawValue: golden.text("kl_estimator")))
    let penalties = estimator.estimates(
      try golden.whole("logprobs"), reference: try golden.whole("ref_logprobs"), mask: answers)
    let rewards = tokenRewards(
      penalties: penalties, coefficient: try golden.number("kl_coef"),
      scores: try golden.whole("scores"), scorePlaces: withNext.lastPlaces)
    let rule = GeneralizedAdvantage(
      discount: try golden.number("gamma"), lambda: try golden.number("lam"))
    let (advantages, returns) = rule.estimate(
      rewards: rewards, values: try golden.whole("values"), mask: withNext)
    let moments = Moments(of: advantages, mask: answers.holdsToken, over: .alone())
    let whitened = moments.whitened(advantages, variance: varianceOfTRL(moments))
    golden.expect([
      "rewards": rewards, "advantages_raw": advantages, "returns": returns,
      "advantages_whitened": zip(whitened, answers.holdsToken).map { $1 ? $0 : 0 },
    ])
  }

  private func groupAdvantages(_ golden: AlignmentCase) throws {
    let rewards = try golden.whole("rewards")
    let size = Int(try golden.number("group_size"))
    #expect(try golden.number("eps") == 1e-4)
    func scaled(_ scale: AdvantageScale) -> [Double] {
      GroupAdvantages(rewards, groupSize: size, scale: scale, over: .alone()).advantages
    }
    golden.expect([
      "group_scaled": scaled(.group), "unscaled": scaled(.none), "batch_scaled": scaled(.batch),
    ])
  }

  private func groupLoss(_ golden: AlignmentCase) throws {
    var loss = GroupRelativeLoss()
    let form = try golden.text("loss_type")
    loss.form = try #require(
      ["grpo": .grpo, "bnpo": .bnpo, "dr_grpo": .drGRPO][form], "\(golden.name): form \(form)")
    loss.importance = try #require(
      ImportanceLevel(rawValue: golden.text("importance_sampling_level")))
    loss.clipLow = try golden.number("epsilon_low")
    loss.clipHigh = try golden.number("epsilon_high")
    loss.klCoefficient = try golden.number("beta")
    loss.longestAnswer = Int(try golden.number("max_completion_length"))
    let mask = AnswerMask(try golden.flags("mask"), columns: try golden.columns("mask"))
    let new = try golden.whole("logprobs")
    let answers = GroupRelativeLoss.Answers(
      new: new, old: try golden.whole("old_logprobs"), reference: golden.numbers("ref_logprobs"),
      advantages: try golden.whole("advantages"), mask: mask)
    let share = loss.evaluate(
      answers, counts: .init(answers: mask.rows, tokens: mask.tokens)
    ).share
    let (value, gradients) = try onTape([([new.count, 1], new)]) { share.loss(of: $0[0]) }
    golden.expect(["loss": [value], "grad_logprobs": gradients[0]])
  }
}
