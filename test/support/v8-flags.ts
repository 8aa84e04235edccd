/**
 * Flags of V8 (Node 20) that make it do seldom things often: collect, move and throw away, compile early, late or not at all, each with a seed of
 * its own. What is right only because an object happened to stay where it was, or a function was compiled as it usually is, fails under them.
 */
export const flagSets: readonly (readonly string[])[] = [
  ['--stress-compaction'],
  ['--stress-compaction-random', '--random-seed=7'],
  ['--gc-interval=500', '--random-seed=11'],
  ['--gc-interval=97', '--min-semi-space-size=1', '--max-semi-space-size=1'],
  ['--stress-scavenge=40', '--random-seed=13'],
  ['--stress-incremental-marking', '--stress-marking=60'],
  ['--stress-flush-code', '--gc-interval=2000'],
  ['--always-turbofan'],
  ['--interrupt-budget=1000', '--random-seed=17'],
  ['--deopt-every-n-times=1000'],
  ['--always-sparkplug', '--maglev'],
  ['--no-opt'],
  ['--no-concurrent-recompilation', '--stress-lazy-source-positions'],
  ['--max-lazy', '--no-use-ic'],
]
