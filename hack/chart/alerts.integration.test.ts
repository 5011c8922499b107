import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { createMetrics } from '../../operator/telemetry/metrics.ts';
import { findHelm, type Rendered, render } from './helm.ts';

type Alert = {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
};
type Rules = { readonly groups: readonly { readonly name: string; readonly rules: readonly Alert[] }[] };

const file = join(import.meta.dirname, '../../charts/openos/files/alerts.yaml');
let rules: Rules;
let helm: string;

beforeAll(async () => {
  rules = parse(await readFile(file, 'utf8')) as Rules;
  helm = await findHelm();
}, 300_000);

const alerts = () => rules.groups.flatMap((group) => group.rules);
const isRule = ({ kind }: Rendered) => kind === 'PrometheusRule';

describe('the alerts', () => {
  test('ask for metrics that the operator has', async () => {
    const page = await createMetrics({ version: 'x', phases: [] }).metrics();
    const known = new Set([...page.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
    const asked = alerts().flatMap(({ expr }) => expr.match(/openos_\w+/g) ?? []);
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
  });

  test('have a name of their own each, a severity, and say what is the matter and what to do', () => {
    const names = alerts().map(({ alert }) => alert);
    expect(new Set(names).size).toBe(names.length);
    for (const { alert, annotations, labels } of alerts()) {
      expect(alert).toMatch(/^OpenOS[A-Z]\w+$/);
      expect(['warning', 'critical'], alert).toContain(labels.severity);
      expect([annotations.summary, annotations.description], alert).toEqual([
        expect.stringMatching(/\.$/),
        expect.stringMatching(/\.$/),
      ]);
    }
  });

  test('are installed as they are, where they are asked for and nowhere else', async () => {
    expect((await render(helm)).filter(isRule)).toEqual([]);
    const asked = ['telemetry.alerts.enabled=true', 'telemetry.alerts.labels.release=prometheus'];
    const [rule, ...others] = (await render(helm, ...asked)).filter(isRule);
    expect(others).toEqual([]);
    expect(rule?.spec).toEqual(rules);
    expect(rule?.metadata.labels).toMatchObject({ release: 'prometheus' });
  });
});
