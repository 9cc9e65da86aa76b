#include "pipeline/format/safetensors/hf_config.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pipeline/family/family.h"
#include "pipeline/format/layout/attention_window.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

// A small config.json; `change` replaces or adds members, as `"name": value` each.
std::string Config(const std::vector<std::pair<std::string, std::string>>& change = {}) {
  std::vector<std::pair<std::string, std::string>> members{
      {"architectures", R"(["Phi3ForCausalLM"])"},
      {"model_type", R"("phi3")"},
      {"hidden_size", "64"},
      {"intermediate_size", "96"},
      {"num_hidden_layers", "2"},
      {"num_attention_heads", "4"},
      {"num_key_value_heads", "2"},
      {"vocab_size", "320"},
      {"max_position_embeddings", "256"},
      {"rms_norm_eps", "1e-05"},
      {"rope_theta", "10000.0"},
      {"rope_scaling", "null"},
      {"sliding_window", "null"},
      {"hidden_act", R"("silu")"},
      {"tie_word_embeddings", "false"}};
  for (const auto& [key, value] : change) {
    std::erase_if(members, [&](const auto& m) { return m.first == key; });
    if (value != "absent") members.emplace_back(key, value);
  }
  std::string text;
  for (const auto& [key, value] : members)
    text += fmt::format("{}\"{}\": {}", text.empty() ? "" : ", ", key, value);
  return "{" + text + "}";
}

std::string Ones(size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += i ? ",1.0" : "1.0";
  return "[" + text + "]";
}

// The activation is the family's, and so are the layers that turn.
TEST(HfConfig, FollowsTheFamily) {
  const auto phi = [](std::string_view activation) {
    return Config({{"architectures", R"(["PhiForCausalLM"])"},
                   {"rms_norm_eps", "absent"},
                   {"layer_norm_eps", "1e-06"},
                   {"hidden_act", fmt::format("\"{}\"", activation)}});
  };
  for (const std::string_view name : {"gelu_new", "gelu_pytorch_tanh"}) {
    const auto c = ParseHfConfig(phi(name));
    ASSERT_OK(c);
    EXPECT_EQ(c->family->name, "phi2");
    EXPECT_FLOAT_EQ(c->hyper.norm_epsilon, 1e-6f);
  }
  for (const std::string_view name : {"gelu", "silu"})
    EXPECT_ERROR(ParseHfConfig(phi(name)), kUnimplemented, name);
  EXPECT_ERROR(ParseHfConfig(Config(
                   {{"architectures", R"(["PhiForCausalLM"])"}, {"hidden_act", "\"gelu_new\""}})),
               kInvalidArgument, "layer_norm_eps");

  const auto granite = [](const std::string& multiplier) {
    return Config({{"architectures", R"(["GraniteForCausalLM"])"},
                   {"embedding_multiplier", "12.0"},
                   {"attention_multiplier", "0.015625"},
                   {"residual_multiplier", multiplier},
                   {"logits_scaling", "8"}});
  };
  const auto c = ParseHfConfig(granite("0.22"));
  ASSERT_OK(c);
  EXPECT_FLOAT_EQ(c->hyper.embedding_scale, 12);
  EXPECT_FLOAT_EQ(c->hyper.attention_scale, 0.015625f);
  EXPECT_FLOAT_EQ(c->hyper.residual_scale, 0.22f);
  EXPECT_FLOAT_EQ(c->hyper.logit_divisor, 8);
  for (const std::string bad : {"absent", "0", "-1"})
    EXPECT_ERROR(ParseHfConfig(granite(bad)), kInvalidArgument, "residual_multiplier");

  const auto gemma = [](const std::string& act, const std::string& activation,
                        const std::string& tied) {
    return Config({{"architectures", R"(["GemmaForCausalLM"])"},
                   {"hidden_act", act},
                   {"hidden_activation", activation},
                   {"tie_word_embeddings", tied}});
  };
  for (const std::string act : {"\"gelu\"", "\"gelu_pytorch_tanh\""})
    EXPECT_OK(ParseHfConfig(gemma(act, "null", "true")));
  const auto tied = ParseHfConfig(gemma("absent", "\"gelu_pytorch_tanh\"", "absent"));
  ASSERT_OK(tied);
  EXPECT_TRUE(tied->hyper.tied_embeddings);
  EXPECT_ERROR(ParseHfConfig(gemma("\"gelu\"", "\"silu\"", "true")), kUnimplemented,
               "hidden_activation");
  EXPECT_ERROR(ParseHfConfig(gemma("\"gelu\"", "null", "false")), kUnimplemented,
               "tie_word_embeddings");

  const auto smol = [](const std::string& layers, const std::string& interval) {
    return Config({{"architectures", R"(["SmolLM3ForCausalLM"])"},
                   {"num_hidden_layers", "5"},
                   {"no_rope_layers", layers},
                   {"no_rope_layer_interval", interval}});
  };
  for (const std::string layers : {"absent", "null", "[1, 1, 1, 0, 1]"})
    for (const std::string interval : {"absent", "4"})
      EXPECT_OK(ParseHfConfig(smol(layers, interval)));
  EXPECT_OK(ParseHfConfig(smol("[1, 1, 1, 0, 1]", "3")));  // the list is what counts
  for (const auto& [layers, interval] :
       std::initializer_list<std::pair<const char*, const char*>>{{"absent", "3"},
                                                                  {"[1, 1, 1, 1, 1]", "4"},
                                                                  {"[1, 1, 1, 0]", "4"},
                                                                  {"[1, 1, 1, 0, \"x\"]", "4"},
                                                                  {"[]", "4"}})
    EXPECT_ERROR(ParseHfConfig(smol(layers, interval)), kUnimplemented, "no_rope_layers");
}

// Config with Gemma 3's class and what its files have.
std::string Gemma3(std::vector<std::pair<std::string, std::string>> change = {}) {
  std::vector<std::pair<std::string, std::string>> members{
      {"architectures", R"(["Gemma3ForCausalLM"])"},
      {"hidden_act", "absent"},
      {"hidden_activation", R"("gelu_pytorch_tanh")"},
      {"num_hidden_layers", "7"},
      {"head_dim", "24"},
      {"query_pre_attn_scalar", "24"},
      {"sliding_window", "100"},
      {"rope_theta", "1000000.0"},
      {"rope_local_base_freq", "20000.0"},
      {"attn_logit_softcapping", "null"},
      {"tie_word_embeddings", "absent"}};
  for (auto& [key, value] : change) {
    std::erase_if(members, [&](const auto& m) { return m.first == key; });
    members.emplace_back(key, value);
  }
  return Config(members);
}

TEST(HfConfig, SaysWhichLayersHaveAWindow) {
  const std::string by_list =
      R"(["sliding_attention","sliding_attention","full_attention","sliding_attention",
          "sliding_attention","full_attention","sliding_attention"])";
  using Change = std::vector<std::pair<std::string, std::string>>;
  for (const auto& [change, every] :
       std::initializer_list<std::pair<Change, int64_t>>{{{}, 6},
                                                         {{{"sliding_window_pattern", "6"}}, 6},
                                                         {{{"_sliding_window_pattern", "3"}}, 3},
                                                         {{{"layer_types", by_list}}, 3}}) {
    const auto c = ParseHfConfig(Gemma3(change));
    ASSERT_OK(c);
    EXPECT_EQ(c->family->name, "gemma3");
    EXPECT_EQ(c->hyper.full_every, every);
    EXPECT_EQ(c->hyper.sliding_window, 100);
    EXPECT_EQ(c->hyper.sliding_rope_theta, 20000.f);
    EXPECT_EQ(c->hyper.rope_theta, 1000000.f);
    EXPECT_EQ(c->hyper.attention_scale, 0);
    EXPECT_TRUE(c->hyper.tied_embeddings);
  }
  for (const Change& change :
       {Change{{"sliding_window_pattern", "1"}}, Change{{"sliding_window", "null"}}}) {
    const auto c = ParseHfConfig(Gemma3(change));
    ASSERT_OK(c);
    EXPECT_EQ(c->hyper.full_every, 0);
    EXPECT_EQ(c->hyper.sliding_rope_theta, 0);
  }
  EXPECT_ERROR(ParseHfConfig(Gemma3({{"sliding_window_pattern", "0"}})), kInvalidArgument,
               "sliding_window_pattern");
  EXPECT_ERROR(ParseHfConfig(Gemma3({{"layer_types", R"(["full_attention"])"}})), kInvalidArgument,
               "layer_types has 1", "is 7");
  EXPECT_ERROR(ParseHfConfig(Gemma3({{"num_hidden_layers", "3"},
                                     {"layer_types", R"(["full_attention", "sliding_attention",
                                                         "full_attention"])"}})),
               kUnimplemented, "layer_types");
  EXPECT_ERROR(ParseHfConfig(Gemma3(
                   {{"num_hidden_layers", "1"}, {"layer_types", R"(["chunked_attention"])"}})),
               kUnimplemented, "layer_types");
}

// As transformers writes them since its fifth version.
TEST(HfConfig, RopeParametersByKindOfLayer) {
  const auto c = ParseHfConfig(
      Gemma3({{"rope_theta", "absent"},
              {"rope_local_base_freq", "absent"},
              {"rope_parameters",
               R"({"full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 500000},
                   "sliding_attention": {"rope_type": "default", "rope_theta": 30000}})"}}));
  ASSERT_OK(c);
  EXPECT_EQ(c->hyper.rope_theta, 500000.f);
  EXPECT_EQ(c->hyper.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_EQ(c->hyper.rope_scaling.factor, 8.f);
  EXPECT_EQ(c->hyper.sliding_rope_theta, 30000.f);
}

TEST(HfConfig, CapsAndScalesOfScores) {
  const auto gemma2 = [](const std::string& cap, const std::string& scalar = "16") {
    return Config({{"architectures", R"(["Gemma2ForCausalLM"])"},
                   {"hidden_act", R"("gelu_pytorch_tanh")"},
                   {"head_dim", "16"},
                   {"query_pre_attn_scalar", scalar},
                   {"attn_logit_softcapping", cap},
                   {"tie_word_embeddings", "true"}});
  };
  const auto c = ParseHfConfig(gemma2("40.0"));
  ASSERT_OK(c);
  EXPECT_EQ(c->hyper.score_cap, 40.f);
  EXPECT_EQ(c->hyper.logit_cap, 30.f) << "what the class means";
  EXPECT_EQ(ParseHfConfig(gemma2("absent"))->hyper.score_cap, 50.f);
  EXPECT_EQ(c->hyper.full_every, 0) << "no sliding_window";
  EXPECT_ERROR(ParseHfConfig(gemma2("-1")), kInvalidArgument, "attn_logit_softcapping");
  EXPECT_ERROR(ParseHfConfig(gemma2("50", "17")), kUnimplemented, "query_pre_attn_scalar", "16");
  EXPECT_ERROR(ParseHfConfig(Gemma3({{"final_logit_softcapping", "30.0"}})), kUnimplemented,
               "final_logit_softcapping", "gemma3");
  EXPECT_ERROR(ParseHfConfig(Gemma3({{"use_bidirectional_attention", "true"}})), kUnimplemented,
               "use_bidirectional_attention");
}

// As Gemma 3 4B is published: what its class means by itself is not there.
TEST(HfConfig, TheTextPartOfAModelThatDoesMore) {
  const std::string head =
      R"({"architectures": ["Gemma3ForConditionalGeneration"], "eos_token_id": [1, 106])";
  const auto c = ParseHfConfig(head + R"(, "text_config": {"hidden_size": 2560,
      "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
      "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024},
      "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27}})");
  ASSERT_OK(c);
  EXPECT_EQ(c->family->name, "gemma3");
  EXPECT_TRUE(c->text_part);
  EXPECT_EQ(c->hyper.hidden, 2560);
  EXPECT_EQ(c->hyper.layers, 34);
  EXPECT_EQ(c->hyper.heads, 8);
  EXPECT_EQ(c->hyper.kv_heads, 4);
  EXPECT_EQ(c->hyper.head_dim, 256);
  EXPECT_EQ(c->hyper.vocab, 262208);
  EXPECT_EQ(c->hyper.context, 131072);
  EXPECT_EQ(c->hyper.sliding_window, 1024);
  EXPECT_EQ(c->hyper.full_every, 6);
  EXPECT_EQ(c->hyper.rope_theta, 1000000.f);
  EXPECT_EQ(c->hyper.sliding_rope_theta, 10000.f);
  EXPECT_EQ(c->ends, (std::vector<int64_t>{1, 106}));
  EXPECT_ERROR(ParseHfConfig(head + "}"), kInvalidArgument, "text_config");
  EXPECT_ERROR(ParseHfConfig(head + R"(, "text_config": []})"), kInvalidArgument, "text_config");
}

TEST(HfConfig, ReadsEverything) {
  const auto c = ParseHfConfig(Config({{"bos_token_id", "1"},
                                       {"eos_token_id", "[7, 9]"},
                                       {"sliding_window", "2047"},
                                       {"_name_or_path", R"("microsoft/Phi-3-mini")"}}));
  ASSERT_OK(c);
  EXPECT_EQ(c->family->name, "phi3");
  EXPECT_EQ(c->hyper.hidden, 64);
  EXPECT_EQ(c->hyper.intermediate, 96);
  EXPECT_EQ(c->hyper.layers, 2);
  EXPECT_EQ(c->hyper.heads, 4);
  EXPECT_EQ(c->hyper.kv_heads, 2);
  EXPECT_EQ(c->hyper.head_dim, 16);
  EXPECT_EQ(c->hyper.rope_dims, 16);
  EXPECT_EQ(c->hyper.vocab, 320);
  EXPECT_EQ(c->hyper.context, 256);
  EXPECT_EQ(c->hyper.original_context, 256);
  EXPECT_EQ(c->hyper.sliding_window, 2047);
  EXPECT_FLOAT_EQ(c->hyper.norm_epsilon, 1e-5f);
  EXPECT_EQ(c->bos, 1);
  EXPECT_EQ(c->ends, (std::vector<int64_t>{7, 9}));
  EXPECT_FALSE(c->padding.has_value());
  EXPECT_EQ(c->published_name, "Phi-3-mini");
}

TEST(HfConfig, KnowsTheFourClasses) {
  const auto family = [](const char* name) {
    return ParseHfConfig(Config({{"architectures", fmt::format("[\"{}\"]", name)}}))->family->name;
  };
  EXPECT_EQ(family("LlamaForCausalLM"), "llama");
  EXPECT_EQ(family("MistralForCausalLM"), "llama");
  EXPECT_EQ(family("Qwen2ForCausalLM"), "qwen2");
  EXPECT_EQ(family("Qwen3ForCausalLM"), "qwen3");
  const auto by_type =
      ParseHfConfig(Config({{"architectures", "absent"}, {"model_type", "\"qwen2\""}}));
  ASSERT_OK(by_type);
  EXPECT_EQ(by_type->family->name, "qwen2");
  EXPECT_ERROR(ParseHfConfig(Config({{"architectures", R"(["MambaForCausalLM"])"}})),
               kUnimplemented, "'MambaForCausalLM'",
               "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM");
  EXPECT_ERROR(ParseHfConfig(Config({{"architectures", R"(["Llama9ForCausalLM"])"}})),
               kUnimplemented, "is LlamaForCausalLM;");
  EXPECT_ERROR(ParseHfConfig(Config({{"architectures", "absent"}, {"model_type", "absent"}})),
               kInvalidArgument, "neither");
}

TEST(HfConfig, DefaultsOfAbsentMembers) {
  const auto c = ParseHfConfig(Config({{"num_key_value_heads", "absent"},
                                       {"rope_theta", "absent"},
                                       {"rope_scaling", "absent"},
                                       {"tie_word_embeddings", "absent"}}));
  ASSERT_OK(c);
  EXPECT_EQ(c->hyper.kv_heads, 4);
  EXPECT_EQ(c->hyper.rope_theta, 10000.0f);
  EXPECT_FALSE(c->hyper.tied_embeddings);
}

TEST(HfConfig, HeadDimAndPartialRotary) {
  const auto c = ParseHfConfig(Config({{"head_dim", "32"}, {"partial_rotary_factor", "0.75"}}));
  ASSERT_OK(c);
  EXPECT_EQ(c->hyper.head_dim, 32);
  EXPECT_EQ(c->hyper.rope_dims, 24);
  EXPECT_ERROR(ParseHfConfig(Config({{"partial_rotary_factor", "1.5"}})), kInvalidArgument,
               "partial_rotary_factor");
  EXPECT_ERROR(ParseHfConfig(Config({{"num_attention_heads", "5"}, {"num_key_value_heads", "5"}})),
               kInvalidArgument, "hidden_size");
}

TEST(HfConfig, LongRope) {
  const std::string scaling =
      R"({"type": "su", "long_factor": )" + Ones(8) + R"(, "short_factor": )" + Ones(8) + "}";
  const auto c = ParseHfConfig(Config({{"rope_scaling", scaling},
                                       {"max_position_embeddings", "131072"},
                                       {"original_max_position_embeddings", "4096"}}));
  ASSERT_OK(c);
  EXPECT_EQ(c->hyper.rope_scaling.kind, RopeScaling::Kind::kLongRope);
  EXPECT_EQ(c->hyper.original_context, 4096);
  // Phi-3-mini-128k's published value.
  EXPECT_NEAR(*c->hyper.rope_scaling.attention_factor, 1.1902380714238083, 1e-6);
  EXPECT_ERROR(
      ParseHfConfig(Config({{"rope_scaling", R"({"type": "longrope", "long_factor": )" + Ones(7) +
                                                 R"(, "short_factor": )" + Ones(8) + "}"}})),
      kInvalidArgument, "long_factor", "7 values");
  EXPECT_ERROR(
      ParseHfConfig(Config({{"rope_scaling", R"({"type": "longrope", "long_factor": )" + Ones(8) +
                                                 R"(, "short_factor": )" + Ones(9) + "}"}})),
      kInvalidArgument, "config.json", "rope_scaling.short_factor", "9 values");
  EXPECT_ERROR(ParseHfConfig(Config(
                   {{"rope_scaling", R"({"type": "longrope", "long_factor": )" + Ones(8) + "}"}})),
               kInvalidArgument, "rope_scaling.short_factor", "0 values");
  EXPECT_ERROR(ParseHfConfig(Config(
                   {{"architectures", R"(["LlamaForCausalLM"])"}, {"rope_scaling", scaling}})),
               kUnimplemented, "phi3");
  std::string mscale = scaling;
  mscale.insert(1, R"("short_mscale": 1.2, )");
  EXPECT_ERROR(ParseHfConfig(Config({{"rope_scaling", mscale}})), kUnimplemented, "'short_mscale'");
  // Newer files keep all of it together.
  std::string together = scaling;
  together.insert(1, R"("original_max_position_embeddings": 64, )");
  const auto newer =
      ParseHfConfig(Config({{"rope_scaling", "absent"}, {"rope_parameters", together}}));
  ASSERT_OK(newer);
  EXPECT_EQ(newer->hyper.original_context, 64);
  EXPECT_GT(*newer->hyper.rope_scaling.attention_factor, 1);
}

TEST(HfConfig, Llama3AndLinearScaling) {
  const auto llama3 = ParseHfConfig(Config(
      {{"architectures", R"(["LlamaForCausalLM"])"},
       {"rope_scaling",
        R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                            "original_max_position_embeddings": 64})"}}));
  ASSERT_OK(llama3);
  EXPECT_EQ(llama3->hyper.rope_scaling.kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(llama3->hyper.rope_scaling.factor, 8.0f);
  EXPECT_EQ(llama3->hyper.original_context, 64);
  const auto linear =
      ParseHfConfig(Config({{"rope_scaling", R"({"type": "linear", "factor": 2})"}}));
  ASSERT_OK(linear);
  EXPECT_EQ(linear->hyper.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_ERROR(ParseHfConfig(Config({{"rope_scaling", R"({"type": "linear"})"}})), kInvalidArgument,
               "'factor'");
  EXPECT_ERROR(ParseHfConfig(Config({{"rope_scaling", R"({"type": "yarn", "factor": 4})"}})),
               kUnimplemented, "'yarn'");
  EXPECT_ERROR(ParseHfConfig(Config({{"rope_scaling", R"({"type": "linear", "factor": -1})"}})),
               kInvalidArgument, "rope_scaling.factor");
}

TEST(HfConfig, NewerSpellingOfRope) {
  const auto c =
      ParseHfConfig(Config({{"rope_parameters", R"({"rope_type": "default", "rope_theta": 500000.0,
                                                               "partial_rotary_factor": 0.5})"},
                            {"rope_theta", "absent"},
                            {"rope_scaling", "absent"}}));
  ASSERT_OK(c);
  EXPECT_EQ(c->hyper.rope_theta, 500000.0f);
  EXPECT_EQ(c->hyper.rope_dims, 8);
}

// Beyond its window Mistral would need sliding attention; up to it, full attention is the same.
// Formats whose graphs have windows go on.
TEST(HfConfig, MistralsContextEndsAtItsWindow) {
  const auto c = ParseHfConfig(
      Config({{"architectures", R"(["MistralForCausalLM"])"}, {"sliding_window", "128"}}));
  ASSERT_OK(c);
  EXPECT_EQ(c->hyper.context, 128);
  EXPECT_EQ(c->hyper.sliding_window, 0);
  const Hyperparameters windows = WithWindows(c->hyper);
  EXPECT_GT(windows.context, 128);
  EXPECT_EQ(windows.original_context, windows.context);
  EXPECT_EQ(windows.context, c->hyper.windowed_context);
  EXPECT_EQ(windows.sliding_window, 128);
  EXPECT_EQ(AttentionWindow(windows, 0), 128);

  const auto wide = ParseHfConfig(
      Config({{"architectures", R"(["MistralForCausalLM"])"}, {"sliding_window", "100000000"}}));
  ASSERT_OK(wide);
  EXPECT_EQ(wide->hyper.windowed_context, 0);
  EXPECT_EQ(WithWindows(wide->hyper).context, wide->hyper.context);
}

TEST(HfConfig, Experts) {
  using Members = std::vector<std::pair<std::string, std::string>>;
  const auto parse = [](const Members& change) {
    Members all{{"architectures", R"(["Qwen3MoeForCausalLM"])"},
                {"num_experts", "8"},
                {"num_experts_per_tok", "2"},
                {"moe_intermediate_size", "48"},
                {"decoder_sparse_step", "1"},
                {"mlp_only_layers", "[]"},
                {"norm_topk_prob", "true"}};
    all.insert(all.end(), change.begin(), change.end());
    return ParseHfConfig(Config(all));
  };
  const auto c = parse({});
  ASSERT_OK(c);
  EXPECT_EQ(c->family->name, "qwen3moe");
  EXPECT_EQ(c->hyper.experts, 8);
  EXPECT_EQ(c->hyper.experts_used, 2);
  EXPECT_EQ(c->hyper.expert_width, 48);
  EXPECT_EQ(c->hyper.intermediate, 96);
  EXPECT_OK(parse({{"decoder_sparse_step", "absent"}, {"mlp_only_layers", "absent"}}));
  EXPECT_ERROR(parse({{"decoder_sparse_step", "2"}}), kUnimplemented, "decoder_sparse_step is 2");
  EXPECT_ERROR(parse({{"mlp_only_layers", "[0, 3]"}}), kUnimplemented, "mlp_only_layers", "2");
  // Hugging Face's default.
  EXPECT_ERROR(parse({{"norm_topk_prob", "absent"}}), kUnimplemented, "norm_topk_prob");
  EXPECT_ERROR(parse({{"num_experts_per_tok", "9"}}), kInvalidArgument, "num_experts_per_tok is 9",
               "8");
  EXPECT_ERROR(parse({{"num_experts", "absent"}}), kInvalidArgument, "num_experts");
  EXPECT_ERROR(parse({{"num_experts", "4611686018427387904"}}), kInvalidArgument, "num_experts is");
}

TEST(HfConfig, Phimoe) {
  using Members = std::vector<std::pair<std::string, std::string>>;
  const auto parse = [](const Members& change) {
    Members all{{"architectures", R"(["PhiMoEForCausalLM"])"},
                {"num_local_experts", "8"},
                {"num_experts_per_tok", "2"},
                {"attention_bias", "true"},
                {"lm_head_bias", "true"},
                {"router_jitter_noise", "0.01"},
                {"original_max_position_embeddings", "128"}};
    all.insert(all.end(), change.begin(), change.end());
    return ParseHfConfig(Config(all));
  };
  const auto scaled = [](std::string_view scales) {
    return std::pair<std::string, std::string>(
        "rope_scaling",
        fmt::format(R"({{"type": "longrope", "long_factor": {0}, "short_factor": {0}{1}}})",
                    Ones(8), scales));
  };
  auto c = parse({scaled(R"(, "long_mscale": 1.25, "short_mscale": 1.25)")});
  ASSERT_OK(c);
  EXPECT_EQ(c->family->name, "phimoe");
  EXPECT_EQ(c->hyper.experts, 8);
  EXPECT_EQ(c->hyper.expert_width, 96);
  EXPECT_EQ(c->hyper.rope_scaling.attention_factor, 1.25f);
  c = parse({{"sliding_window", "100"}});
  ASSERT_OK(c);
  EXPECT_EQ(c->hyper.context, 100) << "attention does not see further in the published code alone";
  EXPECT_ERROR(parse({scaled(R"(, "long_mscale": 1.25, "short_mscale": 1.5)")}), kUnimplemented,
               "'long_mscale' is 1.25", "'short_mscale' is 1.5");
  EXPECT_ERROR(parse({scaled(R"(, "long_mscale": 1.25)")}), kUnimplemented,
               "'short_mscale' is absent");
  EXPECT_ERROR(parse({{"router_jitter_noise", "0.05"}}), kUnimplemented,
               "router_jitter_noise is 0.05");
  EXPECT_ERROR(parse({{"attention_bias", "false"}}), kUnimplemented, "attention_bias");
  EXPECT_ERROR(parse({{"lm_head_bias", "absent"}}), kUnimplemented, "lm_head_bias");
  EXPECT_ERROR(parse({{"num_experts_per_tok", "3"}}), kUnimplemented, "num_experts_per_tok is 3");
}

TEST(HfConfig, GptOss) {
  using Members = std::vector<std::pair<std::string, std::string>>;
  const auto parse = [](const Members& change) {
    Members all{{"architectures", R"(["GptOssForCausalLM"])"},
                {"num_local_experts", "8"},
                {"num_experts_per_tok", "4"},
                {"sliding_window", "128"},
                {"max_position_embeddings", "4096"},
                {"layer_types", R"(["sliding_attention", "full_attention"])"}};
    all.insert(all.end(), change.begin(), change.end());
    return ParseHfConfig(Config(all));
  };
  const auto yarn = [](std::string_view more) {
    return std::pair<std::string, std::string>(
        "rope_scaling", fmt::format(R"({{"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0,
 "beta_slow": 1.0, "original_max_position_embeddings": 128{}}})",
                                    more));
  };
  const auto c = parse({yarn(R"(, "truncate": false)")});
  ASSERT_OK(c);
  EXPECT_EQ(c->family->name, "gpt-oss");
  EXPECT_EQ(c->hyper.rope_scaling.kind, RopeScaling::Kind::kYarn);
  EXPECT_EQ(c->hyper.rope_scaling.factor, 32.f);
  EXPECT_EQ(c->hyper.original_context, 128);
  EXPECT_EQ(c->hyper.context, 4096);
  EXPECT_EQ(c->hyper.expert_width, c->hyper.intermediate);
  EXPECT_EQ(WindowOf(c->hyper, 0), 128);
  EXPECT_EQ(WindowOf(c->hyper, 1), 0);
  EXPECT_ERROR(parse({yarn("")}), kUnimplemented, "truncate");
  EXPECT_ERROR(parse({yarn(R"(, "truncate": false, "mscale": 2)")}), kUnimplemented, "mscale");
  EXPECT_ERROR(parse({yarn(R"(, "truncate": false)"), {"swiglu_limit", "8.0"}}), kUnimplemented,
               "swiglu_limit is 8");
  EXPECT_ERROR(parse({{"attention_bias", "false"}}), kUnimplemented, "attention_bias");
  EXPECT_ERROR(ParseHfConfig(Config({yarn(R"(, "truncate": false)")})), kUnimplemented, "'yarn'");
}

TEST(HfConfig, RefusesWhatWouldRunWrong) {
  EXPECT_ERROR(ParseHfConfig(Config({{"hidden_act", R"("gelu")"}})), kUnimplemented, "'gelu'");
  EXPECT_ERROR(ParseHfConfig(Config({{"quantization_config", R"({"quant_method": "hqq"})"}})),
               kUnimplemented, "quantization_config", "'hqq'");
  EXPECT_ERROR(ParseHfConfig(Config({{"use_sliding_window", "true"}})), kUnimplemented,
               "use_sliding_window");
}

TEST(HfConfig, EveryFieldIsRangeChecked) {
  for (const auto& [field, value] : std::vector<std::pair<std::string, std::string>>{
           {"hidden_size", "0"},
           {"hidden_size", "-64"},
           {"hidden_size", "99999999999"},
           {"intermediate_size", "0"},
           {"num_hidden_layers", "0"},
           {"num_hidden_layers", "1000000"},
           {"num_attention_heads", "0"},
           {"num_key_value_heads", "0"},
           {"num_key_value_heads", "8"},
           {"num_key_value_heads", "3"},
           {"head_dim", "0"},
           {"head_dim", "15"},
           {"head_dim", "9223372036854775807"},
           {"vocab_size", "0"},
           {"vocab_size", "4000000000"},
           {"max_position_embeddings", "0"},
           {"max_position_embeddings", "9223372036854775807"},
           {"rms_norm_eps", "0"},
           {"rms_norm_eps", "-1"},
           {"rope_theta", "0"},
           {"rope_theta", "1e300"},
           {"sliding_window", "-1"}})
    EXPECT_EQ(ParseHfConfig(Config({{field, value}})).status().code(),
              absl::StatusCode::kInvalidArgument)
        << field << " = " << value;
}

TEST(HfConfig, NamesMembersThatAreMissingOrOfTheWrongType) {
  for (const char* field :
       {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "vocab_size", "max_position_embeddings", "rms_norm_eps"})
    EXPECT_ERROR(ParseHfConfig(Config({{field, "absent"}})), kInvalidArgument,
                 fmt::format("'{}'", field));
  EXPECT_ERROR(ParseHfConfig(Config({{"hidden_size", "\"64\""}})), kInvalidArgument, "config.json",
               "'hidden_size'");
  EXPECT_ERROR(ParseHfConfig(Config({{"hidden_size", "64.5"}})), kInvalidArgument, "integer");
  EXPECT_ERROR(ParseHfConfig(Config({{"rope_scaling", "[]"}})), kInvalidArgument, "object");
  EXPECT_ERROR(ParseHfConfig(Config({{"tie_word_embeddings", "1"}})), kInvalidArgument,
               "true or false");
}

TEST(HfConfig, RefusesWhatIsNotJson) {
  EXPECT_ERROR(ParseHfConfig(""), kInvalidArgument, "JSON");
  EXPECT_ERROR(ParseHfConfig("[1]"), kInvalidArgument, "JSON object");
  EXPECT_ERROR(ParseHfConfig("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"),
               kInvalidArgument, "JSON");
}

}  // namespace
}  // namespace quantfleet::pipeline
