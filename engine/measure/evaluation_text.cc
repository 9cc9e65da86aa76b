#include "engine/measure/evaluation_text.h"

#include <algorithm>
#include <cmath>

namespace quantfleet::engine {
namespace {

// Different kinds of prose, because a model may lose its numbers without losing its grammar, or the
// other way round.
constexpr std::string_view kEvaluationText =
    R"(The ferry left the harbour a little after six, when the fog had thinned enough to show the second buoy. Anna stood
at the rail with her collar turned up and counted the lights along the shore. Her brother had promised to wait at the old
customs house, and she had promised not to be late again. Neither of them believed the other, which made it easier.

Water boils at a lower temperature on a mountain than at the sea, because the air above it weighs less. At three thousand
metres it boils at about ninety degrees, so that potatoes take longer to cook and tea tastes thin. A pressure cooker
solves the problem by keeping the steam inside: the pressure rises, and with it the boiling point.

To set up the device, connect the cable to the port on the left and wait until the lamp turns green. Open the settings,
choose a network, and enter its password. If the lamp blinks red, the password was wrong; press the button for five
seconds and begin again. Do not switch the device off while an update is being installed.

Once upon a time there was a fox who wanted to learn how to count. He asked the owl, who was busy, and the hare, who could
only count to four. So he went to the river and threw in one stone for every duck that he saw. When the ducks had flown
away, he looked at the stones and said: now I know how many there were, and that is enough for a fox.

The committee met on the first Tuesday of March. It found that the budget had grown by eight per cent in two years, while
the number of readers had stayed the same. Two members proposed to open the library on Sundays; one asked who was to pay
for it. After a long discussion they agreed to try it for three months and to count the visitors.

She read the letter twice. "If you can repair the clock," it said, "you may keep what you find inside." There was nothing
inside but a key, a ticket from 1931, and a spring that had been wound too often. She put the key in her pocket, set the
hands to noon, and listened. After a moment the clock began to tick, slowly at first and then as if it had never stopped.
)";

constexpr std::string_view kGoldenPrompts[] = {
    "Once upon a time",
    "The capital of France is",
    "To make a cup of tea, first",
};

}  // namespace

std::string_view ShippedEvaluationText() { return kEvaluationText; }
std::span<const std::string_view> ShippedGoldenPrompts() { return kGoldenPrompts; }

absl::StatusOr<std::vector<int32_t>> EvaluationTokens(const Engine& engine, std::string_view text,
                                                      int64_t most) {
  QF_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, engine.Tokenize(text, /*add_bos=*/true));
  tokens.resize(std::min(tokens.size(), static_cast<size_t>(most)));
  return tokens;
}

bool IsOfAnotherKind(double mean_nll, int64_t vocab) {
  constexpr double kFar = 1.5;
  return !(mean_nll < kFar * std::log(static_cast<double>(vocab)));
}

}  // namespace quantfleet::engine
