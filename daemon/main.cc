#include "daemon/program.h"

int main(int argc, char** argv) { return quantfleet::daemon::RunProgram(argc, argv); }
