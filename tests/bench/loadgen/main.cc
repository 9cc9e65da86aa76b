#include "tests/bench/loadgen/program.h"

int main(int argc, char** argv) { return quantfleet::loadgen::RunProgram(argc, argv); }
