import type { ResourceType } from '../kernel/object.ts';

/** Kubernetes' own kinds that OpenOS reads or writes. */
export const podResource: ResourceType = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };
export const namespaceResource: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
};
export const runtimeClassResource: ResourceType = {
  group: 'node.k8s.io',
  version: 'v1',
  kind: 'RuntimeClass',
  plural: 'runtimeclasses',
  namespaced: false,
};
const networking = { group: 'networking.k8s.io', version: 'v1', namespaced: true } as const;
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1', namespaced: true } as const;
const core = { group: '', version: 'v1', namespaced: true } as const;
export const networkPolicyResource: ResourceType = { ...networking, kind: 'NetworkPolicy', plural: 'networkpolicies' };
export const claimResource: ResourceType = {
  ...core,
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
};
export const resourceQuotaResource: ResourceType = { ...core, kind: 'ResourceQuota', plural: 'resourcequotas' };
export const limitRangeResource: ResourceType = { ...core, kind: 'LimitRange', plural: 'limitranges' };
export const roleBindingResource: ResourceType = { ...rbac, kind: 'RoleBinding', plural: 'rolebindings' };
export const nodeResource: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'Node',
  plural: 'nodes',
  namespaced: false,
};
