import { expect, test } from 'vitest';
import { isOpen, rendered, together } from './verdict.ts';

const finding = { where: 'data.podName', broke: 'was optional\nbecame required', fix: 'Call it 2.0.' };
const checked = ['20 schemas'];

test('a gate lets pass what it looked at and found nothing in', () => {
  expect(isOpen({ checked, findings: [] })).toBe(true);
  expect(isOpen({ checked, findings: [finding] })).toBe(false);
});

test('a gate that looked at nothing is closed', () => {
  expect(isOpen({ checked: [], findings: [] })).toBe(false);
});

test('a finding says where, what and what to do', () => {
  const lines = rendered(together({ checked, findings: [] }, { checked: [], findings: [finding] })).split('\n');
  expect(lines.slice(0, 5)).toEqual([
    '  20 schemas',
    '✗ data.podName',
    '  was optional',
    '  became required',
    '  → Call it 2.0.',
  ]);
});
