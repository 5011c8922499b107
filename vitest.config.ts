import { defineConfig } from 'vitest/config';

/** Four levels, told apart by file name; `make test` runs all of them. */
export default defineConfig({
  test: {
    // A test that starts nothing and asserts nothing must not pass for a run.
    passWithNoTests: false,
    // The clusters of a run are ended after it, on a slow disk not at once.
    teardownTimeout: 120_000,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['operator/**/*.test.ts', 'hack/**/*.test.ts'],
          exclude: ['**/*.integration.test.ts', '**/*.proof.test.ts', '**/node_modules/**'],
        },
      },
      {
        test: {
          name: 'integration',
          include: ['operator/**/*.integration.test.ts', 'hack/**/*.integration.test.ts'],
          globalSetup: ['operator/testkit/global-setup.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'proof',
          include: ['operator/**/*.proof.test.ts'],
          globalSetup: ['operator/testkit/global-setup.ts'],
          testTimeout: 600_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['e2e/**/*.e2e.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
