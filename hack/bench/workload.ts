import type { V1Pod } from '@kubernetes/client-node';
import type { Agent, AgentSpec } from '../../operator/api/v1alpha1/agent.ts';
import type { KubernetesObject, StoredObject } from '../../operator/kernel/object.ts';
import { agentPod } from '../../operator/resources/agent/pod.ts';

export type BenchPod = StoredObject & Pick<V1Pod, 'spec' | 'status'>;
export type BenchAgent = StoredObject & Pick<Agent, 'spec' | 'status'>;

export function agentManifest(namespace: string, name: string, spec: AgentSpec): KubernetesObject {
  const manifest = { apiVersion: 'openos.dev/v1alpha1', kind: 'Agent', metadata: { name, namespace } };
  return { ...manifest, spec } as KubernetesObject;
}

/** The floor: the very pod OpenOS would make of this Agent, without an owner and without our labels. */
export function barePod(namespace: string, name: string, spec: AgentSpec): KubernetesObject {
  const metadata = { name, namespace, uid: name, resourceVersion: '', generation: 1, creationTimestamp: '' };
  const agent: Agent = { apiVersion: 'openos.dev/v1alpha1', kind: 'Agent', metadata, spec };
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const runtimeClassName = spec.runtimeClassName ?? 'gvisor';
  const pod = agentPod({ agent, tenant: namespace, runtimeClassName, startSeq: 1, traceparent });
  const { apiVersion, kind } = pod;
  return { apiVersion, kind, metadata: { name, namespace }, spec: pod.spec } as KubernetesObject;
}

export function podIsReady(pod: BenchPod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}
