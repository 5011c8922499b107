/**
 * One permission a controller declares beside the code that uses it; the chart's roles are generated
 * from these. No wildcards: every verb is one that is really sent.
 */
export type PolicyRule = {
  /** '' is the core group. */
  readonly apiGroups: readonly string[];
  /** Plurals, with subresources as `agents/status`. */
  readonly resources: readonly string[];
  readonly verbs: readonly Verb[];
  /** Cannot limit create, list or watch by name. */
  readonly resourceNames?: readonly string[];
};

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'bind';
