#include "agent/serve/openai.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <cmath>

namespace quantfleet::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(OpenAiRequest, Completion) {
  const auto request = ParseCompletionRequest(
      Endpoint::kCompletions,
      R"({"model":"m","prompt":"Once","max_tokens":7,"temperature":0,"top_p":0.5,"seed":42,"stop":["a","b"],
          "stream":true,"stream_options":{"include_usage":true},"presence_penalty":0.5,"user":"x"})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->model, "m");
  EXPECT_EQ(request->prompt, "Once");
  EXPECT_EQ(request->max_tokens, 7);
  EXPECT_EQ(request->temperature, 0);
  EXPECT_EQ(request->top_p, 0.5f);
  EXPECT_FALSE(request->top_k.has_value());
  EXPECT_EQ(request->seed, 42u);
  EXPECT_TRUE(request->stream && request->include_usage);
  EXPECT_THAT(request->stop, ElementsAre("a", "b"));
}

TEST(OpenAiRequest, Chat) {
  const auto request =
      ParseCompletionRequest(Endpoint::kChatCompletions,
                             R"({"messages":[{"role":"developer","content":"Be brief."},
                      {"role":"user","content":[{"type":"text","text":"Hi"},{"type":"text","text":"!"}]}],
          "max_completion_tokens":5,"stop":"x","n":1,"tools":[],"logprobs":false})");
  ASSERT_TRUE(request.ok()) << request.status();
  ASSERT_EQ(request->chat.messages.size(), 2u);
  EXPECT_EQ(request->chat.messages[0].at("role"), "developer");
  EXPECT_EQ(request->chat.messages[1].at("content").get_array().size(), 2u);
  EXPECT_TRUE(request->chat.tools.empty());
  EXPECT_EQ(request->max_tokens, 5);
  EXPECT_THAT(request->stop, ElementsAre("x"));
}

TEST(OpenAiRequest, WrongOnesNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "JSON"},
      {"[]", "object"},
      {R"({"prompt":"a")", "JSON"},
      {R"({})", "prompt"},
      {R"({"prompt":3})", "prompt"},
      {R"({"prompt":["a","b"]})", "prompt"},
      {R"({"prompt":"a","max_tokens":0})", "max_tokens"},
      {R"({"prompt":"a","max_tokens":1.5})", "max_tokens"},
      {R"({"prompt":"a","max_tokens":1e300})", "max_tokens"},
      {R"({"prompt":"a","temperature":-1})", "temperature"},
      {R"({"prompt":"a","temperature":"hot"})", "temperature"},
      {R"({"prompt":"a","top_p":2})", "top_p"},
      {R"({"prompt":"a","n":2})", "n must"},
      {R"({"prompt":"a","echo":true})", "echo"},
      {R"({"prompt":"a","stop":[""]})", "stop"},
      {R"({"prompt":"a","stop":[1]})", "stop"},
      {R"({"prompt":"a","stream":"yes"})", "stream"},
      {R"({"prompt":"a","tools":[1]})", "tools"},
      {R"({"prompt":"a","model":5})", "model"},
  };
  for (const auto& [body, field] : cases) {
    const auto request = ParseCompletionRequest(Endpoint::kCompletions, body);
    EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument) << body;
    EXPECT_THAT(Message(request.status()), HasSubstr(field)) << body;
  }
  for (const char* body :
       {R"({"messages":[]})", R"({"messages":[{"role":"cat","content":"x"}]})",
        R"({"messages":[{"role":"user"}]})", R"({"messages":["x"]})", R"({"prompt":"a"})",
        R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})"})
    EXPECT_FALSE(ParseCompletionRequest(Endpoint::kChatCompletions, body).ok()) << body;
  const std::string deep(1000, '[');
  EXPECT_FALSE(ParseCompletionRequest(Endpoint::kCompletions, deep).ok());
}

TEST(OpenAiRequest, FieldsThatAskForNothingAreTaken) {
  for (const char* field :
       {R"("response_format":{"type":"text"})", R"("tool_choice":"none")", R"("suffix":"")",
        R"("tools":[])", R"("tools":null)", R"("functions":[])", R"("function_call":"none")",
        R"("logit_bias":{})", R"("echo":false)", R"("n":1)"}) {
    const auto body = fmt::format(R"({{"prompt":"a",{}}})", field);
    EXPECT_TRUE(ParseCompletionRequest(Endpoint::kCompletions, body).ok()) << body;
  }
  for (const char* field :
       {R"("response_format":{"type":"json_object"})", R"("tool_choice":"auto")",
        R"("response_format":{"type":"text","strict":true})", R"("suffix":"none")",
        R"("tools":{"a":1})", R"("logit_bias":{"5":1})"}) {
    const auto body = fmt::format(R"({{"prompt":"a",{}}})", field);
    const auto status = ParseCompletionRequest(Endpoint::kCompletions, body).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << body;
  }
}

// What came of calls went unsaid: the whole history now reaches the template.
TEST(OpenAiRequest, ToolsAndTheirHistory) {
  const auto chat = [](std::string_view second, std::string_view more = "") {
    return ParseCompletionRequest(
        Endpoint::kChatCompletions,
        fmt::format(R"({{"messages":[{{"role":"user","content":"x"}},{}]{}}})", second, more));
  };
  const std::string_view call =
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function"}]})";
  const auto called = chat(call, R"(,"tools":[{"type":"function"}],"tool_choice":"auto",
      "reasoning_effort":"low","chat_template_kwargs":{"enable_thinking":false})");
  ASSERT_TRUE(called.ok()) << called.status();
  EXPECT_EQ(called->chat.tools.size(), 1u);
  EXPECT_EQ(called->chat.variables.at("reasoning_effort"), "low");
  EXPECT_EQ(called->chat.variables.at("enable_thinking"), false);
  EXPECT_TRUE(chat(R"({"role":"tool","tool_call_id":"1","content":"4"})").ok());
  EXPECT_TRUE(chat(R"({"role":"assistant","content":"y","tool_calls":null})").ok());
  const auto none = chat(call, R"(,"tools":[{"type":"function"}],"tool_choice":"none")");
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->chat.tools.empty());
  for (const char* bad :
       {R"(,"tool_choice":"required")", R"(,"tools":{"a":1})", R"(,"tools":[1])",
        R"(,"chat_template_kwargs":[1])", R"(,"chat_template_kwargs":{"messages":[]})",
        R"(,"chat_template_kwargs":{"eos_token":"x"})"})
    EXPECT_EQ(chat(call, bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  EXPECT_FALSE(chat(R"({"role":"assistant"})").ok());
  EXPECT_FALSE(chat(R"({"role":"assistant","tool_calls":["x"]})").ok());
}

TEST(OpenAiRequest, HalfASurrogatePairIsNamed) {
  for (const char* half : {R"(\ud83d)", R"(\ud83dx)", R"(\ud83d\u0041)", R"(\ude00)"}) {
    const auto body = fmt::format(R"({{"prompt":"a{}"}})", half);
    const auto status = ParseCompletionRequest(Endpoint::kCompletions, body).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << body;
    EXPECT_THAT(Message(status), HasSubstr("surrogate")) << body;
  }
}

TEST(OpenAiRequest, Logprobs) {
  const auto text =
      ParseCompletionRequest(Endpoint::kCompletions, R"({"prompt":"a","logprobs":0})");
  EXPECT_EQ(text->top_logprobs, 0);
  EXPECT_EQ(ParseCompletionRequest(Endpoint::kCompletions, R"({"prompt":"a"})")->top_logprobs, -1);
  const auto chat = [](const char* fields) {
    return ParseCompletionRequest(
        Endpoint::kChatCompletions,
        fmt::format(R"({{"messages":[{{"role":"user","content":"x"}}],{}}})", fields));
  };
  EXPECT_EQ(chat(R"("logprobs":true)")->top_logprobs, 0);
  EXPECT_EQ(chat(R"("logprobs":true,"top_logprobs":20)")->top_logprobs, 20);
  EXPECT_EQ(chat(R"("logprobs":false)")->top_logprobs, -1);
  for (const char* bad :
       {R"("top_logprobs":2)", R"("logprobs":true,"top_logprobs":21)", R"("logprobs":3)"})
    EXPECT_THAT(Message(chat(bad).status()), HasSubstr("logprobs")) << bad;
}

TEST(OpenAiRequest, BytesThatAreNoUtf8AreNamed) {
  const auto request = ParseCompletionRequest(Endpoint::kCompletions, "{\"prompt\":\"a\xff\"}");
  EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(request.status()), HasSubstr("byte 12"));
  EXPECT_FALSE(ParseCompletionRequest(Endpoint::kCompletions, R"({"prompt":"\ud800"})").ok());
}

TEST(OpenAiAnswer, ShapesAreOpenAis) {
  engine::GenerateResult result;
  result.text = "the \"end\"\n";
  result.tokens = {1, 2};
  result.prompt_tokens = 5;
  result.finish_reason = "length";
  const auto chat =
      boost::json::parse(RenderAnswer({Endpoint::kChatCompletions, "id-1", "m", 9}, result));
  EXPECT_EQ(chat.at("object"), "chat.completion");
  EXPECT_EQ(chat.at("choices").at(0).at("message").at("content"), "the \"end\"\n");
  EXPECT_EQ(chat.at("choices").at(0).at("finish_reason"), "length");
  EXPECT_EQ(chat.at("usage").at("total_tokens"), 7);
  const auto text =
      boost::json::parse(RenderAnswer({Endpoint::kCompletions, "id-1", "m", 9}, result));
  EXPECT_EQ(text.at("object"), "text_completion");
  EXPECT_EQ(text.at("choices").at(0).at("text"), "the \"end\"\n");
  EXPECT_TRUE(text.at("choices").at(0).at("logprobs").is_null());
  const auto error = boost::json::parse(RenderError(ToApiError(NotFound("no such model"))));
  EXPECT_EQ(error.at("error").at("code"), "model_not_found");
  EXPECT_EQ(error.at("error").at("message"), "no such model");
}

TEST(OpenAiAnswer, TokensThatAreNoTextAreTheirBytes) {
  engine::GenerateResult result;
  result.text = "\xe2\x82\xac!";
  result.probabilities = {{"\xe2\x82", -0.25, {{"\xe2\x82", -0.25}, {"x", -INFINITY}}, 0},
                          {"\xac!", -1, {}, 0}};
  AnswerHead head{Endpoint::kChatCompletions, "id-1", "m", 9, true};
  const auto chat = boost::json::parse(RenderAnswer(head, result));
  const auto& content = chat.at("choices").at(0).at("logprobs").at("content");
  EXPECT_EQ(content.at(0).at("token"), "\xef\xbf\xbd");
  EXPECT_EQ(content.at(0).at("bytes"), (boost::json::array{226, 130}));
  EXPECT_EQ(content.at(0).at("top_logprobs").at(1).at("logprob"), -9999.0);
  head.endpoint = Endpoint::kCompletions;
  const auto text = boost::json::parse(RenderPiece(head, result.text, result.probabilities, true));
  const auto& logprobs = text.at("choices").at(0).at("logprobs");
  EXPECT_EQ(logprobs.at("token_logprobs"), (boost::json::array{-0.25, -1.0}));
  EXPECT_EQ(logprobs.at("text_offset"), (boost::json::array{0, 0}));
}

}  // namespace
}  // namespace quantfleet::agent
