// Preloaded, it makes of a machine one whose mathematics is wrong: e to the power of anything is
// one. An engine there runs as fast as ever and answers nonsense, which nothing but its answers
// tells.
extern "C" float expf(float) noexcept { return 1; }
