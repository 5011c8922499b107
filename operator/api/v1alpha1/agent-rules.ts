import type { Rule } from './kubernetes.ts';
import { maxNameLength } from './names.ts';

/** Fields of the short form that describe its one container, and where the full form has them. */
export const shortFormContainerFields = [
  'command',
  'args',
  'env',
  'envFrom',
  'ports',
  'resources',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'volumeMounts',
  'workingDir',
] as const;

/** Fields of the short form that describe the pod around the container. */
export const shortFormPodFields = [
  'volumes',
  'serviceAccountName',
  'automountServiceAccountToken',
  'imagePullSecrets',
  'priorityClassName',
  'nodeSelector',
  'tolerations',
  'affinity',
  'topologySpreadConstraints',
  'schedulerName',
  'terminationGracePeriodSeconds',
  'securityContext',
] as const;

function notBesideTemplate(field: string, home: string): Rule {
  return {
    rule: `!(has(self.template) && has(self.${field}))`,
    message: `with template, ${field} belongs in template.spec${home}.${field}`,
    fieldPath: `.${field}`,
    reason: 'FieldValueForbidden',
  };
}

/** Rules that hold for an AgentSpec wherever it stands: in an Agent and in the template of an AgentPool. */
export const agentSpecRules: readonly Rule[] = [
  {
    rule: 'has(self.image) != has(self.template)',
    message: 'set exactly one of image (one container, the short form) and template (a pod template, the full form)',
  },
  ...shortFormContainerFields.map((field) => notBesideTemplate(field, '.containers[]')),
  ...shortFormPodFields.map((field) => notBesideTemplate(field, '')),
  {
    rule: "!has(self.recovery) || !has(self.recovery.retryAfterFailedSeconds) || !has(self.restartPolicy) || self.restartPolicy == 'Always'",
    message: 'recovery.retryAfterFailedSeconds only applies to restartPolicy Always; remove one of the two',
  },
];

/** The Agent says how its pods are isolated and restarted, so its template may not. */
export const templateRules: readonly Rule[] = [
  {
    rule: '!has(self.spec.runtimeClassName)',
    message: "the template may not choose the runtime class; use the Agent's own runtimeClassName",
    fieldPath: '.spec.runtimeClassName',
    reason: 'FieldValueForbidden',
  },
  {
    rule: '!has(self.spec.restartPolicy)',
    message: "the template may not set the restart policy; use the Agent's own restartPolicy",
    fieldPath: '.spec.restartPolicy',
    reason: 'FieldValueForbidden',
  },
];

/**
 * A field that cannot be changed once the object exists. The rule stands on the parent: on the field
 * itself it would not run when the field is removed, nor when it is added back with another value.
 */
export function immutable(field: string, advice: string): Rule {
  return {
    rule: `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
    message: `${field} cannot be changed; ${advice}`,
  };
}

/** Rules of an Agent's own spec. An AgentPool's template may change: it makes new Agents. */
export const agentTransitionRules: readonly Rule[] = [
  'volumeClaimTemplates',
  'persistentVolumeClaimRetentionPolicy',
].map((field) => immutable(field, 'delete the Agent and create it again'));

/** A kind's names end up in label values, host names and names of children, so they are shorter than Kubernetes allows. */
export function nameRule(kind: keyof typeof maxNameLength): Rule {
  const max = maxNameLength[kind];
  return {
    rule: `size(self.metadata.name) <= ${max} && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')`,
    message: `the name of ${kind === 'Tenant' ? 'a' : 'an'} ${kind} has at most ${max} characters: lower-case letters, digits and '-'`,
  };
}
