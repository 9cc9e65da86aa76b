#include "cli/local_commands.h"

#include "cli/local_calibrate.h"
#include "cli/local_compare.h"
#include "cli/local_fit.h"
#include "cli/local_inspect.h"
#include "cli/local_quantize.h"

namespace quantfleet::cli {

void AddLocalCommands(CLI::App& app) {
  AddQuantizeCommand(app);
  AddCalibrateCommand(app);
  AddFitCommand(app);
  AddInspectCommand(app);
  AddCompareCommand(app);
}

}  // namespace quantfleet::cli
