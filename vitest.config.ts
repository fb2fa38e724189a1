import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // Each file that opens an embedded database costs some 350 MB and a core for two seconds.
    maxWorkers: 2,
    testTimeout: 60_000,
    // Build servers are shared: a test of real processes and real time limits may lose a race against the scheduler. A bug loses it twice.
    retry: process.env['CI'] ? 1 : 0,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    reporters: ['default'],
  },
})
