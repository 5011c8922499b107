import type { ObjectRef, ResourceType } from './object.ts';

/** The path of a collection; of all namespaces when a namespaced one is asked for without. */
export function resourcePath(resource: ResourceType, namespace?: string): string {
  const { group, version, plural, namespaced } = resource;
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const scope = namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${plural}`;
}

/** The path of one object. */
export function refPath({ resource, namespace, name }: ObjectRef): string {
  return `${resourcePath(resource, namespace)}/${encodeURIComponent(name)}`;
}
