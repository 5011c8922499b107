import type { AgentReason } from '../../api/v1alpha1/reasons.ts';
import { attemptOf } from './attempt.ts';
import { type AgentObserved, isDisrupted } from './facts.ts';
import { type AgentDetail, lastRow } from './history.ts';
import { type AgentEventType, type RecordedPhase, startsAttempt, type TransitionRule } from './machine.ts';
import { specHash } from './pod.ts';

/** A fact to be recorded, with the event that tells it. `observedAt` is in ms since the epoch. */
export type AgentTransition = {
  readonly from: string;
  readonly to: RecordedPhase;
  readonly reason: AgentReason;
  readonly attempt: number;
  readonly observedAt: number;
  readonly detail: AgentDetail;
  readonly event: { readonly type: AgentEventType; readonly data: Readonly<Record<string, unknown>> };
};

/** Turns the rules that were taken into what is recorded and told. */
export function agentTransitions(
  rules: readonly { readonly rule: TransitionRule; readonly reason: AgentReason }[],
  observed: AgentObserved,
  now: number,
): readonly AgentTransition[] {
  let from: string = lastRow(observed.history)?.to ?? 'New';
  return rules.map(({ rule, reason }) => {
    const transition = agentTransition(rule, reason, from, observed, now);
    from = rule.to;
    return transition;
  });
}

function agentTransition(
  rule: TransitionRule,
  reason: AgentReason,
  from: string,
  observed: AgentObserved,
  now: number,
): AgentTransition {
  const attempt = attemptOf(observed, now);
  const { pod } = attempt;
  const detail: AgentDetail = {
    namespace: observed.namespace,
    name: observed.name,
    ...(startsAttempt(rule.to) && observed.agent !== undefined ? { specHash: specHash(observed.agent.spec) } : {}),
    ...(rule.to === 'Ready'
      ? { startLatencyMilliseconds: startLatency(observed, now), firstReadyAt: firstReadyAt(observed, now) }
      : {}),
  };
  const number = attemptNumber(rule, attempt.number, isDisrupted(observed, attempt));
  return {
    from,
    to: rule.to,
    reason,
    attempt: number,
    observedAt: now,
    detail,
    event: {
      type: rule.event,
      data: {
        namespace: observed.namespace,
        name: observed.name,
        phase: rule.to,
        reason,
        attempt: number,
        ...(observed.agent === undefined
          ? {}
          : { runtimeClassName: pod?.spec?.runtimeClassName ?? observed.runtimeClass.name }),
        ...(pod?.metadata?.name === undefined ? {} : { podName: pod.metadata.name }),
        ...(pod?.metadata?.uid === undefined ? {} : { podUid: pod.metadata.uid }),
        ...(pod?.spec?.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
        ...(rule.to === 'Ready' ? { startLatencyMilliseconds: detail.startLatencyMilliseconds } : {}),
      },
    },
  };
}

/** 1 for a first try and after a new spec; every recovery but from a disruption is one more. */
function attemptNumber(rule: TransitionRule, current: number, disrupted: boolean): number {
  if (rule.to === 'Created' || rule.to === 'Replacing') return 1;
  return rule.to === 'Recovering' && !disrupted ? current + 1 : current;
}

function firstReadyAt({ history }: AgentObserved, now: number): number {
  const ready = history.kind === 'known' ? history.latestByPhase.Ready : undefined;
  return ready?.detail.firstReadyAt ?? ready?.observedAt ?? now;
}

/** From the moment this attempt could start to Ready; a pod that only lost readiness keeps its first figure. */
function startLatency(observed: AgentObserved, now: number): number {
  const { start, notBefore } = attemptOf(observed, now);
  const ready = observed.history.kind === 'known' ? observed.history.latestByPhase.Ready : undefined;
  const sameAttempt = ready !== undefined && start !== undefined && ready.seq > start.seq;
  return sameAttempt ? (ready.detail.startLatencyMilliseconds ?? 0) : Math.max(0, now - notBefore);
}
