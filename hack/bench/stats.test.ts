import { describe, expect, it } from 'vitest';
import { quantile, sampleOf, slopePerHour, thirds, writesOf } from './stats.ts';

describe('quantile', () => {
  it('takes the nearest rank', () => {
    expect(quantile([5, 1, 4, 2, 3], 0.5)).toBe(3);
    expect(
      quantile(
        Array.from({ length: 20 }, (_, i) => i + 1),
        0.95,
      ),
    ).toBe(19);
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe('writesOf', () => {
  it('counts what writes and leaves leases, reviews and reads out', () => {
    const text = [
      '# TYPE apiserver_request_total counter',
      'apiserver_request_total{code="201",resource="pods",verb="POST"} 3',
      'apiserver_request_total{code="200",resource="agents",subresource="status",verb="APPLY"} 2',
      'apiserver_request_total{code="200",resource="leases",verb="PUT"} 40',
      'apiserver_request_total{code="201",resource="subjectaccessreviews",verb="POST"} 9',
      'apiserver_request_total{code="200",resource="pods",verb="WATCH"} 7',
      'apiserver_request_duration_seconds_count{resource="pods",verb="POST"} 99',
    ].join('\n');
    expect(writesOf(text)).toBe(5);
  });
});

describe('sampleOf', () => {
  it('reads a series without labels', () => {
    const text = '# HELP up Whether.\nup 1\nprocess_cpu_seconds_total 2.5e+01\nup_since{a="b"} 7\n';
    expect(sampleOf(text, 'process_cpu_seconds_total')).toBe(25);
    expect(sampleOf(text, 'up_since')).toBeNaN();
  });
});

describe('slopePerHour', () => {
  it('is what the values rise by in an hour', () => {
    const rising = [0, 60, 120, 180].map((seconds) => ({ seconds, value: 100 + seconds / 60 }));
    expect(slopePerHour(rising)).toBeCloseTo(60);
    expect(slopePerHour(rising.map((point) => ({ ...point, value: 7 })))).toBe(0);
    expect(slopePerHour(rising.slice(0, 1))).toBeNaN();
  });
});

describe('thirds', () => {
  it('are medians, whatever is left over by three', () => {
    expect(thirds([1, 2, 3, 40, 50, 60, 7, 8, 9])).toEqual([2, 50, 8]);
    expect(thirds([1, 1, 2, 2, 3])).toEqual([1, 2, 2]);
  });
});
