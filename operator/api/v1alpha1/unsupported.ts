import type { TenantSpec } from './tenant.ts';

/**
 * Fields that are in the contract and not yet acted on. A line goes when its behaviour comes; when a
 * list is empty, its function goes too.
 */
type NotYet<Spec> = Readonly<Record<string, (spec: Spec) => boolean>>;

const tenantFields: NotYet<TenantSpec> = {
  // A ResourceQuota bounds one namespace; the sum over several needs the ledger.
  'quota over several namespaces': (spec) => spec.quota !== undefined && (spec.namespaces?.length ?? 0) > 1,
};

/** Paths inside `spec`, dotted, that the user has set and this version does not act on: Ready=False, FieldNotSupported. */
export function unsupportedTenantFields(spec: TenantSpec): readonly string[] {
  return unsupported(tenantFields, spec);
}

function unsupported<Spec>(fields: NotYet<Spec>, spec: Spec): readonly string[] {
  return Object.entries(fields)
    .filter(([, asksForIt]) => asksForIt(spec))
    .map(([path]) => path);
}
