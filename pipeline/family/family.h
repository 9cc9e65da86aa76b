// What the models of one family have in common, as data: what they are called, which tensors they
// have and how either kind of file spells them, what is peculiar to them in each format. A family
// is one file of this folder and a row in registry.cc. Whoever reads, cuts, checks, writes or runs
// a model goes by this description and by the pieces that it leads to, never by a family's name.
//
// A member's default is what Llama has. Which biases, norms and gates there are follows from the
// list of tensors. docs/extend/family.md says what gets a member, and who reads it. Immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// Whose words: Hugging Face's checkpoints (ONNX and OpenVINO use them too), GGUF's, or MLX's.
enum class Dialect { kHf, kGguf, kMlx };

// MLX's files are spelled as Hugging Face's where no third name is given.
struct Spelled {
  std::string_view hf, gguf, mlx = {};
};

enum class Presence {
  kAlways,
  kOptional,  // all tensors that are, or none of them, as the first layer has it
};

struct FamilyTensor {
  Role role;
  // Of a layer's tensor without the layer: "self_attn.q_proj.weight". An expert's has its number
  // where the name has a star; one without a star holds all experts, one upon the other.
  Spelled name;
  Presence presence = Presence::kAlways;
  // What Hugging Face's files leave out of each value, which all others have in it: Gemma's norms
  // are computed with w + 1.
  float hf_lacks = 0;
};

// The rows of several pieces one after the other, in one tensor.
struct FusedTensor {
  std::span<const Role> roles;
  Spelled name;             // empty: that dialect does not fuse them
  bool alternates = false;  // the pieces' rows (of vectors: elements) take turns instead
};
inline constexpr Role kGateUpExpert[] = {Role::kFfnGateExpert, Role::kFfnUpExpert};
inline constexpr Role kGateUpExpertBias[] = {Role::kFfnGateExpertBias, Role::kFfnUpExpertBias};
inline constexpr Role kQkv[] = {Role::kAttnQ, Role::kAttnK, Role::kAttnV};
inline constexpr Role kQkvBias[] = {Role::kAttnQBias, Role::kAttnKBias, Role::kAttnVBias};
inline constexpr Role kGateUp[] = {Role::kFfnGate, Role::kFfnUp};

// What layers do before attention, before the feed-forward part, and before the head. A bias is
// added where the family has its tensor.
enum class Norm {
  kRms,    // x / sqrt(mean(x^2) + epsilon) * weight
  kLayer,  // the same of x - mean(x)
};

// Of the gate where the family has one, otherwise of what the feed-forward part widens to.
enum class Activation {
  kSilu,  // x * sigmoid(x)
  // x * sigmoid(kSwigluSlope x), x no more than kSwigluLimit, and what it gates between that and
  // its negative, plus 1
  kClampedSwiglu,
  kGeluTanh,  // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); not GELU by erf
  kGeluErf,   // 0.5 x (1 + erf(x / sqrt(2)))
};
inline constexpr float kSwigluSlope = 1.702f, kSwigluLimit = 7;
inline constexpr std::string_view kSiluNames[] = {"silu", "swish"};
// "gelu" is what Gemma's early files call it.
inline constexpr std::string_view kGemmaGeluNames[] = {"gelu_pytorch_tanh", "gelu", "gelu_new"};
inline constexpr std::string_view kGeluErfNames[] = {"gelu"};
inline constexpr std::string_view kGeluTanhNames[] = {"gelu_new", "gelu_pytorch_tanh"};

// How a token's experts are chosen of the scores that the router gives them, and weighed.
enum class Routing {
  // The highest scores, weighed by softmax over these alone. Softmax over all experts, of which the
  // chosen weights are made to sum to 1, is the same.
  kSoftmaxOfChosen,
  // Two, the second as if the first were not there. Each is weighed by softmax over those whose
  // scores come near its own (kSparseMixerReach), so that the two weights need not sum to 1.
  kSparseMixer,
};
// How far below the best a score may be, in units of the greater of its size and the best, to count
// in the weight of the best: twice the noise that routers were trained with.
inline constexpr float kRouterNoise = 0.01f, kSparseMixerReach = 2 * kRouterNoise;

// Of a family whose feed-forward parts are experts: config.json's members and GGUF's keys below the
// architecture.
struct ExpertsOf {
  Routing routing = Routing::kSoftmaxOfChosen;
  Spelled count, used;
  Spelled width = {};  // no name: an expert is as wide as intermediate_size says
};

// How a layer's two parts join the residual stream.
enum class Residual {
  kSequential,  // x += attention(norm(x)), then x += feed_forward(other_norm(x))
  kParallel,    // x += attention(norm(x)) + feed_forward(norm(x)), of one norm
};

// A number of the model's own that its computation multiplies or divides by.
struct FamilyScalar {
  float Hyperparameters::* value;
  Spelled name;  // config.json's member, GGUF's key below the architecture
  std::optional<float> where_absent = std::nullopt;  // or it has to be there
};

// What becomes of config.json's sliding_window.
enum class Window {
  kIgnored,      // the class does not heed it
  kInAttention,  // attention sees no further back
  kEndsContext,  // up to it, full attention is the same thing; beyond it only some formats go
                 // (WithWindows)
};

// A class of Hugging Face's transformers whose models these are.
struct HfClass {
  std::string_view name;        // "LlamaForCausalLM"
  std::string_view model_type;  // "llama"; mostly GenAI's type as well
  Window window = Window::kIgnored;
  // Its checkpoints have each product's weight as base_layer beside adapters, and encoders of
  // images and sound. Those are left out.
  bool beside_adapters = false;
  bool headless = false;  // it generates no text: it is an embedding model's
  // Of a model that does more than text: config.json has the text part's members under
  // "text_config", tensors have a prefix, and those of the other parts are left out.
  bool text_part = false;
  std::string_view config_defaults = "{}";  // what a config.json means that does not say
};

// Members of config.json that not every class has.
enum class ConfigMember {
  kHeadDim,
  kOriginalContext,
  kPartialRotaryFactor,
  kSlidingWindow,
  kNoBiases,  // that there are none
  kNoRopeLayers,
  kGptOss,            // the limit of its activation, and that there are biases
  kHiddenActivation,  // hidden_act under another name
  kQueryScalar,       // query_pre_attn_scalar: the score's scale is 1 / its root
  kWindowPattern,     // sliding_window_pattern and layer_types
  kLocalRopeTheta,
  kPhimoe,              // biases on attention and the head, and the router's noise
  kExpertsInAllLayers,  // and that the weights of the chosen ones sum to 1
};

// Which models of 80 layers llama.cpp takes for one of 70B when it mixes types.
enum class SeventyB { kNone, kSharedKv, kAll };

struct Family {
  // GGUF's general.architecture and the prefix of its keys; what manifests and people call it.
  std::string_view name;
  std::span<const HfClass> classes;  // the first one is what config.json says where we write it

  // In canonical order: the embedding, what each layer has, the output's norm and head. A tied
  // model does without the head; of a family without one all models are tied.
  std::span<const FamilyTensor> tensors;
  Spelled layer{"model.layers", "blk"};  // ".3." and a layer's tensor follow
  // Tensors that a checkpoint may have in place of those that they fuse.
  std::span<const FusedTensor> fused = {};
  // Tensors that Hugging Face's files may have beside them, and that nobody runs.
  std::span<const std::string_view> left_out = {};
  bool tied_by_default = false;  // what config.json means where it does not say
  bool writes_fused = false;     // the published files have them, and so have ours

  // Every token of a text sees every other, norms stand behind each part and none before the
  // output. Its models make embeddings alone.
  bool encoder = false;
  Norm norm = Norm::kRms;
  // config.json's member, and GGUF's key below the architecture.
  Spelled epsilon{"rms_norm_eps", "attention.layer_norm_rms_epsilon"};
  Activation activation = Activation::kSilu;
  // What config.json's hidden_act may say; the first is what it says where we write it, and what
  // its absence means.
  std::span<const std::string_view> hidden_act = kSiluNames;
  Residual residual = Residual::kSequential;
  std::span<const FamilyScalar> scalars = {};
  std::optional<ExpertsOf> experts = std::nullopt;
  bool scales_embedding_by_root = false;  // what it looks up times sqrt(hidden), as no file says

  bool partial_rotary = false;  // the first dimensions of a head alone may turn
  bool long_rope = false;       // LongRoPE's two sets of factors
  bool yarn = false;            // YaRN, whose ramp between the two dimensions is not rounded
  // Every n-th layer has no rotary embedding, as no key of GGUF says; 0: all layers have it.
  int64_t unturned_every = 0;

  // Of a family whose attention has windows: every so many layers one sees everything, unless a
  // file says otherwise, and the window and the rotary base of the others where a file says
  // neither. 0: no layer slides; no window, no base of their own.
  int64_t full_every = 0;
  int64_t default_window = 0;
  float sliding_rope_theta = 0;
  // Models of so many layers divide scores by the root of hidden / heads instead of head_dim's, as
  // no key of GGUF says; 0: none does.
  int64_t wide_scores_layers = 0;

  // How GGUF has the rows of what is rotated; HF's checkpoints have halves.
  RowOrder gguf_rows = RowOrder::kHf;
  // GGUF's keys of the window and of the original context are written even where nothing is in
  // them.
  bool gguf_states_window = false;
  std::span<const ConfigMember> config_members = {};  // in the order in which they are written
  bool mlx_reads_head_dim = false;                    // or its model takes hidden / heads
  bool mlx_scales_rope = true;                        // or its model ignores rope_scaling
  bool mlx_needs_factors = false;  // its model knows no rotary embedding but LongRoPE
  bool mlx_slides = true;          // or its model ignores windows
  // How mlx-embeddings' model pools; nullopt: it has none that computes as ours does.
  std::optional<Pooling> mlx_pools = std::nullopt;
  // What ONNX Runtime GenAI calls it where that is not what transformers does.
  std::string_view genai_type = {};
  bool transformers_js = true;  // or it has no class of this name
  // Added tokens of a SentencePiece model mean what the files say; of others those that look like
  // control tokens are.
  bool literal_added_tokens = false;
  SeventyB seventy_b = SeventyB::kNone;
};

// All families, each once.
std::span<const Family* const> Families();
// Those whose models may generate text: all but encoders.
std::span<const Family* const> Decoders();
// By Family::name; null: there is none.
const Family* FindFamily(std::string_view name);
// "phi3, llama and qwen2": those that have it, or all.
std::string FamilyNames(bool Family::* which = nullptr);

// The row of the family's tensors; null: its models do not have the role.
const FamilyTensor* FindTensor(const Family& family, Role role);
// Whether its models may do with or without it.
bool IsOptional(const Family& family, Role role);
// The fused tensor that may hold the role; null: none.
const FusedTensor* FindFused(const Family& family, Role role);

// What the family's models of these sizes divide scores by, squared.
int64_t QueryScalar(const Family& family, const Hyperparameters& hyper);
// What hyper.attention_scale has to say of that.
float AttentionScaleOf(const Family& family, const Hyperparameters& hyper);

// n where of these layers every n-th is true and no other, as `wanted` has it if it can be;
// nullopt: they follow no such rule.
std::optional<int64_t> PeriodOf(const std::vector<bool>& layers, int64_t wanted);

// Whether rotary embedding turns the layer's q and k.
bool TurnsLayer(const Family& family, int64_t layer);

// Whether that dialect's files hold all experts of a layer in one tensor of the role.
bool StacksExperts(const Family& family, Dialect dialect, Role role);

// "model.layers.3.self_attn.q_proj.weight" of "self_attn.q_proj.weight". Of an expert's tensor
// without a number, the name of one that stacks all of the layer's:
// "model.layers.3.mlp.experts.up_proj.weight".
std::string LayerTensorName(const Family& family, Dialect dialect, const Spelled& name, int layer,
                            int expert = -1);
// The tensor of the role alone. `layer` is -1 for what is not of a layer, `expert` for what is not
// of an expert. The family has the role.
std::string TensorName(const Family& family, Dialect dialect, Role role, int layer = -1,
                       int expert = -1);
// The tensor that the family's files keep the role in: the fused one where they fuse.
std::string HoldingTensorName(const Family& family, Dialect dialect, Role role, int layer,
                              int expert = -1);
// What that dialect's files leave out of the role's values.
float LackOf(const Family& family, Dialect dialect, Role role);
// What the embedding's rows are multiplied by.
float EmbeddingScale(const Family& family, const Hyperparameters& hyper);
// How that dialect's files have the role's rows.
RowOrder RowOrderOf(const Family& family, Dialect dialect, Role role);

}  // namespace quantfleet::pipeline
