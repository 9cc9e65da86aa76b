// Conversations as the models' own templates write them. The templates stand here as their authors
// publish them, shortened where they go on about tools and default messages; what they make of a
// conversation is what transformers makes of it (tests/e2e/test_templates.py asks it about the
// published ones).
#include <gmock/gmock.h>

#include "tests/text/template/chat_texts.h"

namespace quantfleet::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPhi3First[] =
    R"({{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + message['content'] + '<|end|>' + '\n' + '<|assistant|>' + '\n'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\n'}}{% endif %}{% endfor %})";
constexpr char kPhi4Mini[] =
    R"({% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %})";
constexpr char kLlama31[] = R"({{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %})";
constexpr char kMistral02Later[] = R"({%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.first and system_message is defined %}
            {{- " [INST] " + system_message + "\n\n" + message["content"] + " [/INST]" }}
        {%- else %}
            {{- " [INST] " + message["content"] + " [/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] + eos_token}}
    {%- endif %}
{%- endfor %})";
constexpr char kMistral03[] = R"({%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %})";
constexpr char kNemo[] = R"({%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST]" + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST]" + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- message["content"] + eos_token}}
    {%- endif %}
{%- endfor %})";
constexpr char kMistralSmall[] = R"({{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = 'You are small. Today is ' + strftime_now("%Y-%m-%d") + '.' %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- '[SYSTEM_PROMPT]' + system_message + '[/SYSTEM_PROMPT]' }}
{%- for message in loop_messages %}
    {%- if message['role'] == 'user' %}
        {{- '[INST]' + message['content'] + '[/INST]' }}
    {%- elif message['role'] == 'assistant' %}
        {{- message['content'] + eos_token }}
    {%- endif %}
{%- endfor %})";
constexpr char kQwen25[] = R"({%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %})";

// As SmolLM2, Qwen 1.5 and Qwen 2 have it: a system message where there is none, its line's end a
// real one.
constexpr char kDefaultSystem[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
    "'<|im_start|>system\n"
    "You are small, and helpful.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + "
    "'\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";
// As Phi-4-mini-reasoning: in quotes that hold a quote, before what the conversation says.
constexpr char kAlwaysSystem[] =
    R"({{ "<|system|>You're small. Reason." }}{% if messages[0]['role'] == 'system' %}{{ ' ' + messages[0]['content'] }}{% set messages = messages[1:] %}{% endif %}<|end|>{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %})";
constexpr char kZephyr[] = R"({% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %})";
constexpr char kQwen3[] = R"({%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(open=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.open and message.role == "user" and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.open = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in message.content and loop.index0 < ns.last %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- for tool_call in message.tool_calls %}{{- tool_call | tojson }}{%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %})";
constexpr char kLlama32[] = R"({%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{{- "Today Date: " + date_string + "\n\n" }}
{%- for message in messages %}{{- message.content }}{%- endfor %})";

TEST(Chat, Phi35) {
  EXPECT_EQ(Text(kPhi35, kTalk),
            "<|system|>\nBe brief.<|end|>\n<|user|>\nHi <|end|>\n<|assistant|>\n Ho<|end|>\n"
            "<|user|>\nWhy?<|end|>\n<|assistant|>\n");
  EXPECT_EQ(Text(kPhi35, {{"system", ""}, {"user", "Hi"}}), "<|user|>\nHi<|end|>\n<|assistant|>\n");
  EXPECT_THAT(RenderChat(kPhi35, kAsk)->stop, ElementsAre("<|end|>"));
}

// Phi-3-mini's first template and Phi-3-medium's have no turn for it; they were given one that
// their models never saw.
TEST(Chat, Phi3sFirstTemplateDropsTheSystemMessage) {
  EXPECT_EQ(
      Text(kPhi3First, kTalk),
      "<|user|>\nHi <|end|>\n<|assistant|>\n Ho<|end|>\n<|user|>\nWhy?<|end|>\n<|assistant|>\n");
  const ChatTemplate read = ChatTemplate::Read(kPhi3First, {"<s>", "</s>"});
  EXPECT_EQ(read.state(), ChatTemplate::State::kKnown);
  EXPECT_TRUE(read.drops_system());
  EXPECT_THAT(read.Warning(), HasSubstr("system"));
  EXPECT_FALSE(ChatTemplate::Read(kPhi35, {}).drops_system());
}

// The detector looked for the two characters \n, published files hold a real line's end: the
// message was dropped without a word.
TEST(Chat, DefaultSystemMessageBehindARealLineEnd) {
  const std::string said = "<|im_start|>system\nYou are small, and helpful.<|im_end|>\n";
  const std::string ask = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
  std::string escaped;
  for (const char* c = kDefaultSystem; *c != '\0'; ++c)
    escaped += *c == '\n' ? "\\n" : std::string(1, *c);
  for (const std::string& chat_template : {std::string(kDefaultSystem), escaped}) {
    EXPECT_EQ(Text(chat_template.c_str(), kAsk), said + ask);
    EXPECT_EQ(Text(chat_template.c_str(), {{"system", "Be brief."}, {"user", "Hi"}}),
              "<|im_start|>system\nBe brief.<|im_end|>\n" + ask);
  }
}

TEST(Chat, DefaultSystemMessageThatHoldsAQuote) {
  EXPECT_EQ(Text(kAlwaysSystem, kAsk),
            "<|system|>You're small. Reason.<|end|><|user|>Hi<|end|><|assistant|>");
  EXPECT_EQ(Text(kAlwaysSystem, {{"system", "Be brief."}, {"user", "Hi"}}),
            "<|system|>You're small. Reason. Be brief.<|end|><|user|>Hi<|end|><|assistant|>");
}

TEST(Chat, ChatMl) {
  EXPECT_EQ(Text(kChatMl, kAsk), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_THAT(RenderChat(kChatMl, kAsk)->stop, ElementsAre("<|im_end|>"));
}

TEST(Chat, ZephyrAndTinyLlamaEndTurnsWithTheModelsOwnToken) {
  EXPECT_EQ(Text(kZephyr, kTalk),
            "<|system|>\nBe brief.</s>\n<|user|>\nHi </s>\n<|assistant|>\n "
            "Ho</s>\n<|user|>\nWhy?</s>\n<|assistant|>\n");
  EXPECT_EQ(ChatTemplate::Read(kZephyr, {"", "<|endoftext|>"}).Render(ChatOf(kAsk), kNow)->text,
            "<|user|>\nHi<|endoftext|>\n<|assistant|>\n");
  // Without such a token the template has no meaning.
  EXPECT_EQ(ChatTemplate::Read(kZephyr, {}).state(), ChatTemplate::State::kUnknown);
}

TEST(Chat, Gemma) {
  EXPECT_EQ(Text(kGemma, {{"user", "Hi "}, {"assistant", "Ho"}, {"user", "Why?"}}),
            "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHo<end_of_turn>\n"
            "<start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_THAT(Text(kGemma, kTalk), HasSubstr("System role not supported"));
  EXPECT_THAT(RenderChat(kGemma, kAsk)->stop, ElementsAre("<end_of_turn>"));
}

TEST(Chat, Qwen3ForgetsThoughtsAndThinks) {
  EXPECT_EQ(Text(kQwen3,
                 {{"user", "Hi"}, {"assistant", "<think>\nhm\n</think>\n\nHo"}, {"user", "Why?"}}),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"
            "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n");
}

TEST(Chat, Phi4) {
  EXPECT_EQ(Text(kPhi4, kTalk),
            "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hi <|im_end|>"
            "<|im_start|>assistant<|im_sep|> Ho<|im_end|><|im_start|>user<|im_sep|>Why?<|im_end|>"
            "<|im_start|>assistant<|im_sep|>");
}

TEST(Chat, Phi4Mini) {
  EXPECT_EQ(Text(kPhi4Mini, kTalk),
            "<|system|>Be brief.<|end|><|user|>Hi <|end|><|assistant|> Ho<|end|><|user|>Why?<|end|>"
            "<|assistant|>");
}

TEST(Chat, Llama2) {
  EXPECT_EQ(Text(kLlama2, kTalk),
            "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Ho </s><s>[INST] Why? [/INST]");
  EXPECT_EQ(Text(kLlama2, kAsk), "[INST] Hi [/INST]");
}

TEST(Chat, Llama3) {
  EXPECT_EQ(Text(kLlama3, kTalk),
            "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(Chat, Llama31TellsItsDates) {
  const std::string dates =
      "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
      "Today Date: 26 Jul 2024\n\n";
  const std::string ask =
      "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_"
      "header_id|>"
      "\n\n";
  EXPECT_EQ(Text(kLlama31, kAsk), dates + "<|eot_id|>" + ask);
  EXPECT_EQ(Text(kLlama31, {{"system", " Be brief. "}, {"user", "Hi"}}),
            dates + "Be brief.<|eot_id|>" + ask);
}

// The day of the request, as transformers tells it; it was that of the template's making.
TEST(Chat, Llama32TellsToday) { EXPECT_EQ(Text(kLlama32, kAsk), "Today Date: 29 Nov 2026\n\nHi"); }

TEST(Chat, MistralsGenerations) {
  EXPECT_EQ(Text(kMistral02, {{"user", "Hi"}, {"assistant", "Ho"}, {"user", "Why?"}}),
            "[INST] Hi [/INST]Ho</s>[INST] Why? [/INST]");
  EXPECT_THAT(Text(kMistral02, kTalk), HasSubstr("Conversation roles must alternate"));
  EXPECT_EQ(Text(kMistral02Later, kTalk),
            " [INST] Be brief.\n\nHi  [/INST]  Ho</s> [INST] Why? [/INST]");
  EXPECT_EQ(Text(kMistral03, kTalk), "[INST] Hi [/INST] Ho</s>[INST] Be brief.\n\nWhy?[/INST]");
  EXPECT_EQ(Text(kNemo, kTalk), "[INST]Hi [/INST] Ho</s>[INST]Be brief.\n\nWhy?[/INST]");
  EXPECT_EQ(Text(kMistralSmall, kTalk),
            "[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Hi [/INST] Ho</s>[INST]Why?[/INST]");
  EXPECT_EQ(Text(kMistralSmall, kAsk),
            "[SYSTEM_PROMPT]You are small. Today is 2026-11-29.[/SYSTEM_PROMPT][INST]Hi[/INST]");
}

TEST(Chat, Qwen25) {
  EXPECT_EQ(Text(kQwen25, kTalk),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|>\n"
            "<|im_start|>assistant\n "
            "Ho<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(Text(kQwen25, kAsk),
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
            "assistant.<|im_end|>\n"
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace
}  // namespace quantfleet::text
