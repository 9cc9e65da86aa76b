#include "cli/program.h"

int main(int argc, char** argv) { return quantfleet::cli::RunProgram(argc, argv); }
