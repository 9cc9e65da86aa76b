#include "common/trust/runtime.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::trust {
namespace {

v1::Runtime Good() {
  v1::Runtime runtime;
  runtime.set_command("llama-server");
  for (const char* arg : {"-m", "{model}", "--port", "{port}"}) runtime.add_args(arg);
  runtime.set_health_path("/health");
  runtime.set_start_timeout_seconds(120);
  runtime.set_stop_timeout_seconds(10);
  runtime.set_restart_ms(1000);
  return runtime;
}

TEST(Runtime, TakesWhatIsSound) {
  EXPECT_OK(CheckRuntime(Good()));
  v1::Runtime in_env = Good();
  in_env.clear_args();
  (*in_env.mutable_env())["SERVER_PORT"] = "{port}";
  EXPECT_OK(CheckRuntime(in_env));
  v1::Runtime socket = Good();
  socket.set_args(3, "{socket}");
  EXPECT_OK(CheckRuntime(socket));
}

TEST(Runtime, CommandIsANameNotAPath) {
  for (const char* command : {"", "/bin/sh", "../sh", "a b", "-x"}) {
    v1::Runtime runtime = Good();
    runtime.set_command(command);
    EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "--allow-runtime");
  }
}

TEST(Runtime, RefusesVariablesThatBringCode) {
  for (const char* name :
       {"LD_PRELOAD", "PYTHONPATH", "NODE_OPTIONS", "BASH_ENV", "PATH", "PERL5LIB"}) {
    v1::Runtime runtime = Good();
    (*runtime.mutable_env())[name] = "x";
    EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, name);
  }
  for (const char* value : {"/tmp/evil.so", "{folder}", "{model}", "sub/backend.so"}) {
    v1::Runtime runtime = Good();
    (*runtime.mutable_env())["GGML_BACKEND_PATH"] = value;
    EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "GGML_BACKEND_PATH");
  }
  for (const char* name : {"", "1A", "A=B", "A B"}) {
    v1::Runtime runtime = Good();
    (*runtime.mutable_env())[name] = "x";
    EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "letters, digits");
  }
}

TEST(Runtime, RefusesWhatCannotBeStartedOrReached) {
  v1::Runtime runtime = Good();
  runtime.set_args(3, "8080");
  EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "{port}");
  runtime = Good();
  runtime.add_args("{socket}");
  EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "{port}", "{socket}");
  runtime = Good();
  runtime.add_args("{modle}");
  EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "{modle}");
  runtime = Good();
  runtime.add_args(std::string("a\0b", 3));
  EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "NUL");
  runtime = Good();
  runtime.add_args(std::string(2000, 'a'));
  EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "2000 bytes");
  runtime = Good();
  for (int i = 0; i < 100; ++i) runtime.add_args("a");
  EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "runtime.args");
  for (const char* path : {"", "health", "/a b", "/a\r\nX: y"}) {
    runtime = Good();
    runtime.set_health_path(path);
    EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "runtime.health");
  }
  runtime = Good();
  runtime.set_start_timeout_seconds(0);
  EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "timeouts");
  runtime = Good();
  runtime.set_restarts(1000);
  EXPECT_ERROR(CheckRuntime(runtime), kInvalidArgument, "restarts");
}

TEST(Runtime, FillsPlaceholdersIn) {
  const std::map<std::string, std::string, std::less<>> values = {{"model", "/m.gguf"},
                                                                  {"port", "{model}"}};
  EXPECT_EQ(*FillIn("{model}:{port}", values),
            "/m.gguf:{model}");  // what was filled in is not read again
  EXPECT_EQ(*FillIn(R"({"a": {}, "b": {"c": 1}})", values), R"({"a": {}, "b": {"c": 1}})");
  EXPECT_EQ(*FillIn("{", values), "{");
  EXPECT_EQ(*FillIn("{model", values), "{model");
  EXPECT_ERROR(FillIn("{threads}", values), kInvalidArgument, "{threads}");
}

}  // namespace
}  // namespace quantfleet::trust
